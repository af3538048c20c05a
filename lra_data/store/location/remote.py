"""A built set behind an address that fsspec understands: its manifest, and its shards through the local cache.

A shard lies in the cache under its SHA-256, so that mirrors, and sets with equal shards, share it. It gets that name
only when its size and digest are those of the manifest; until then it is a `.part`, which a later process continues.

Not here: reading rows (`row_access.py`), raw archives (`lra_data/corpora/fetch.py`), writing to an address.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lra_data.corpora.fetch import CACHE_VARIABLE, cache_folder
from lra_data.errors import SetError, UsageError
from lra_data.locking import locked_file
from lra_data.paths import is_address, shown_address, write_failure
from lra_data.store.atomic_files import sha256_of
from lra_data.store.location.deadline import Deadline
from lra_data.store.location.remote_errors import RANGE_NOT_SATISFIABLE, may_pass, reason_of, status_of
from lra_data.store.manifest import MANIFEST, Manifest, Shard, parse_manifest

SHARD_CACHE = "shards"

# What a broken connection costs at most, and what one request holds in memory.
_RANGE_BYTES = 8 * 2**20

# Waits before a range is asked for again are drawn from 0 to a bound that doubles from the first to the longest: many
# ranks that lost the same server do not come back all at once.
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 5.0
_PATIENCE_S = 60.0
# Opening a set waits less: whoever mistyped a host wants to know, and nothing has been fetched that would be lost.
_OPENING_S = 7.0
# A slow connection may use up the patience with one try.
_LEAST_TRIES = 3
# A whole shard with a wrong digest may have been damaged on its way; twice in a row, it is wrong at the server.
_WHOLE_TRIES = 2

# aiohttp gives a whole answer 5 minutes, so a stalled connection is noticed late and a slow one breaks off.
_STALLED_S = 30.0

_SHA256 = re.compile(r"[0-9a-f]{64}")
_INSTALL = "pip install 'lra-data[remote]'"


def is_remote(where: str) -> bool:
    """Whether this is an address such as https://… or s3://…, and not a plain path."""
    return is_address(where)


