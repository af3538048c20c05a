"""Bytes of the files in a folder behind an address, read by fsspec.

Not here: what is done with an error (`lra_data/downloads/patience.py`), and what the files mean (`remote.py`).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from lra_data.downloads.resumable import Answer
from lra_data.downloads.transfer_errors import reason_of
from lra_data.errors import UsageError
from lra_data.paths import is_http, join_address, shown_address
from lra_data.store.location.per_process import PerProcess

# What a broken connection costs at most, and what one request holds in memory.
RANGE_BYTES = 8 * 2**20

# aiohttp gives a whole answer 5 minutes, so a stalled connection is noticed late and a slow one breaks off.
STALLED_S = 30.0

_INSTALL = "pip install 'lra-data[remote]'"


class AddressReader:
    """The folder at `url`. It may be pickled and used after a fork: each process makes its own connections.

    options: what the file system of the scheme takes, as in pandas.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        self._opened = PerProcess(partial(_open, url, options))

    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """Bytes start .. stop - 1 of a file; more if the server does not know ranges. Raises whatever fsspec raises."""
        filesystem, root = self._opened.get()
        data: bytes = filesystem.cat_file(join_address(root, name), start=start, end=stop)
        if stop is not None and len(data) < stop - start:
            raise _ShortError(f"{len(data):,} of {stop - start:,} bytes")
        return data

    def load_library(self) -> None:
        """Import what reads this address: it may take seconds, which are not the server's. UsageError without fsspec;
        other errors are raised by `read`, later.
        """
        try:
            from fsspec import get_filesystem_class
        except ImportError as error:
            raise _library_missing(self._url, error) from error
        with suppress(ImportError, ValueError):
            get_filesystem_class(re.split("::|://", self._url, maxsplit=1)[0])


class RangeSource:
    """One file of the folder, in ranges."""

    def __init__(self, reader: AddressReader, name: str) -> None:
        self._reader, self._name = reader, name

    @contextmanager
    def ask(self, start: int, size: int | None) -> Iterator[Answer]:
        """See Source."""
        if size is None:
            raise AssertionError("a shard's size is known")
        stop = min(start + RANGE_BYTES, size)
        data = self._reader.read(self._name, start, stop)
        # The server knows no ranges and sent the file.
        is_all = len(data) > stop - start
        yield Answer(start=0 if is_all else start, total=len(data) if is_all else size, is_last=is_all, blocks=[data])


class _ShortError(ConnectionError):
    """An answer ended early."""


def _open(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The file system of an address, and the address in its terms."""
    try:
        from fsspec.core import url_to_fs

        filesystem, root = url_to_fs(url, **with_patience(url, options))
    except ImportError as error:
        raise _library_missing(url, error) from error
    except (TypeError, ValueError) as error:
        if "Protocol not known" in str(error):
            raise UsageError(
                f"{shown_address(url)}: expected an address that fsspec knows, such as https://, s3:// or gs://, got: "
                f"{error}"
            ) from error
        raise UsageError(
            f"{shown_address(url)}: expected an address and storage_options that fsspec takes, got: {reason_of(error)}"
        ) from error
    return filesystem, str(root)


def _library_missing(url: str, error: ImportError) -> UsageError:
    return UsageError(f"{shown_address(url)}: expected the libraries that read it, got: {reason_of(error)}: {_INSTALL}")


def with_patience(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options for fsspec; for HTTP with settings for long transfers, unless the user names others."""
    if not is_http(url):
        return dict(options)
    import aiohttp

    client: dict[str, Any] = {
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=STALLED_S, sock_read=STALLED_S),
        "trust_env": True,  # the proxies of the environment, which the downloads of archives obey too
    }
    # A server that packs what it sends would count the ranges in packed bytes.
    headers = {"Accept-Encoding": "identity"}
    return {
        **options,
        "client_kwargs": {**client, **options.get("client_kwargs", {})},
        "headers": {**headers, **options.get("headers", {})},
    }
