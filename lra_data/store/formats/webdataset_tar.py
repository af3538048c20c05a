"""Shards as WebDataset tar files: for each example `<key>.npy` or, for pictures, `<key>.png` (inputs), `<key>.cls`
(label), `<key>.json` (the other columns).

The standard library writes the files: importing the `webdataset` library loads torch, and its writer puts the current
time into every header. Keys contain no dots, since WebDataset ends a key at the first dot.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lra_data.arrow_columns import numbers, picture_shapes, webdataset_features, webdataset_members
from lra_data.errors import SetError
from lra_data.picture_files import png_bytes, png_versions, read_png
from lra_data.store.atomic_files import Sink
from lra_data.store.formats.shard_format import ShardFormat, ShardWriter

# Version 1.0 of the format (numpy.lib.format), of integers. Two bytes before the text are its length.
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype>[|<][iu][1248])', 'fortran_order': False, "
    rb"'shape': \((?P<count>\d+),\), \} *\n",
    re.DOTALL,
)
_ROWS_A_BATCH = 1024


class _Writer(ShardWriter):
    def __init__(self, sink: Sink, schema: pa.Schema, key_prefix: str) -> None:
        # numpy's npy, json's output and tarfile's USTAR headers are fixed formats, so their bytes do not depend on
        # library versions. The bytes of a PNG change with the compressor.
        self._tar = tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT)  # type: ignore[call-overload]  # noqa: SIM115
        self._prefix = key_prefix
        self._inputs = webdataset_members(schema)
        self._shapes = picture_shapes(schema)

    def write(self, batch: pa.RecordBatch) -> None:
        for row in range(len(batch)):
            values = {name: batch[name][row] for name in batch.schema.names}
            key = f"{self._prefix}-{values['index'].as_py():08d}"
            rest = {}
            for name, value in values.items():
                if name in self._inputs:
                    self._add(f"{key}.{self._inputs[name]}", self._encoded(name, numbers(value.values)))
                elif name == "label":
                    self._add(f"{key}.cls", str(value.as_py()).encode())
                else:
                    rest[name] = value.as_py()
            self._add(f"{key}.json", json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())

    def _encoded(self, name: str, values: "np.ndarray[Any, Any]") -> bytes:
        if name in self._shapes:
            return png_bytes(values.reshape(self._shapes[name]))
        return _npy_bytes(values)

    def _add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        member.mtime = 0
        member.mode = 0o444
        member.uname = member.gname = "lra-data"
        self._tar.addfile(member, io.BytesIO(data))

    def close(self) -> None:
        self._tar.close()


class WebdatasetTar(ShardFormat):
    """See ShardFormat."""

    extension = "tar"
    media_type = "application/x-tar"
    datasets_builder = "webdataset"

    def libraries(self, schema: pa.Schema) -> dict[str, str]:
        """For pictures, the versions of Pillow and of its zlib; empty for other examples."""
        if not picture_shapes(schema):
            return {}
        return png_versions()

    def features(self, schema: pa.Schema) -> dict[str, Any]:
        """The members of an example."""
        return webdataset_features(schema)

    def open_writer(self, sink: Sink, schema: pa.Schema, key_prefix: str) -> _Writer:
        """Begin a tar file whose keys are `<key_prefix>-<index>`."""
        return _Writer(sink, schema, key_prefix)

    def read(self, path: Path, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the examples in batches with the task's schema; raises SetError for a damaged or foreign tar."""
        inputs = {extension: name for name, extension in webdataset_members(schema).items()}
        rows: list[dict[str, Any]] = []
        key, row = "", dict[str, Any]()
        try:
            with tarfile.open(path, mode="r:") as tar:
                for member in tar:
                    file = tar.extractfile(member)
                    if file is None:
                        raise SetError(f"{path}: expected plain files, got {member.name!r}")
                    member_key, _, extension = member.name.partition(".")
                    if member_key != key and row:
                        rows.append(row)
                        row = {}
                        if len(rows) == _ROWS_A_BATCH:
                            yield pa.RecordBatch.from_pylist(rows, schema=schema)
                            rows = []
                    key = member_key
                    row |= _decode(extension, file.read(), inputs)
            _check_end(path)
            if row:
                rows.append(row)
            if rows:
                yield pa.RecordBatch.from_pylist(rows, schema=schema)
        except (tarfile.TarError, OSError, ValueError, KeyError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise SetError(f"{path}: expected a WebDataset tar of this task, got: {reason}") from error


FORMAT = WebdatasetTar()


def _check_end(path: Path) -> None:
    """Raise SetError for a truncated file. A tar file ends with two blocks of zeros and is padded to a record, but
    tarfile accepts any end.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - 2 * tarfile.BLOCKSIZE))
        if size % tarfile.RECORDSIZE or file.read().strip(b"\0"):
            raise SetError(f"{path}: expected a whole tar file, got one that ends early, after {size} bytes")


def _decode(extension: str, data: bytes, inputs: dict[str, str]) -> dict[str, Any]:
    if extension == "cls":
        return {"label": int(data)}
    if extension == "json":
        return dict(json.loads(data))
    if extension.endswith("png"):
        return {inputs[extension]: read_png(data).ravel()}
    return {inputs[extension]: _from_npy(data)}


def _from_npy(data: bytes) -> "np.ndarray[Any, Any]":
    """The array (n,) in a member as `_npy_bytes` writes it; raises ValueError for anything else.

    Not by `np.load`, which parses the header with `ast`: in two threads at a time, as loaders have, that raises a
    SystemError now and then under Python 3.11 (CPython issue 106905).
    """
    header = _NPY_HEADER.match(data)
    if header is None:
        raise ValueError("an .npy member that is not a one-dimensional array of integers")
    dtype, count = np.dtype(header["dtype"].decode()), int(header["count"])
    if len(data) != header.end() + count * dtype.itemsize:
        raise ValueError(f"an .npy member with {len(data) - header.end()} bytes of {count} {dtype.name} values")
    return np.frombuffer(data, dtype, count, header.end())


def _npy_bytes(values: "np.ndarray[Any, Any]") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