class RemoteFolder:
    """A set's folder behind an address that fsspec understands; its shards come into the local cache.

    storage_options: what the file system of the scheme takes, as in pandas. cache: in place of `cache_folder()`.
    May be pickled and used after a fork: each process makes its own connections.
    """

    def __init__(
        self, url: str, *, storage_options: Mapping[str, Any] | None = None, cache: Path | None = None
    ) -> None:
        self.url = url
        self._options = dict(storage_options or {})
        # Kept, so that a relative one is the same folder after os.chdir and in other processes.
        self._cache = cache.expanduser().absolute() if cache is not None else _chosen_cache()
        self._process = _Process()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": _Process()}

    def __repr__(self) -> str:
        return f"RemoteFolder({_shown(self.url)!r})"

    def manifest(self) -> Manifest:
        """The set's manifest, fetched now; raises SetError where there is none or a damaged one."""
        try:
            return self._fetch_manifest()
        except _DamagedError:  # perhaps on its way
            try:
                return self._fetch_manifest()
            except _DamagedError as error:
                raise error.reason from error

    def shard_path(self, shard: Shard) -> Path:
        """The local file with the shard's bytes.

        It is fetched where the cache has none, and digested at its first use through this object in each process.
        Raises SetError where the shard cannot be had, is another than the manifest says, or cannot be kept.
        """
        path = (self._cache or cache_folder()) / SHARD_CACHE / _cache_name(shard, self.url)
        checked = self._in_this_process().checked
        try:
            if not (path in checked and _size(path) == shard.bytes):
                if not _is_whole(path, shard):
                    self._fetch(shard, path)
                checked.add(path)
        except OSError as error:
            failed = Path(error.filename) if isinstance(error.filename, str) else path
            raise SetError(f"{write_failure(failed, error)}, or set {CACHE_VARIABLE} to another folder") from error
        return path

    def _in_this_process(self) -> "_Process":
        if self._process.number != os.getpid():
            self._process = _Process()
        return self._process

    def _fetch_manifest(self) -> Manifest:
        try:
            text = self._patiently(MANIFEST, 0, None, within=_OPENING_S)
        except _DifferentError:
            text = b""  # an empty file has no byte 0 that a range could start at
        except _NotThereError as error:
            raise SetError(
                f"{_shown(self.url)}: expected a built set, found no {MANIFEST}: name the address of the folder "
                "ROOT/TASK/PRESET"
            ) from error
        try:
            return parse_manifest(text, _shown(join_address(self.url, MANIFEST)))
        except SetError as error:
            raise _DamagedError(error) from error

    def _fetch(self, shard: Shard, path: Path) -> None:
        """Bring the shard to `path`, unless another process does so meanwhile."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        with locked_file(path.with_name(f"{path.name}.lock")):
            if _is_whole(path, shard):
                return
            path.unlink(missing_ok=True)
            try:
                self._fetch_whole(shard, part)
            except OSError:
                with suppress(OSError):
                    part.unlink(missing_ok=True)  # it fills the disk that is full
                raise
            # No fsync of the folder: a name that is lost with the power costs a download and nothing else.
            os.replace(part, path)

    def _fetch_whole(self, shard: Shard, part: Path) -> None:
        """Bring the bytes of the manifest into `part`, in two goes if the first brings others."""
        # A part that an earlier process left says nothing about the server.
        for goes_left in reversed(range(_WHOLE_TRIES + (_size(part) > 0))):
            try:
                self._transfer(shard, part)
            except _DifferentError as error:
                part.unlink(missing_ok=True)
                if not goes_left:
                    raise SetError(
                        f"{_shown(join_address(self.url, shard.file))}: expected {shard.file} with {error.expected}, "
                        f"got "
                        f"{error.got}, again and again: copy the set there anew, or name another address"
                    ) from error
            except _NotThereError as error:
                raise SetError(
                    f"{_shown(join_address(self.url, shard.file))}: expected {shard.file} of the manifest, found no "
                    f"such "
                    "file: copy the whole set there"
                ) from error
            else:
                return

    def _transfer(self, shard: Shard, part: Path) -> None:
        """Append to `part` what is missing, range by range; raises _DifferentError if the whole is not the shard."""
        # Never truncated: where locks do not reach other machines, two may write the same bytes at the same places.
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            there = file.seek(0, os.SEEK_END)
            while there < shard.bytes:
                start, stop = there, min(there + _RANGE_BYTES, shard.bytes)
                data = self._patiently(shard.file, start, stop)
                if len(data) > stop - start:
                    # The server knows no ranges and sent the file.
                    if len(data) != shard.bytes:
                        raise _DifferentError(f"{shard.bytes:,} bytes", f"{len(data):,} bytes")
                    start = 0
                file.seek(start)
                file.write(data)
                there = start + len(data)
            file.flush()
            os.fsync(file.fileno())
        got = sha256_of(part)
        if got != shard.sha256:
            raise _DifferentError(f"sha256 {shard.sha256}", f"sha256 {got}")

    def _patiently(self, name: str, start: int, stop: int | None, *, within: float | None = None) -> bytes:
        """Bytes of a file at the address, at least start .. stop - 1; waits for a server that is away.

        within: seconds after which there must be an answer, whatever it is that does not come. Raises _NotThereError,
        _DifferentError for a file that ends before `start`, and SetError for all else.
        """
        try:
            from tenacity import (
                Retrying,
                retry_if_exception,
                stop_after_attempt,
                stop_after_delay,
                stop_all,
                stop_any,
                stop_before_delay,
                wait_random_exponential,
            )
        except ImportError as error:
            raise _library_missing(self.url, error) from error

        _load_library(self.url)  # may take seconds, which are not the server's
        stops = [stop_all(stop_after_delay(_PATIENCE_S), stop_after_attempt(_LEAST_TRIES))]
        tries = Retrying(
            retry=retry_if_exception(may_pass),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
            stop=stop_any(*stops, *([] if within is None else [stop_before_delay(within)])),
            reraise=True,
        )
        in_time = Deadline(within)
        try:
            found: bytes = tries(in_time, self._ask, name, start, stop)
        except UsageError:
            raise
        except FileNotFoundError as error:
            raise _NotThereError from error
        # Each file system of fsspec raises what its own library raises, and a wrong storage option shows only here.
        except Exception as error:
            address = join_address(self.url, name)
            if status_of(error) == RANGE_NOT_SATISFIABLE:
                raise _DifferentError("more bytes", f"no bytes from {start:,} on") from error
            reason = reason_of(error).replace(address, _shown(address))
            tried = tries.statistics["attempt_number"]
            if may_pass(error):
                counted = "1 try" if tried == 1 else f"{tried} tries"
                advice = f"after {counted}: run the same command again when the server is back"
            else:
                advice = "which no second try mends: check the address, the credentials and storage_options"
            raise SetError(f"{_shown(address)}: expected to read it, got: {reason}, {advice}") from error
        return found

    def _ask(self, name: str, start: int, stop: int | None) -> bytes:
        process = self._in_this_process()
        if process.filesystem is None:
            process.filesystem, process.root = _open(self.url, self._options)
        data: bytes = process.filesystem.cat_file(join_address(process.root, name), start=start, end=stop)
        if stop is not None and len(data) < stop - start:
            raise _ShortError(f"{len(data):,} of {stop - start:,} bytes")
        return data


class _Process:
    """What belongs to one process: connections, with the event loop that serves them, and the files it digested."""

    def __init__(self) -> None:
        self.number = os.getpid()
        self.filesystem: Any = None
        self.root = ""
        self.checked: set[Path] = set()


class _ShortError(ConnectionError):
    """An answer ended early."""


class _NotThereError(Exception):
    """The server has no such file."""


class _DifferentError(Exception):
    """The server's file is not the one of the manifest."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected, self.got = expected, got


