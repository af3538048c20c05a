"""Official archives: where they are, what they must be, and how one gets into the cache.

pooch keeps the cache and compares digests; the transfer itself is here, because an archive of hundreds of megabytes
must go on where a broken connection left it. The part that has come stays beside the cached files and is continued by
the next call, also of another process.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lra_data.errors import LraDataError, UsageError
from lra_data.locking import locked_file
from lra_data.paths import local_path

CACHE_VARIABLE = "LRA_DATA_CACHE"

_TRIES = 5
_TIMEOUT_S = 30
_CONNECT_S = 5
# A server that never answered is given up after so many seconds; one that broke off in the middle gets all tries.
_OPENING_S = 8.0
_BLOCK = 2**18
_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE = 206, 416

# Called with a file's name, the bytes that are there, and the bytes that will be.
Transfer = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An official archive. bytes: its size. digest: `md5:…` or `sha256:…`; None where none was ever published."""

    name: str
    urls: tuple[str, ...]
    bytes: int | None
    digest: str | None


def cache_folder() -> Path:
    """The folder of downloads, absolute: $LRA_DATA_CACHE, or the system's place for caches.

    Raises UsageError for a variable that names no folder of this machine, and where there is no home.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return local_path(chosen, f"a folder in {CACHE_VARIABLE}").absolute()
    import pooch

    try:
        folder = Path(pooch.os_cache("lra-data"))
    except RuntimeError:
        folder = Path("~")
    if not folder.is_absolute():  # where nothing says which home that is, older releases leave the "~"
        raise UsageError(f"expected a home for the cache, found none: set {CACHE_VARIABLE} to a folder")
    return folder


def cached_archive(archives: Sequence[Archive]) -> Path | None:
    """The first of the archives that is in the cache. Downloads get there whole, with their digest, or not at all."""
    folder = cache_folder()
    return next((folder / archive.name for archive in archives if (folder / archive.name).is_file()), None)


def fetch_archive(archives: Sequence[Archive], transfer: Transfer) -> Path:
    """Download the first of the archives that can be had and return its place in the cache.

    Every address is tried. Raises LraDataError, naming the file and where to put it, where none gives the archive.
    """
    failures = []
    until = time.monotonic() + _OPENING_S
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked_file(folder / ".lock"):
            for archive in archives:
                for url in archive.urls:
                    try:
                        return _retrieve(archive, url, folder, transfer, until)
                    except _FetchError as error:
                        failures.append(f"{url}: {error}")
    except OSError as error:
        raise LraDataError(
            f"cannot write {error.filename or folder}: {error.strerror or error}; set {CACHE_VARIABLE} to "
            "another folder"
        ) from error
    first = archives[0]
    raise LraDataError(
        f"expected to download {first.name}, got: {'; '.join(failures)}. Fetch it by other means, put it into "
        f"{folder}, or name it with --corpus"
    )


class _FetchError(Exception):
    """Why one address did not give the archive."""


def _retrieve(archive: Archive, url: str, folder: Path, transfer: Transfer, until: float) -> Path:
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)  # it would tell in many lines what the errors here tell in one
    part = folder / f"{archive.name}.part"

    def download(address: str, output: str, _: Any) -> None:
        _transfer(address, part, archive, transfer, until)
        os.replace(part, output)

    try:
        return Path(
            pooch.retrieve(url, known_hash=archive.digest, fname=archive.name, path=folder, downloader=download)
        )
    except requests.RequestException as error:
        raise _FetchError(_reason(error)) from error
    except ValueError as error:
        raise _FetchError(f"expected a file with {archive.digest}, got another ({_digest_in(str(error))})") from error


def _transfer(url: str, part: Path, archive: Archive, transfer: Transfer, until: float) -> None:
    """Download to `part`, from its end on where the server allows it; a connection that breaks is tried again.

    until: when to give up a server that has sent nothing.
    """
    import requests

    before = _size(part)
    for attempt in range(_TRIES):
        try:
            _go_on(url, part, archive, transfer)
        except (requests.ConnectionError, requests.Timeout):
            pause = min(2**attempt, 10) * _BACKOFF_S
            is_dead = _size(part) == before and time.monotonic() + pause + _CONNECT_S > until
            if attempt == _TRIES - 1 or is_dead:
                raise
            time.sleep(pause)
        else:
            return


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


_BACKOFF_S = 1.0


def _go_on(url: str, part: Path, archive: Archive, transfer: Transfer) -> None:
    import requests
    import urllib3

    there = _size(part)
    if archive.bytes is not None and there >= archive.bytes:
        if there == archive.bytes:
            return  # the last run ended between the last byte and the digest
        there = 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    with requests.get(url, headers=headers, stream=True, timeout=(_CONNECT_S, _TIMEOUT_S)) as answer:
        if answer.status_code == _RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise requests.ConnectionError("the part that is there does not belong to this file")
        answer.raise_for_status()
        if answer.status_code != _PARTIAL_CONTENT:
            there = 0
        total = there + int(answer.headers.get("Content-Length", 0))
        with part.open("ab" if there else "wb") as file:
            try:
                # read1 hands over what has come; iter_content would lose the last block of a broken connection.
                while block := answer.raw.read1(_BLOCK):
                    file.write(block)
                    there += len(block)
                    transfer(archive.name, there, archive.bytes or total)
            except urllib3.exceptions.HTTPError:
                broken = True
            else:
                broken = there < total
    if broken:
        raise requests.ConnectionError(f"the connection broke after {there:,} of {total:,} bytes")


def _reason(error: Exception) -> str:
    """An error of requests in a few words: the innermost cause, without objects' addresses."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    cause: Any = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)
    return str(cause).rpartition(">: ")[2] or type(error).__name__


def _digest_in(message: str) -> str:
    return message.partition("but got ")[2].partition(".")[0]
