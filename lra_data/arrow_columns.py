"""Arrow columns from NumPy arrays, and schemas that Hugging Face `datasets` understands, without importing it.

`datasets` reads its features from the Arrow schema metadata under the key `huggingface`. This gives labels their names
in every format that keeps an Arrow schema. `datasets.Features` documents the JSON. The key `lra_data` holds the names
and shapes of the columns that are pictures, flattened row by row.
"""

import json
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_NAMES = b"label_names"
_SHAPE = b"picture_shape"


def class_label(name: str, label_names: Sequence[str]) -> pa.Field:
    """An int64 column whose values are positions in `label_names`."""
    return pa.field(name, pa.int64(), metadata={_NAMES: json.dumps(list(label_names))})


def picture(name: str, *shape: int) -> pa.Field:
    """A column of pictures of uint8, (height, width) or (height, width, channels), flattened row by row."""
    return pa.field(name, pa.list_(pa.uint8(), prod(shape)), metadata={_SHAPE: json.dumps(shape)})


def make_schema(fields: Sequence[pa.Field]) -> pa.Schema:
    """A schema of these fields with the metadata for `datasets`; field metadata is turned into it.

    The fields must be nullable, though no row has a null: `datasets` ignores label names on other fields.
    """
    features = {field.name: _feature(field) for field in fields}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    shapes = {field.name: json.loads(field.metadata[_SHAPE]) for field in fields if _SHAPE in (field.metadata or {})}
    if shapes:
        metadata["lra_data"] = json.dumps({"pictures": shapes})
    return pa.schema([field.remove_metadata() for field in fields], metadata=metadata)


def column(values: NDArray[Any]) -> pa.Array:
    """A NumPy array of numbers as an Arrow array, without a copy. (`pa.array` would import pandas to look.)"""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def numbers(values: pa.Array) -> NDArray[Any]:
    """An Arrow array of numbers without nulls as a read-only NumPy array, without a copy, and without pandas."""
    return np.from_dlpack(values)


def list_column(offsets: NDArray[np.int32], values: NDArray[Any]) -> pa.Array:
    """Row i is values[offsets[i] : offsets[i + 1]]; a list array without a copy."""
    children = column(values)
    buffers = [None, pa.py_buffer(offsets)]
    return pa.Array.from_buffers(pa.list_(children.type), len(offsets) - 1, buffers, children=[children])


def text_column(words: Sequence[str]) -> pa.Array:
    """A string array, without importing pandas."""
    encoded = [word.encode() for word in words]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), len(words), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def fixed_list_column(values: NDArray[Any]) -> pa.Array:
    """Row i is values[i], for a contiguous array of two dimensions; a fixed-size list array without a copy."""
    return pa.FixedSizeListArray.from_arrays(column(values.ravel()), values.shape[1])


def rows_of(lists: pa.Array) -> NDArray[Any]:
    """A fixed-size list array of numbers as an array (rows, size), without a copy."""
    return numbers(lists.flatten()).reshape(len(lists), lists.type.list_size)


def picture_shapes(schema: pa.Schema) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the columns that are pictures."""
    found = json.loads((schema.metadata or {}).get(b"lra_data", b"{}"))
    return {name: tuple(shape) for name, shape in found.get("pictures", {}).items()}


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """The features that `make_schema` wrote: name to the JSON form of a `datasets` feature."""
    return dict(json.loads(schema.metadata[b"huggingface"])["info"]["features"])


def webdataset_members(schema: pa.Schema) -> dict[str, str]:
    """Extensions of the inputs columns in a WebDataset: `inputs` is stored as `npy` or `png`, `inputs_1` as `1.npy`."""
    pictures = picture_shapes(schema)
    members = {}
    for name in schema.names:
        if name.startswith("inputs"):
            suffix = name.removeprefix("inputs").removeprefix("_")
            kind = "png" if name in pictures else "npy"
            members[name] = f"{suffix}.{kind}" if suffix else kind
    return members


def sequence_names(schema: pa.Schema) -> list[str]:
    """The columns that hold sequences: `inputs`, or `inputs_1` and `inputs_2` for a pair of documents."""
    return [name for name in schema.names if name.startswith("inputs")]


def webdataset_features(schema: pa.Schema) -> dict[str, Any]:
    """The same features as the members of a WebDataset example: png or npy, cls, and the rest in json."""
    features, pictures = features_of(schema), picture_shapes(schema)
    members = webdataset_members(schema)
    inputs = {member: {"_type": "Image"} if name in pictures else features[name] for name, member in members.items()}
    rest = {name: features[name] for name in sorted(features) if name != "label" and not name.startswith("inputs")}
    text = {"dtype": "string", "_type": "Value"}
    return {"__key__": text, "__url__": text, "cls": features["label"], "json": rest, **inputs}


def _feature(field: pa.Field) -> dict[str, Any]:
    if field.metadata and _NAMES in field.metadata:
        return {"names": json.loads(field.metadata[_NAMES]), "_type": "ClassLabel"}
    return _feature_of_type(field.type)


def _feature_of_type(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature_of_type(kind.value_type), "length": kind.list_size, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _feature_of_type(kind.value_type), "_type": "List"}
    return {"dtype": str(kind), "_type": "Value"}
