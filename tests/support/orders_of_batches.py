"""Sets, options and helpers of the tests that compare batches with the oracle of the order."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import lra_data
from lra_data.loading.dataset import Dataset
from tests.oracles import loading_oracle as oracle

MINI = "listops/mini"
MANY = {"train": 331, "validation": 1, "test": 5}
BLOCK = 16
TRAIN = lra_data.get_task(MINI).sizes["train"]

Options = dict[str, Any]
Sets = dict[str, Path]

# One of each kind of order, for tests that do not draw them.
KINDS: dict[str, Options] = {
    "rows": {},
    "shuffled": {"shuffle": True, "seed": 3},
    "windowed": {"shuffle": True, "window": 23, "shards_at_once": 2, "seed": 4},
    "bucketed rows": {"bucket_window": 50},
    "bucketed": {"shuffle": True, "bucket_window": 40, "seed": 1},
    "bucketed windows": {"shuffle": True, "window": 60, "bucket_window": 33},
}

fixtures_are_shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def order_of(root: Path, data: Dataset, rows: Sequence[dict[str, Any]], options: Options) -> oracle.Order:
    """The oracle's order for the arguments of `batches`, with shards as the manifest says."""
    shards = {}
    block = 64
    first, last = data.selected.start, data.selected.stop
    for shard in json.loads((root / MINI / "manifest.json").read_text())["shards"]:
        if shard["split"] == data.split:
            shards[shard["start"]] = min(shard["stop"], last) - max(shard["start"], first)
    names = ("shuffle", "window", "shards_at_once", "bucket_window", "seed")
    return oracle.Order(
        **{name: options[name] for name in names if name in options},
        shards=tuple(count for _, count in sorted(shards.items()) if count > 0),
        block=block,
        lengths=tuple(len(rows[index]["inputs"]) for index in data.selected),
    )


def made(first: int, count: int) -> list[dict[str, Any]]:
    """Rows of train, the split's or beyond it."""
    return list(lra_data.generate(MINI, "train", first, first + count).to_pylist())


def check_contents(batch: Any, rows: Sequence[dict[str, Any]] | Mapping[int, dict[str, Any]]) -> None:
    """Every field is what the rows with the batch's indices hold, padded with zeros."""
    due = [rows[index] for index in batch.indices.tolist()]
    width = max((len(row["inputs"]) for row in due), default=0)
    assert batch.inputs.shape == (len(due), 1, width)
    assert batch.lengths.tolist() == [[len(row["inputs"])] for row in due]
    assert batch.labels.tolist() == [row["label"] for row in due]
    assert batch.inputs[:, 0].tolist() == [row["inputs"] + [0] * (width - len(row["inputs"])) for row in due]


def indices(batches: Iterable[Any]) -> list[list[int]]:
    return [batch.indices.tolist() for batch in batches]


def exact(batch: Any) -> tuple[Any, ...]:
    """A batch as something that compares byte for byte."""
    parts = [np.asarray(part) for part in batch]
    return tuple((part.dtype.str, part.shape, part.tobytes()) for part in parts)


def joined(parts: Iterable[list[Any]]) -> list[Any]:
    return [one for part in parts for one in part]


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(state)))


@st.composite
def order_options(draw: st.DrawFn, *, window: bool | None = None) -> Options:
    """Arguments of `batches` for any kind of order; window: with or without one for sure."""
    options: Options = {"seed": draw(st.sampled_from([0, 1, 77, 2**64 - 1]))}
    if draw(st.booleans()):
        options["bucket_window"] = draw(st.sampled_from([1, 2, 15, 16, 17, 40, 331, 5000]))
    if window or (window is None and draw(st.booleans())):
        options |= {
            "shuffle": True,
            "window": draw(st.sampled_from([1, 2, 7, 16, 47, 60, 331, 5000])),
            "shards_at_once": draw(st.integers(1, 9)),
        }
    elif draw(st.booleans()):
        options["shuffle"] = True
    return options


@st.composite
def slices(draw: st.DrawFn) -> tuple[int, int]:
    """Bounds in `many`, often empty, of one row, or the whole split."""
    first = draw(st.integers(0, MANY["train"]))
    length = draw(st.one_of(st.integers(0, 3), st.integers(0, MANY["train"])))
    return draw(st.sampled_from([(first, min(first + length, MANY["train"])), (0, MANY["train"])]))