class _DamagedError(Exception):
    """The text that came is no manifest. reason: what to tell the user."""

    def __init__(self, reason: SetError) -> None:
        super().__init__(reason)
        self.reason = reason


def _load_library(url: str) -> None:
    """Import what reads this address; errors are those of `_open`, later."""
    try:
        from fsspec import get_filesystem_class
    except ImportError as error:
        raise _library_missing(url, error) from error
    with suppress(ImportError, ValueError):
        get_filesystem_class(re.split("::|://", url, maxsplit=1)[0])


def _open(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The file system of an address, and the address in its terms."""
    try:
        from fsspec.core import url_to_fs

        filesystem, root = url_to_fs(url, **_with_patience(url, options))
    except ImportError as error:
        raise _library_missing(url, error) from error
    except (TypeError, ValueError) as error:
        if "Protocol not known" in str(error):
            raise UsageError(
                f"{_shown(url)}: expected an address that fsspec knows, such as https://, s3:// or gs://, got: {error}"
            ) from error
        raise UsageError(
            f"{_shown(url)}: expected an address and storage_options that fsspec takes, got: {reason_of(error)}"
        ) from error
    return filesystem, str(root)


def _library_missing(url: str, error: ImportError) -> UsageError:
    return UsageError(f"{_shown(url)}: expected the libraries that read it, got: {reason_of(error)}: {_INSTALL}")


def _with_patience(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options for fsspec; for HTTP with settings for long transfers, where the user names no others."""
    if not _is_http(url):
        return dict(options)
    import aiohttp

    client: dict[str, Any] = {
        "timeout": aiohttp.ClientTimeout(total=None, sock_connect=_STALLED_S, sock_read=_STALLED_S),
        "trust_env": True,  # the proxies of the environment, which the downloads of archives obey too
    }
    # A server that packs what it sends would count the ranges in packed bytes.
    headers = {"Accept-Encoding": "identity"}
    return {
        **options,
        "client_kwargs": {**client, **options.get("client_kwargs", {})},
        "headers": {**headers, **options.get("headers", {})},
    }


def _cache_name(shard: Shard, url: str) -> str:
    if not _SHA256.fullmatch(shard.sha256):
        raise SetError(
            f"{_shown(join_address(url, MANIFEST))}: expected 64 hex digits as sha256 of {shard.file}, got "
            f"{shard.sha256!r}: "
            "copy the set there anew"
        )
    return f"{shard.sha256}.{shard.file.rpartition('.')[2]}"


def _chosen_cache() -> Path | None:
    """The cache that the user chose; None for the system's place, which may need no home until it is written."""
    return cache_folder() if os.environ.get(CACHE_VARIABLE) else None


def _is_whole(path: Path, shard: Shard) -> bool:
    try:
        return _size(path) == shard.bytes and sha256_of(path) == shard.sha256
    except FileNotFoundError:  # another process has just removed a damaged one
        return False


def _size(path: Path) -> int:
    """Bytes of a file, -1 where there is none."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


def _is_http(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def join_address(folder: str, name: str) -> str:
    """The address of a file in a folder. What follows a ? is often a signature, which each request must bear."""
    query = ""
    if _is_http(folder):
        folder, mark, query = folder.partition("?")
        query = mark + query
    return f"{folder.rstrip('/')}/{name}{query}" if folder else name


_shown = shown_address
