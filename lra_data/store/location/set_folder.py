"""The files of a built set: in a local folder, or at an address (`remote.py`), with the same two methods.

A shard's bytes are compared with the manifest's SHA-256 once per process, when its first row is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from lra_data.errors import SetError
from lra_data.paths import is_address, local_path
from lra_data.store.atomic_files import sha256_of
from lra_data.store.location.remote import RemoteFolder
from lra_data.store.manifest import Manifest, read_manifest
from lra_data.store.shard_entry import Shard


class SetFolder(Protocol):
    """A finished set's files."""

    def manifest(self) -> Manifest:
        """The manifest; raises SetError if it is missing or damaged."""

    def shard_path(self, shard: Shard) -> Path:
        """A local file with the shard's bytes; raises SetError if the bytes differ from the manifest's digest."""


class LocalFolder:
    """A set in a local folder.

    check_digests: whether to compare each shard with its digest; False for a set that was just verified.
    """

    def __init__(self, folder: Path, *, check_digests: bool = True) -> None:
        self.folder, self._check = folder, check_digests
        self._checked: set[str] = set()

    def manifest(self) -> Manifest:
        """See SetFolder."""
        return read_manifest(self.folder)

    def shard_path(self, shard: Shard) -> Path:
        """See SetFolder."""
        path = self.folder / shard.file
        if self._check and shard.file not in self._checked:
            try:
                size, found = path.stat().st_size, sha256_of(path)
            except OSError as error:
                raise SetError(f"{path}: expected a readable file, got: {error.strerror}: {_MEND}") from error
            if size != shard.bytes:
                raise SetError(f"{path}: expected {shard.bytes} bytes, got {size}: {_MEND}")
            if found != shard.sha256:
                raise SetError(f"{path}: expected sha256 {shard.sha256}, got {found}: {_MEND}")
            self._checked.add(shard.file)
        return path


_MEND = "run `lra-data repair` on the set"


def set_folder(
    where: Path | str, *, check_digests: bool = True, storage_options: Mapping[str, Any] | None = None
) -> SetFolder:
    """The folder at a path or address.

    check_digests: for a path; shards from an address are always checked.
    storage_options: for fsspec, which opens addresses.
    """
    if isinstance(where, str) and is_address(where):
        return RemoteFolder(where, storage_options=storage_options)
    # Shards are opened when their first row is read, perhaps after os.chdir.
    return LocalFolder(local_path(where, "the folder of a built set").absolute(), check_digests=check_digests)
