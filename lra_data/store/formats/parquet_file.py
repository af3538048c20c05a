"""Shards as Parquet files, one row group per batch: for the Hub, Polars, DuckDB and Spark.

Their bytes change with pyarrow's version, so the manifest records the version. The logical digest does not change.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lra_data.errors import SetError
from lra_data.store.atomic_files import Sink
from lra_data.store.formats.shard_format import ShardFormat, ShardWriter


class _Writer(ShardWriter):
    def __init__(self, sink: Sink, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(sink, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


class ParquetFile(ShardFormat):
    """See ShardFormat."""

    extension = "parquet"
    media_type = "application/x-parquet"
    datasets_builder = "parquet"
    reads_one_batch = True
    croissant_columns = True

    def libraries(self, schema: pa.Schema) -> dict[str, str]:
        """The version of pyarrow, since the bytes depend on it."""
        return {"pyarrow": pa.__version__}

    def open_writer(self, sink: Sink, schema: pa.Schema, key_prefix: str) -> _Writer:
        """Begin a Parquet file with the Arrow schema in its metadata."""
        return _Writer(sink, schema)

    def read(self, path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the row groups in order, each as one batch with the task's schema."""
        with _opened(path, schema) as file:
            for group in range(file.num_row_groups):
                yield _batch(file, group, schema)

    def read_batch(self, path: Path, schema: pa.Schema, number: int) -> pa.RecordBatch:
        """One row group."""
        with _opened(path, schema) as file:
            if number >= file.num_row_groups:
                raise SetError(f"{path}: expected row group {number}, got {file.num_row_groups} groups")
            return _batch(file, number, schema)


FORMAT = ParquetFile()


def _batch(file: pq.ParquetFile, group: int, schema: pa.Schema) -> pa.RecordBatch:
    (batch,) = file.read_row_group(group).combine_chunks().to_batches()
    return pa.RecordBatch.from_arrays(batch.columns, schema=schema)


@contextmanager
def _opened(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            # Parquet adds its own metadata to the fields, so only the metadata of the schema is compared.
            if not found.equals(schema) or found.metadata != schema.metadata:
                raise SetError(f"{path}: expected the schema of the task, got another schema: rebuild the set")
            yield file
    except (pa.ArrowException, OSError) as error:
        raise SetError(f"{path}: expected a Parquet file, got: {str(error).splitlines()[0]}") from error
