"""Reads bytes of the files in a remote folder, with fsspec.

Errors are handled in `lra_data/downloads/patience.py`; `remote.py` knows the meaning of the files.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from lra_data.downloads.resumable import Answer
from lra_data.downloads.transfer_errors import reason_of
from lra_data.errors import UsageError
from lra_data.optional_import import installing
from lra_data.paths import is_http, join_address, shown_address
from lra_data.store.location.per_process import PerProcess

# Bytes per request: at most this much is lost when a connection breaks, and held in memory.
RANGE_BYTES = 8 * 2**20

# By default aiohttp allows 5 minutes for a whole answer: a stalled connection is noticed late, and a slow one aborted.
STALLED_S = 30.0

_INSTALL = installing("remote")


class AddressReader:
    """The folder at `url`. It may be pickled and used after a fork: each process makes its own connections.

    options: options of the scheme's file system, as in pandas.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        self._opened = PerProcess(partial(open_filesystem, url, options))

    def read(self, name: str, start: int, stop: int | None) -> bytes:
        """Bytes start .. stop - 1 of a file; more if the server does not support ranges. Raises fsspec's errors."""
        filesystem, root = self._opened.get()
        data: bytes = filesystem.cat_file(join_address(root, name), start=start, end=stop)
        if stop is not None and len(data) < stop - start:
            raise _ShortError(f"{len(data):,} of {stop - start:,} bytes")
        return data


class RangeSource:
    """One file of the folder, read in ranges."""

    def __init__(self, reader: AddressReader, name: str) -> None:
        self._reader, self._name = reader, name

    @contextmanager
    def ask(self, start: int, size: int | None) -> Iterator[Answer]:
        """See Source."""
        if size is None:
            raise AssertionError("a shard's size is known")
        stop = min(start + RANGE_BYTES, size)
        data = self._reader.read(self._name, start, stop)
        # The server does not support ranges and sent the whole file.
        is_all = len(data) > stop - start
        yield Answer(start=0 if is_all else start, total=len(data) if is_all else size, is_last=is_all, blocks=[data])


class _ShortError(ConnectionError):
    """An answer ended early."""


def load_library(url: str) -> None:
    """Import the libraries for this address first, since that may take seconds that should not count as waiting for the
    server. Raises UsageError without fsspec; opening raises other errors later.
    """
    try:
        from fsspec import get_filesystem_class
    except ImportError as error:
        raise _library_missing(url, error) from error
    with suppress(ImportError, ValueError):
        get_filesystem_class(re.split("::|://", url, maxsplit=1)[0])


def open_filesystem(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The file system of an address, and the path in that file system."""
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
    """The options for fsspec; for HTTP, with settings for long transfers unless the user sets them."""
    if not is_http(url):
        return dict(options)
    import aiohttp

    client: dict[str, Any] = {
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=STALLED_S, sock_read=STALLED_S),
        "trust_env": True,  # use the proxies of the environment, as for downloads of archives
    }
    # A server that compresses its answers would count ranges in compressed bytes.
    headers = {"Accept-Encoding": "identity"}
    return {
        **options,
        "client_kwargs": {**client, **options.get("client_kwargs", {})},
        "headers": {**headers, **options.get("headers", {})},
    }
