"""An address of an object store as the output of a build: s3://, gs:// and whatever else fsspec can write to.

An object appears whole or not at all, but it cannot be renamed, and there are no locks. Every file is made in a local
scratch folder and uploaded (`uploads.py`). Two builders may upload the same shard: the bytes are equal.

Credentials and endpoints come from the environment of each process, never from a job.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lra_data.downloads.deadline import Deadline
from lra_data.downloads.patience import Patience, patiently
from lra_data.downloads.transfer_errors import FetchError, may_pass, reason_of, status_of
from lra_data.errors import BuildError
from lra_data.paths import join_address, shown_address, write_failure
from lra_data.store.location.address_reader import load_library, open_filesystem
from lra_data.store.location.per_process import PerProcess
from lra_data.store.manifest import BUILD_FOLDER, SHARD_NAME
from lra_data.store.outputs.output import Output, Stored
from lra_data.store.outputs.uploads import WrongUploadError, uploads_to

Answer = TypeVar("Answer")

OPENING_S = 10.0
PATIENCE_S = 60.0
_LEAST_TRIES = 3

# S3's answer while another process creates the same file, and that of servers that cannot create without replacing.
_CONFLICT = 409
_NOT_IMPLEMENTED = 501

_AT_ONCE = 16


class StoreOutput:
    """An address of an object store; see Output."""

    def __init__(self, url: str) -> None:
        self.where, self._url = shown_address(url), url
        self.at_once = _AT_ONCE
        self._opened = PerProcess(partial(open_filesystem, url, {}))
        self._answered = PerProcess[set[str]](set)

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """See Output. An object store has no locks; two builds of one set write the same bytes."""
        yield False

    @contextmanager
    def run(self) -> Iterator[Output]:
        """See Output."""
        yield self

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """See Output."""
        try:
            folder = tempfile.TemporaryDirectory(prefix="lra-data-", ignore_cleanup_errors=True)
        except OSError as error:
            raise write_failure(tempfile.gettempdir(), error) from error
        with folder:
            yield Path(folder.name)

    def adopt(self, file: Path, name: str, sha256: str) -> Stored:
        """See Output."""
        filesystem, path = self._file(name)
        size = file.stat().st_size
        try:
            seal = self._ask(name, lambda: uploads_to(filesystem).upload(file, path, sha256))
        except WrongUploadError as error:
            raise BuildError(
                f"{self._shown(name)}: {error}: another program writes there, or the store is damaged: run the same "
                "command again"
            ) from error
        return Stored(bytes=size, sha256=sha256, seal=seal)

    def create(self, name: str, data: bytes) -> bytes:
        """See Output."""
        filesystem, path = self._file(name)
        if (there := self.read(name)) is not None:
            return there

        def write() -> bool:
            try:
                filesystem.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
            except Exception as error:
                if status_of(error) == _CONFLICT:  # S3: somebody else is creating it now
                    raise ConnectionError("another process is creating the file") from error
                if status_of(error) != _NOT_IMPLEMENTED:
                    raise
                filesystem.pipe_file(path, data)  # two processes that do this at once write equal bytes
            return True

        if self._ask(name, write):
            return data
        there = self.read(name)
        if there is None:
            raise BuildError(f"{self._shown(name)}: expected the file that another process created, found none")
        return there

    def read(self, name: str) -> bytes | None:
        """See Output."""
        filesystem, path = self._file(name)

        def get() -> bytes | None:
            try:
                return bytes(filesystem.cat_file(path))
            except FileNotFoundError:
                return None

        return self._ask(name, get)

    def holds(self, name: str, stored: Stored, *, thorough: bool) -> bool:
        """See Output."""
        del thorough  # the store's own checksum costs no read
        filesystem, path = self._file(name)
        return self._ask(name, lambda: uploads_to(filesystem).matches(path, stored))

    def shards(self) -> list[str]:
        """See Output."""
        return sorted(name for name in self._names("") if SHARD_NAME.fullmatch(name))

    def build_files(self) -> set[str]:
        """See Output."""
        return set(self._names(BUILD_FOLDER))

    def _names(self, folder: str) -> list[str]:
        """The names of the files in a folder of the set."""
        filesystem, path = self._file(folder)

        def names() -> list[str]:
            filesystem.invalidate_cache(path)
            try:
                return [str(found).rpartition("/")[2] for found in filesystem.ls(path, detail=False)]
            except FileNotFoundError:
                return []

        return self._ask(folder, names)

    def remove(self, names: Sequence[str]) -> None:
        """See Output."""
        filesystem, _ = self._opened.get()

        def remove_one(name: str) -> None:
            path = self._file(name)[1]

            def gone() -> None:
                with suppress(FileNotFoundError):
                    filesystem.rm_file(path)

            self._ask(name, gone)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(remove_one, names))

    def end_build(self) -> None:
        """See Output."""
        filesystem, root = self._opened.get()
        folder = join_address(root, BUILD_FOLDER)
        try:
            found = filesystem.find(folder)
            if found:
                filesystem.rm(found)
        except Exception as error:  # each file system has errors of its own
            if not (may_pass(error) or isinstance(error, OSError)):
                raise

    def _file(self, name: str) -> tuple[Any, str]:
        filesystem, root = self._opened.get()
        return filesystem, join_address(root, name) if name else root

    def _shown(self, name: str) -> str:
        return shown_address(join_address(self._url, name)) if name else self.where

    def _ask(self, name: str, call: Callable[[], Answer]) -> Answer:
        """The answer of a call to the store; raises BuildError if it fails for good."""
        answered = self._answered.get()
        if not answered:
            load_library(self._url)
        patience = Patience(seconds=PATIENCE_S, least_tries=_LEAST_TRIES, opening_s=None if answered else OPENING_S)
        in_time = Deadline(None if answered else OPENING_S)
        try:
            answer = patiently(lambda: in_time(call), patience)
        except FetchError as error:
            if isinstance(error.reason, WrongUploadError):
                raise error.reason from error
            advice = (
                "run the same command again when the store is back"
                if may_pass(error.reason)
                else "check the address, the credentials and the permission to write there"
            )
            reason = reason_of(error.reason)
            raise BuildError(
                f"{self._shown(name)}: expected to read and write there, got: {reason}: {advice}"
            ) from error
        answered.add(self.where)
        return answer
