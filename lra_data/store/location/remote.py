"""A built set at an address that fsspec understands: its manifest, and its shards through the local cache.

A cached shard is named by its SHA-256, so mirrors, and sets with equal shards, share it.

`address_reader.py` reads bytes, `lra_data/downloads` resumes and checks transfers, `row_access.py` reads rows. Nothing
writes to an address.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lra_data.downloads.cache_folder import CACHE_VARIABLE, cache_folder, chosen_cache_folder
from lra_data.downloads.deadline import Deadline
from lra_data.downloads.patience import Patience, patiently
from lra_data.downloads.resumable import Wanted, fetch_file, is_whole, size_of
from lra_data.downloads.transfer_errors import (
    RANGE_NOT_SATISFIABLE,
    DifferentFileError,
    FetchError,
    may_pass,
    reason_of,
    status_of,
)
from lra_data.errors import SetError
from lra_data.locking import locked_file
from lra_data.paths import join_address, shown_address, write_failure
from lra_data.store.location.address_reader import AddressReader, RangeSource, load_library
from lra_data.store.location.checked_files import note_checked, was_checked
from lra_data.store.location.per_process import PerProcess
from lra_data.store.manifest import MANIFEST, Manifest, ShardsFile, parse_manifest
from lra_data.store.shard_entry import Shard
from lra_data.store.shard_table import ShardTable, open_table

SHARD_CACHE = "shards"

PATIENCE_S = 60.0
# Opening a set waits less, so that a mistyped host is reported soon; no fetched bytes would be lost.
OPENING_S = 7.0
_LEAST_TRIES = 3
# A whole shard with a wrong digest may have been damaged in transfer; after the second time, it is wrong on the server.
_ROUNDS = 2

_SHA256 = re.compile(r"[0-9a-f]{64}")


class RemoteFolder:
    """A set's folder at an address that fsspec understands; its shards are stored in the local cache.

    storage_options: options of the scheme's file system, as in pandas.
    cache: the cache folder, instead of `cache_folder()`.

    May be pickled and used after a fork.
    """

    def __init__(
        self, url: str, *, storage_options: Mapping[str, Any] | None = None, cache: Path | None = None
    ) -> None:
        self.url = url
        # Stored as an absolute path, so that it is the same folder after os.chdir and in other processes.
        self._cache = cache.expanduser().absolute() if cache is not None else chosen_cache_folder()
        self._reader = AddressReader(url, dict(storage_options or {}))
        self._checked = PerProcess[set[Path]](set)

    def __repr__(self) -> str:
        return f"RemoteFolder({shown_address(self.url)!r})"

    def manifest(self) -> Manifest:
        """The set's manifest, fetched now; raises SetError if it is missing or damaged."""
        where = shown_address(join_address(self.url, MANIFEST))
        text = self._manifest_text()
        try:
            return parse_manifest(text, where, self._open_shards)
        except SetError:  # perhaps damaged in transfer
            return parse_manifest(self._manifest_text(), where, self._open_shards)

    def _open_shards(self, entry: ShardsFile) -> ShardTable:
        path = self._cached(entry.file, entry.sha256, entry.bytes)
        return open_table(path, entry.sha256)

    def shard_path(self, shard: Shard) -> Path:
        """The local file with the shard's bytes.

        It is fetched unless it is cached. Its digest is checked at its first use on this machine (`checked_files.py`).
        Raises SetError if the shard cannot be fetched, differs from the manifest, or cannot be stored.
        """
        return self._cached(shard.file, shard.sha256, shard.bytes)

    def _cached(self, name: str, sha256: str, size: int) -> Path:
        """The local file with the bytes of one file of the set."""
        path = (self._cache or cache_folder()) / SHARD_CACHE / self._cache_name(name, sha256)
        wanted = Wanted(size=size, digest=f"sha256:{sha256}")
        checked = self._checked.get()
        try:
            if not (path in checked and size_of(path) == size):
                if not was_checked(path):
                    if not is_whole(path, wanted):
                        self._fetch(name, path, wanted)
                    note_checked(path)
                checked.add(path)
        except OSError as error:
            failed = Path(error.filename) if isinstance(error.filename, str) else path
            raise SetError(f"{write_failure(failed, error)}, or set {CACHE_VARIABLE} to another folder") from error
        return path

    def _fetch(self, name: str, path: Path, wanted: Wanted) -> None:
        """Fetch a file of the set to `path`, unless another process has fetched it meanwhile."""
        path.parent.mkdir(parents=True, exist_ok=True)
        address = shown_address(join_address(self.url, name))
        load_library(self.url)
        with locked_file(path.with_name(f"{path.name}.lock")):
            if is_whole(path, wanted):
                return
            path.unlink(missing_ok=True)
            try:
                fetch_file(
                    RangeSource(self._reader, name),
                    path,
                    wanted,
                    patience=Patience(seconds=PATIENCE_S, least_tries=_LEAST_TRIES),
                    rounds=_ROUNDS,
                )
            except DifferentFileError as error:
                raise SetError(
                    f"{address}: expected {name} with {error.expected}, got {error.got} several times: copy "
                    "the set there again, or name another address"
                ) from error
            except FetchError as error:
                if isinstance(error.reason, FileNotFoundError):
                    raise SetError(
                        f"{address}: expected {name} of the manifest, found no such file: copy the whole set there"
                    ) from error
                raise self._unread(name, error) from error

    def _manifest_text(self) -> bytes:
        load_library(self.url)
        in_time = Deadline(OPENING_S)
        patience = Patience(seconds=PATIENCE_S, least_tries=_LEAST_TRIES, opening_s=OPENING_S)
        try:
            return patiently(lambda: in_time(self._reader.read, MANIFEST, 0, None), patience)
        except FetchError as error:
            if status_of(error.reason) == RANGE_NOT_SATISFIABLE:
                return b""  # an empty file has no byte 0 that a range could start at
            if isinstance(error.reason, FileNotFoundError):
                raise SetError(
                    f"{shown_address(self.url)}: expected a built set, found no {MANIFEST}: name the address of the "
                    "folder ROOT/TASK/PRESET"
                ) from error
            raise self._unread(MANIFEST, error) from error

    def _unread(self, name: str, error: FetchError) -> SetError:
        """The error for a file that could not be read from the server."""
        address = join_address(self.url, name)
        reason = reason_of(error.reason).replace(address, shown_address(address))
        if may_pass(error.reason):
            counted = "1 try" if error.tries == 1 else f"{error.tries} tries"
            advice = f"after {counted}: run the same command again when the server is back"
        else:
            advice = "retrying will not help: check the address, the credentials and storage_options"
        return SetError(f"{shown_address(address)}: expected to read it, got: {reason}, {advice}")

    def _cache_name(self, name: str, sha256: str) -> str:
        if not _SHA256.fullmatch(sha256):
            raise SetError(
                f"{shown_address(join_address(self.url, MANIFEST))}: expected 64 hex digits as sha256 of {name}, "
                f"got {sha256!r}: copy the set there again"
            )
        return f"{sha256}.{name.rpartition('.')[2]}"
