"""Official archives: where they are, what they must be, and how one gets into the cache.

Not here: the transfer itself (`lra_data/downloads/resumable.py`).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lra_data.corpus import Transfer
from lra_data.downloads.cache_folder import CACHE_VARIABLE, cache_folder
from lra_data.downloads.patience import Patience
from lra_data.downloads.resumable import Wanted, fetch_file, is_whole
from lra_data.downloads.transfer_errors import DifferentFileError, FetchError, reason_of
from lra_data.errors import LraDataError
from lra_data.locking import locked_file

# A server that breaks off in the middle. Each try goes on where the last one ended.
_PATIENCE_S = 60.0
_LEAST_TRIES = 5
# All servers together that have not sent anything: whoever has no network wants to know.
_OPENING_S = 8.0


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An official archive.

    bytes: its size, if known.
    digest: `md5:…` or `sha256:…`; None if none was ever published.
    """

    name: str
    urls: tuple[str, ...]
    bytes: int | None
    digest: str | None


def cached_archive(archives: Sequence[Archive]) -> Path | None:
    """The first of the archives that is in the cache. Downloads get there whole, with their digest, or not at all."""
    folder = cache_folder()
    return next((folder / archive.name for archive in archives if (folder / archive.name).is_file()), None)


def fetch_archive(archives: Sequence[Archive], transfer: Transfer) -> Path:
    """Download the first of the archives that can be had and return its place in the cache.

    Every address is tried. Raises LraDataError, naming the file and where to put it, if none gives the archive.
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
                    except DifferentFileError as error:
                        failures.append(f"{url}: expected a file with {error.expected}, got {error.got}")
                    except FetchError as error:
                        failures.append(f"{url}: {reason_of(error.reason)}")
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


def _retrieve(archive: Archive, url: str, folder: Path, transfer: Transfer, until: float) -> Path:
    """The archive from one address. until: when a server that has sent nothing is given up."""
    from lra_data.downloads.plain_http import CONNECT_S, HttpSource

    path = folder / archive.name
    wanted = Wanted(size=archive.bytes, digest=archive.digest)
    if not is_whole(path, wanted):
        opening_s = until - time.monotonic() - CONNECT_S  # which the last try may take
        fetch_file(
            HttpSource(url),
            path,
            wanted,
            patience=Patience(seconds=_PATIENCE_S, least_tries=_LEAST_TRIES, opening_s=opening_s),
            progress=lambda there, total: transfer(archive.name, there, total),
        )
    return path
