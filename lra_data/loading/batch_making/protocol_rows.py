"""A set as another code base reads it: same ids, same lengths, same order. Only readings that are exact are applied.

What each protocol does is told in `lra_data/interop`; here is the arithmetic. Batches for training, shuffles and
ranks are not the business of this module.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import column, numbers, rows_of
from lra_data.errors import UsageError
from lra_data.interop.protocol import Reading, get_protocol
from lra_data.interop.torch_pictures import image_order, pathfinder_order, pillow_grey
from lra_data.splits import SPLITS, split_name
from lra_data.store.row_access import Rows
from lra_data.task import Task

# Protocols that make their own grey of coloured pictures and part them by torch's random_split.
_TORCHVISION = ("s4", "mega")

_S4_PAD, _S4_UNKNOWN, _S4_END = range(3)
_S4_WORDS = 2047

# What stands in LRA's TSV files for the bytes that would break a line (`retrieval/release.py`).
_CLEANED = bytes.maketrans(b"\t\n\r\0", b"    ")
_LRA_RETRIEVAL_BYTES = 10_000


@dataclass(frozen=True)
class Read:
    """Examples as a protocol reads them; S sequences an example, L their length here.

    inputs: int32 (n, S, L), or float32 where the protocol has no ids. lengths: int32 (n, S), without padding. keep:
    bool (n, S, L), False for padding and whatever else that code base hides, in its reader or its models. labels:
    int64 (n,).
    """

    inputs: NDArray[Any]
    lengths: NDArray[np.int32]
    keep: NDArray[np.bool_]
    labels: NDArray[np.int64]


class ProtocolView:
    """The splits of a set under a protocol; `take` reads examples by their place in the protocol's order."""

    def __init__(self, rows: Rows, name: str) -> None:
        self._rows, self.name = rows, name
        self.reading: Reading = get_protocol(name)[rows.task.family]
        if not self.reading.exact:
            raise UsageError(
                f"expected a protocol that is exact for {rows.task.family}, such as lra-2020; {name} is only "
                f"described: "
                f"{'; '.join(self.reading.differences)}"
            )
        self._encode = _ENCODERS[name, rows.task.family]
        self._check_set()

    @property
    def task(self) -> Task:
        """The task that is read."""
        return self._rows.task

    @property
    def identity(self) -> str:
        """Which set is read, in words: the task's record and the seed."""
        config = json.dumps(self._rows.task.identity(), sort_keys=True)
        return f"{self._rows.task.name} {config} {self._rows.seed} {self._rows.sizes}"

    @property
    def sizes(self) -> dict[str, int]:
        """Examples a split."""
        return {split: len(order) for split, order in self._orders.items()}

    def place(self, split: str, position: int) -> tuple[str, int]:
        """Our split and index of the example at a position of the protocol's split; UsageError if there is none."""
        order = self._orders[split_name(split)]
        if not 0 <= position < len(order):
            raise UsageError(f"expected a position from 0 to {len(order) - 1} in {split}, got {position}")
        return order[position]

    def take(self, split: str, positions: Sequence[int]) -> Read:
        """The examples at these positions of the protocol's split, in this order."""
        places = [self.place(split, position) for position in positions]
        splits = list(dict.fromkeys(own for own, _ in places)) or ["train"]
        taken = [self._rows.take(own, [index for split, index in places if split == own]) for own in splits]
        batch = taken[0]
        if len(taken) > 1:
            # Place by place: which split's next row it is.
            first = dict(zip(splits, np.cumsum([0, *map(len, taken[:-1])]).tolist(), strict=True))
            order = []
            for own, _ in places:
                order.append(first[own])
                first[own] += 1
            batch = pa.concat_batches(taken).take(column(np.array(order, dtype=np.int64)))
        return self._encode(self, batch)

    @cached_property
    def _orders(self) -> dict[str, Sequence[tuple[str, int]]]:
        family = self._rows.task.family
        if self.name in _TORCHVISION and family == "image":
            return image_order(self._rows)
        if self.name in _TORCHVISION and family == "pathfinder":
            return pathfinder_order(self._rows, self._rows.task.schema.names)
        return {split: [(split, index) for index in range(self._rows.sizes[split])] for split in SPLITS}

    def _check_set(self) -> None:
        task = self._rows.task
        wants_colour = self.name in _TORCHVISION and task.family == "image"
        has_colour = task.family == "image" and task.config.channels == 3
        if wants_colour != has_colour:
            wanted = "image/rgb, of which it makes its own grey" if wants_colour else "a set in grey, such as image/lra"
            raise UsageError(f"the protocol {self.name} reads {wanted}; got {task.name}")
        if self.name == "lra-2020" and task.family == "text" and task.config.holdout:
            raise UsageError(f"the protocol lra-2020 has the test reviews as validation, as text/lra; got {task.name}")
        if self.name in _TORCHVISION and task.family == "pathfinder" and task.config.contour_length != 14:
            raise UsageError(f"the protocol {self.name} reads the hard difficulty of Pathfinder alone, got {task.name}")
        if self.name == "nystromformer" and task.pickle_name is None:
            raise UsageError(f"the protocol nystromformer never read {task.name}")

    @cached_property
    def s4_words(self) -> NDArray[np.int32]:
        """S4's id of each of our ListOps ids: by frequency in train, equal ones by alphabet, behind the three marks."""
        vocabulary = self._rows.task.vocabulary
        if vocabulary is None:
            raise AssertionError("ListOps has words")
        counts: Counter[int] = Counter()
        for batch in self._rows.batches("train"):
            for (ids,) in _sequences(batch):
                counts.update(dict(enumerate(np.bincount(ids[:_S4_WORDS]).tolist())))
        counts = +counts

        def rank(number: int) -> tuple[int, str]:
            word = vocabulary[number - 1]
            return -counts[number], "X" if word == "]" else word

        table = np.full(len(vocabulary) + 1, _S4_UNKNOWN, dtype=np.int32)
        for place, number in enumerate(sorted(counts, key=rank)):
            table[number] = _S4_END + 1 + place
        return table


