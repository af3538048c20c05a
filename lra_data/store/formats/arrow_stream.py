"""Shards as Arrow IPC streams, uncompressed: the canonical format.

The format is a stream, not an IPC file, because Hugging Face `datasets` memory-maps streams, and their bytes do not
change with pyarrow's version (docs/log.md). A stream has no index, so the manifest has the byte offset of every record
batch.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from lra_data.errors import SetError
from lra_data.store.atomic_files import Sink
from lra_data.store.formats.shard_format import ShardFormat, ShardWriter


class _Writer(ShardWriter):
    def __init__(self, sink: Sink, schema: pa.Schema) -> None:
        self._sink = sink
        self._schema_bytes = schema.serialize().size
        self._stream = pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression=None))
        self.batch_offsets: list[int] = []

    def write(self, batch: pa.RecordBatch) -> None:
        # Before the first batch the stream writes its schema.
        self.batch_offsets.append(self._sink.tell() or self._schema_bytes)
        self._stream.write_batch(batch)

    def close(self) -> None:
        self._stream.close()


class ArrowStream(ShardFormat):
    """See ShardFormat."""

    extension = "arrow"
    media_type = "application/vnd.apache.arrow.stream"
    datasets_builder = "arrow"
    is_mapped = True

    def open_writer(self, sink: Sink, schema: pa.Schema, key_prefix: str) -> _Writer:
        """Begin a stream; its writer's `batch_offsets` are the positions of the record batches."""
        return _Writer(sink, schema)

    def read(self, path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Memory-map the file and yield its batches without a copy."""
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
                if not stream.schema.equals(schema, check_metadata=True):
                    raise SetError(f"{path}: expected the schema of the task, got another schema: rebuild the set")
                yield from stream
        except (pa.ArrowException, OSError) as error:
            raise SetError(f"{path}: expected an Arrow IPC stream, got: {str(error).splitlines()[0]}") from error


FORMAT = ArrowStream()


def read_batch_at(path: Path, schema: pa.Schema, offset: int) -> pa.RecordBatch:
    """The record batch that begins at byte `offset`, without reading the bytes before it."""
    try:
        with pa.memory_map(str(path)) as source:
            source.seek(offset)
            return pa.ipc.read_record_batch(pa.ipc.read_message(source), schema)
    except (pa.ArrowException, OSError) as error:
        raise SetError(
            f"{path}: expected a record batch at byte {offset}, got: {str(error).splitlines()[0]}"
        ) from error
