"""A local folder, or one that several machines share, as the output of a build.

Each run has its own scratch folder in SET/.build, so that runs that share the set do not remove each other's files. The
run holds a lock in it. The next run on this machine removes scratch folders whose lock is free; the end of the build
removes all.
"""

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import Timeout

from lra_data.errors import BuildError
from lra_data.locking import locked_file
from lra_data.paths import write_failure
from lra_data.store.atomic_files import sha256_of, sync_folder, written
from lra_data.store.manifest import BUILD_FOLDER, SHARD_NAME
from lra_data.store.outputs.output import Output, Stored

LOCK = ".lock"
_RUN = "run-"
# Waiting for a network file system; on a local disk it makes no difference.
_AT_ONCE = 8


class FolderOutput:
    """A folder; see Output. run_name: the scratch folder of this run, inside the folder of the build."""

    def __init__(self, folder: Path, run_name: str = "") -> None:
        self.folder, self.where = folder, str(folder)
        self.at_once = _AT_ONCE
        self._run_name = run_name

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """See Output."""
        with ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                held = stack.enter_context(locked_file(self.folder / LOCK, wait=False))
            except Timeout as error:
                raise BuildError(
                    f"another process is building in {self.folder}: wait for it, or choose another --out"
                ) from error
            except OSError as error:
                raise write_failure(self.folder, error) from error
            yield held

    @contextmanager
    def run(self) -> Iterator[Output]:
        """See Output."""
        name = f"{_RUN}{socket.gethostname()}-{uuid4().hex}"
        mine = self.folder / BUILD_FOLDER / name
        # It gets a name that other runs look for only when its lock is held.
        unlocked = mine.with_name(f"new-{name}")
        with ExitStack() as stack:
            try:
                unlocked.mkdir(parents=True)
                stack.callback(self._remove_if_empty)
                for folder in (mine, unlocked):
                    stack.callback(shutil.rmtree, folder, ignore_errors=True)
                stack.enter_context(locked_file(unlocked / LOCK, notice=False))
                unlocked.rename(mine)
                self._remove_abandoned(but=mine)
            except OSError as error:
                raise write_failure(mine.parent, error) from error
            yield FolderOutput(self.folder, name)

    def _remove_if_empty(self) -> None:
        """Leave no folder behind for a build that was refused before it began."""
        with suppress(OSError):
            (self.folder / BUILD_FOLDER).rmdir()

    def _remove_abandoned(self, *, but: Path) -> None:
        """Remove scratch folders of runs that were killed on this machine."""
        for folder in (self.folder / BUILD_FOLDER).glob(f"{_RUN}{socket.gethostname()}-*"):
            if folder == but:
                continue
            with suppress(OSError, Timeout), locked_file(folder / LOCK, wait=False, notice=False) as held:
                if held:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """See Output."""
        yield self.folder / BUILD_FOLDER / self._run_name

    def adopt(self, file: Path, name: str, sha256: str) -> Stored:
        """See Output."""
        path = self.folder / name
        try:
            size = file.stat().st_size
            os.replace(file, path)
            sync_folder(path.parent)
        except OSError as error:
            raise write_failure(path, error) from error
        return Stored(bytes=size, sha256=sha256)

    def create(self, name: str, data: bytes) -> bytes:
        """See Output."""
        path = self.folder / name
        temporary = self.folder / BUILD_FOLDER / self._run_name / f"{path.name}.{uuid4().hex}.tmp"
        try:
            with written(temporary) as file:
                file.write(data)
            try:
                os.link(temporary, path)  # unlike a rename, it never replaces a file
            except FileExistsError:
                return path.read_bytes()
            except OSError:  # a file system without hard links
                if path.exists():
                    return path.read_bytes()
                os.replace(temporary, path)
            sync_folder(path.parent)
        except OSError as error:
            raise write_failure(path, error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return data

    def read(self, name: str) -> bytes | None:
        """See Output."""
        try:
            return (self.folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BuildError(f"{self.folder / name}: expected a readable file, got: {error.strerror}") from error

    def holds(self, name: str, stored: Stored, *, thorough: bool) -> bool:
        """See Output."""
        path = self.folder / name
        try:
            return path.stat().st_size == stored.bytes and (not thorough or sha256_of(path) == stored.sha256)
        except OSError:  # missing, a bad sector, no permission to read
            return False

    def shards(self) -> list[str]:
        """See Output."""
        try:
            return sorted(path.name for path in self.folder.iterdir() if SHARD_NAME.fullmatch(path.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise write_failure(self.folder, error) from error

    def build_files(self) -> set[str]:
        """See Output."""
        try:
            return {path.name for path in (self.folder / BUILD_FOLDER).iterdir()}
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise write_failure(self.folder, error) from error

    def remove(self, names: Sequence[str]) -> None:
        """See Output."""
        for name in names:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise write_failure(self.folder / name, error) from error

    def end_build(self) -> None:
        """See Output."""
        shutil.rmtree(self.folder / BUILD_FOLDER, ignore_errors=True)