def open_protocol(name: str, rows: Rows) -> ProtocolView:
    """The set as the protocol `name` reads it; raises UsageError where the protocol only describes the task."""
    return ProtocolView(rows, name)


def _sequences(batch: pa.RecordBatch) -> list[list[NDArray[np.uint8]]]:
    """The sequences of each example."""
    names = [name for name in batch.schema.names if name.startswith("inputs")]
    return [[numbers(batch[name][row].values) for name in names] for row in range(len(batch))]


def _padded(batch: pa.RecordBatch, sequences: list[list[NDArray[Any]]], length: int | None) -> Read:
    """Ids with 0 on the right, to `length` or to the longest."""
    num_sequences = sum(name.startswith("inputs") for name in batch.schema.names)
    lengths = np.array([[len(ids) for ids in row] for row in sequences], dtype=np.int32).reshape(-1, num_sequences)
    longest = length if length is not None else int(lengths.max(initial=0))
    inputs = np.zeros((*lengths.shape, longest), dtype=np.int32)
    for row, some in enumerate(sequences):
        for place, ids in enumerate(some):
            inputs[row, place, : len(ids)] = ids
    return Read(inputs, lengths, np.arange(longest) < lengths[..., None], numbers(batch["label"]))


def _pixels(batch: pa.RecordBatch) -> Read:
    inputs = rows_of(batch["inputs"]).astype(np.int32)[:, None]
    lengths = np.full(inputs.shape[:2], inputs.shape[2], dtype=np.int32)
    return Read(inputs, lengths, np.ones(inputs.shape, dtype=bool), numbers(batch["label"]))


def _lra_listops(view: ProtocolView, batch: pa.RecordBatch) -> Read:
    return _padded(batch, [[ids[:2000] for ids in row] for row in _sequences(batch)], 2000)


def _lra_text(view: ProtocolView, batch: pa.RecordBatch) -> Read:
    return _padded(batch, [[ids[:1000].astype(np.int32) + 1 for ids in row] for row in _sequences(batch)], 1000)


def _lra_retrieval(view: ProtocolView, batch: pa.RecordBatch) -> Read:
    def read(text: NDArray[np.uint8]) -> NDArray[np.int32]:
        kept = text.tobytes().translate(_CLEANED)[:_LRA_RETRIEVAL_BYTES]
        return np.frombuffer(kept, dtype=np.uint8)[:4000].astype(np.int32) + 1

    return _padded(batch, [[read(text) for text in row] for row in _sequences(batch)], 4000)


def _s4_listops(view: ProtocolView, batch: pa.RecordBatch) -> Read:
    end = np.array([_S4_END], dtype=np.int32)
    return _padded(
        batch,
        [[np.concatenate([view.s4_words[ids[:_S4_WORDS]], end]) for ids in row] for row in _sequences(batch)],
        None,
    )


def _s4_image(view: ProtocolView, batch: pa.RecordBatch) -> Read:
    return _normalised(batch, pillow_grey(batch)[:, None], 122.6 / 255.0, 61.0 / 255.0)


def _s4_pathfinder(view: ProtocolView, batch: pa.RecordBatch) -> Read:
    return _normalised(batch, rows_of(batch["inputs"])[:, None], 0.0, 1.0)


def _mega_image(view: ProtocolView, batch: pa.RecordBatch) -> Read:
    return _normalised(batch, pillow_grey(batch)[:, None], 0.48, 0.24)


def _mega_pathfinder(view: ProtocolView, batch: pa.RecordBatch) -> Read:
    return _normalised(batch, rows_of(batch["inputs"])[:, None], 0.5, 0.5)


def _normalised(batch: pa.RecordBatch, pixels: NDArray[np.uint8], mean: float, deviation: float) -> Read:
    """torchvision's ToTensor and Normalize, in float32 as there."""
    read = _pixels(batch)
    unit = pixels.astype(np.float32) / np.float32(255)
    inputs = (unit - np.float32(mean)) / np.float32(deviation)
    lengths = np.full(pixels.shape[:2], pixels.shape[2], dtype=np.int32)
    return Read(inputs, lengths, np.ones(pixels.shape, dtype=bool), read.labels)


def _pixels_without_black(view: ProtocolView, batch: pa.RecordBatch) -> Read:
    read = _pixels(batch)
    return Read(read.inputs, read.lengths, read.inputs != 0, read.labels)


_ENCODERS: dict[tuple[str, str], Callable[[ProtocolView, pa.RecordBatch], Read]] = {
    ("lra-2020", "image"): _pixels_without_black,
    ("lra-2020", "listops"): _lra_listops,
    ("lra-2020", "pathfinder"): _pixels_without_black,
    ("lra-2020", "retrieval"): _lra_retrieval,
    ("lra-2020", "text"): _lra_text,
    ("s4", "image"): _s4_image,
    ("s4", "listops"): _s4_listops,
    ("s4", "pathfinder"): _s4_pathfinder,
    ("mega", "image"): _mega_image,
    ("mega", "pathfinder"): _mega_pathfinder,
    ("nystromformer", "image"): _pixels_without_black,
    ("nystromformer", "pathfinder"): _pixels_without_black,
}
