"""Batches as JAX arrays, with `jax.device_put`. See `grain_source.py` for worker processes."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lra_data.loading.batch_making.collate import Batch, ProtocolBatch
from lra_data.loading.batches import Batches
from lra_data.loading.frameworks.loader import ConvertedPass, Loader
from lra_data.optional_import import require
from lra_data.shown import array_facts, as_html, as_text

if TYPE_CHECKING:
    import jax


class JaxBatch(NamedTuple):
    """`collate.Batch` on a device: inputs (B, S, L) int32, lengths (B, S), labels and indices (B,), all int32.

    keep: bool (B, S, L) under a protocol, whose inputs may be float32; otherwise None.
    """

    inputs: "jax.Array"
    lengths: "jax.Array"
    labels: "jax.Array"
    indices: "jax.Array"
    keep: "jax.Array | None" = None

    def __repr__(self) -> str:
        return as_text(type(self).__name__, array_facts(self))

    def _repr_html_(self) -> str:
        """Dtypes and shapes, for notebooks."""
        return as_html(type(self).__name__, array_facts(self))


def to_jax(batch: Batch | ProtocolBatch, *, device: Any = None, offset: int = 0) -> JaxBatch:
    """Put a batch on a device, or distribute it by a jax.sharding.Sharding; uint8 is widened there.

    offset: number added to the values but not to the padding; `Batches.offset` is the one for a uint8 batch.
    """
    jax = require("jax", "jax")
    # JAX has no int64 by default; labels and indices fit into int32.
    small = [array.astype(np.int32) if array.dtype == np.int64 else array for array in batch]
    arrays = jax.device_put(small, device)
    inputs = arrays[0].astype(np.int32) if arrays[0].dtype == np.uint8 else arrays[0]
    if offset:
        kept = jax.numpy.arange(inputs.shape[-1]) < arrays[1][..., None]
        inputs = (inputs + offset) * kept
    return JaxBatch(inputs, *arrays[1:])


class JaxLoader(Loader):
    """`Batches` as JAX arrays: the same length, epochs and state. Each `iter` is the next epoch."""

    def __init__(self, batches: Batches, *, device: Any = None) -> None:
        require("jax", "jax")
        super().__init__(batches)
        self._device = device

    def __iter__(self) -> Iterator[JaxBatch]:
        convert = partial(to_jax, device=self._device, offset=self.batches.offset)
        return ConvertedPass(iter(self.batches), convert)
