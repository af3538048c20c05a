"""Official archives: their addresses, sizes and digests, and their download into the cache.

The transfer itself is in `lra_data/downloads/resumable.py`.
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

# For a server that breaks off in the middle. Each try continues where the last try ended.
_PATIENCE_S = 60.0
_LEAST_TRIES = 5
# For all servers together that have not sent anything, so that a missing network is reported soon.
_OPENING_S = 8.0


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An official archive.

    bytes: size, if known.
    digest: `md5:…` or `sha256:…`; None if no digest was ever published.
    """

    name: str
    urls: tuple[str, ...]
    bytes: int | None
    digest: str | None


def cached_archive(archives: Sequence[Archive]) -> Path | None:
    """The first of the archives that is in the cache, which contains only complete, checked downloads."""
    folder = cache_folder()
    return next((folder / archive.name for archive in archives if (folder / archive.name).is_file()), None)


def fetch_archive(archives: Sequence[Archive], transfer: Transfer) -> Path:
    """Download the first available archive and return its path in the cache.

    Every address is tried. If all fail, raises LraDataError, which names the file and the folder to put it into.
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
    """The archive from one address. until: the time at which to give up a server that has sent nothing."""
    from lra_data.downloads.plain_http import CONNECT_S, HttpSource

    path = folder / archive.name
    wanted = Wanted(size=archive.bytes, digest=archive.digest)
    if not is_whole(path, wanted):
        opening_s = until - time.monotonic() - CONNECT_S  # the last try may take CONNECT_S
        fetch_file(
            HttpSource(url),
            path,
            wanted,
            patience=Patience(seconds=_PATIENCE_S, least_tries=_LEAST_TRIES, opening_s=opening_s),
            progress=lambda there, total: transfer(archive.name, there, total),
        )
    return path
