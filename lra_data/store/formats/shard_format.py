"""The contract of a shard format, and the formats there are: one module each in this folder.

A format turns a schema and batches into one file and back. The bytes depend on the rows and on the library versions it
names, on nothing else.
"""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from lra_data.errors import unknown_name
from lra_data.store.atomic_files import Sink

# Module names differ from the libraries' on purpose: a module named like one would hide it.
_MODULES = {"arrow": "arrow_stream", "parquet": "parquet_file", "webdataset": "webdataset_tar"}
FORMATS = tuple(_MODULES)


class ShardWriter(Protocol):
    """Takes the shard's batches in order."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""

    def close(self) -> None:
        """Finish the file; the sink stays open."""


class Format(Protocol):
    """What a format's module defines."""

    EXTENSION: str

    @staticmethod
    def libraries(schema: pa.Schema) -> dict[str, str]:
        """Versions of the libraries on which the bytes of such a file with this schema depend."""

    @staticmethod
    def open_writer(sink: Sink, schema: pa.Schema, key_prefix: str) -> ShardWriter:
        """Begin a shard; `key_prefix` begins the keys of formats that name each example."""

    @staticmethod
    def read(path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The shard's batches in order; raises SetError for bytes that are no such file."""


def get_format(name: str) -> Format:
    """The format module for `arrow`, `parquet` or `webdataset`; raises UsageError for another name."""
    if name not in _MODULES:
        raise unknown_name("format", name, FORMATS)
    return importlib.import_module(f"lra_data.store.formats.{_MODULES[name]}")  # type: ignore[return-value]


def library_versions(formats: Sequence[str], schema: pa.Schema) -> dict[str, str]:
    """Versions of the libraries on which the bytes of these formats depend, by name."""
    found = {library: version for name in formats for library, version in get_format(name).libraries(schema).items()}
    return dict(sorted(found.items()))
