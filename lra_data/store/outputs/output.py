"""The interface of an output, and how a build writes a file to it.

A file appears whole or not at all: it is written in a scratch folder, digested on the way, then moved or uploaded. Any
process may write the same file again at any time, since equal jobs write equal bytes. Only the plan and the unfinished
card must not replace another file; they are written with `create`.

`folder.py` and `object_store.py` are the two outputs, `choice.py` picks one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from msgspec import Struct

from lra_data.errors import SetError
from lra_data.paths import write_failure
from lra_data.store.atomic_files import HashingFile, written
from lra_data.store.manifest import MANIFEST, Manifest, ShardsFile, parse_manifest
from lra_data.store.shard_table import ShardTable, parse_table


class Stored(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bytes of one file. seal: what an object store said of them after the upload; empty in a folder."""

    bytes: int
    sha256: str
    seal: str = ""


class Output(Protocol):
    """The files of a set while it is made. Names are relative to the set, such as `.build/plan.json`.

    where: the place, for messages.
    at_once: how many files to ask about at a time.

    May be pickled and used by several processes at once. Each method raises BuildError if the output fails.
    """

    where: str
    at_once: int

    def exclusive(self) -> AbstractContextManager[bool]:
        """Hold the set for a whole build; raises BuildError if another build holds it. Gives whether it keeps other
        builds out, which an object store, or a file system without locks, cannot.
        """

    def run(self) -> AbstractContextManager["Output"]:
        """This output for one run, which may publish files. At the end, what killed workers left half written goes."""

    def scratch(self) -> AbstractContextManager[Path]:
        """A local folder for a file that is not finished. Only in a run."""

    def adopt(self, file: Path, name: str, sha256: str) -> Stored:
        """Move or upload a finished file of the scratch folder."""

    def create(self, name: str, data: bytes) -> bytes:
        """Write a small file unless it exists; returns its content. Only in a run."""

    def read(self, name: str) -> bytes | None:
        """The content of a small file; None if it does not exist."""

    def holds(self, name: str, stored: Stored, *, thorough: bool) -> bool:
        """Whether the file has these bytes. A folder compares its size, and if `thorough` its digest; an object store
        compares its own checksum, and reads the file only if it has none.
        """

    def shards(self) -> list[str]:
        """The names of all files that are named like shards, sorted."""

    def build_files(self) -> set[str]:
        """The names of all files in the folder of the build, without the folder's."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove the files that exist."""

    def end_build(self) -> None:
        """Remove everything in the folder of the build; what cannot be removed stays."""


class FinishedMeanwhileError(Exception):
    """Another process has finished the set, so there is nothing left to write."""


@contextmanager
def publish(output: Output, name: str, done: Callable[[Stored], None] | None = None) -> Iterator[HashingFile]:
    """Write the file `name`, which appears when the block ends without an error. done: called with what was stored."""
    with output.scratch() as folder:
        # The name is unique: two jobs may make the same shard at once, also on two machines.
        temporary = folder / f"{Path(name).name}.{uuid4().hex}.tmp"
        try:
            with written(temporary) as file:
                yield file
            stored = output.adopt(temporary, name, file.sha256)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise write_failure(f"{output.where}/{name}", error) from error
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    if done is not None:
        done(stored)


def publish_text(output: Output, name: str, text: str) -> None:
    """Publish a small text file as UTF-8."""
    with publish(output, name) as file:
        file.write(text.encode())


def manifest_of(output: Output) -> Manifest | None:
    """The manifest of the set there, or None if it is not finished; raises SetError for a damaged one."""
    text = output.read(MANIFEST)
    if text is None:
        return None

    def open_shards(entry: ShardsFile) -> ShardTable:
        data = output.read(entry.file)
        if data is None:
            raise SetError(f"{output.where}: expected {entry.file} next to {MANIFEST}, found none: copy the set again")
        return parse_table(data, entry.sha256, f"{output.where}/{entry.file}")

    return parse_manifest(text, f"{output.where}/{MANIFEST}", open_shards)
