"""The contract of a shard format, and how formats are found: every other module of this folder is a format.

A format turns a schema and batches into one file and back. The bytes depend only on the rows and on the versions of the
libraries that the format names. Its name is its module's name up to the underscore: `arrow_stream.py` holds the format
arrow. No module has the name of a library that reads such files, since it would hide the library.
"""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from lra_data.arrow_columns import features_of
from lra_data.errors import unknown_name
from lra_data.store import formats
from lra_data.store.atomic_files import Sink


class ShardWriter(ABC):
    """Takes the shard's batches in order.

    batch_offsets: byte positions of the batches, for a mapped format.
    """

    batch_offsets: Sequence[int] = ()

    @abstractmethod
    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file; the sink stays open."""


class ShardFormat(ABC):
    """A shard format; its module defines it as FORMAT.

    extension: file extension, in lower case.
    media_type: media type of the files.
    datasets_builder: name of the builder with which Hugging Face `datasets` reads the files.
    is_mapped: whether record batches have the same bytes in the file as in memory, at the writer's `batch_offsets`.
    reads_one_batch: whether `read_batch` can be called; otherwise a shard is decoded as a whole.
    croissant_columns: whether Croissant readers can decode the files, so that croissant.json describes their columns.
    """

    extension: ClassVar[str]
    media_type: ClassVar[str]
    datasets_builder: ClassVar[str]
    is_mapped: ClassVar[bool] = False
    reads_one_batch: ClassVar[bool] = False
    croissant_columns: ClassVar[bool] = False

    def libraries(self, schema: pa.Schema) -> dict[str, str]:
        """Versions of the libraries on which the bytes of a file with this schema depend."""
        return {}

    def features(self, schema: pa.Schema) -> dict[str, Any]:
        """The columns as `datasets` reads them, by name, in the form of its Arrow metadata."""
        return features_of(schema)

    @abstractmethod
    def open_writer(self, sink: Sink, schema: pa.Schema, key_prefix: str) -> ShardWriter:
        """Begin a shard; `key_prefix` is the start of each example's key, in formats with keys."""

    @abstractmethod
    def read(self, path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The shard's batches in order; raises SetError for a file of another kind or a damaged file."""

    def read_batch(self, path: Path, schema: pa.Schema, number: int) -> pa.RecordBatch:
        """One batch as it was written, without reading the other batches; raises SetError like `read`."""
        raise AssertionError(f"{type(self).__name__} decodes whole shards")


def format_names() -> tuple[str, ...]:
    """The names of all formats, sorted, found without importing their modules."""
    return tuple(sorted(_modules()))


@cache
def get_format(name: str) -> ShardFormat:
    """The format with this name; raises UsageError for another name."""
    if name not in _modules():
        raise unknown_name("format", name, format_names())
    return importlib.import_module(f"{formats.__name__}.{_modules()[name]}").FORMAT  # type: ignore[no-any-return]


def library_versions(names: Sequence[str], schema: pa.Schema) -> dict[str, str]:
    """Versions of the libraries on which the bytes of these formats depend, by name."""
    found = {library: version for name in names for library, version in get_format(name).libraries(schema).items()}
    return dict(sorted(found.items()))


def _modules() -> dict[str, str]:
    """Module names by format."""
    contract = __name__.rpartition(".")[2]
    modules = (module.name for module in pkgutil.iter_modules(formats.__path__) if module.name != contract)
    return {module.partition("_")[0]: module for module in modules}
