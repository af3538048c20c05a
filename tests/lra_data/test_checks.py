"""NumPy's integers wherever an integer is taken, plain ints in what comes out; places, slices and splits that fail."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lra_data
from lra_data import UsageError
from lra_data.checks import plain_int, whole_number
from lra_data.corpus import Corpus
from lra_data.image.config import Config as ImageConfig
from lra_data.listops.config import Config as ListOpsConfig
from lra_data.loading.dataset import Dataset
from lra_data.pathfinder.config import Config as PathfinderConfig
from lra_data.splits import parse_split
from lra_data.task import MAX_SEED, check_seed
from lra_data.text.config import Config as TextConfig
from tests.conftest import file_bytes

# Of no type, because the signatures say int.
I8: Any = np.int8
I32: Any = np.int32
I64: Any = np.int64
U8: Any = np.uint8
U64: Any = np.uint64
TYPES = [np.int64, np.int32, np.uint8, np.uint64]


def is_plain(value: Any) -> bool:
    return type(value) is int


@pytest.mark.parametrize("kind", TYPES)
def test_whole_numbers_become_plain_ints(kind: Any) -> None:
    assert is_plain(whole_number("n", kind(3), 1))
    assert is_plain(check_seed(kind(3)))
    assert check_seed(U64(MAX_SEED)) == MAX_SEED
    assert is_plain(plain_int(np.array(3, dtype=kind)))


@pytest.mark.parametrize("value", [True, False, np.True_, 1.0, np.float64(1), "1", None, [1], np.array([1, 2])])
def test_what_is_not_a_whole_number(value: Any) -> None:
    assert plain_int(value) is None
    with pytest.raises(UsageError, match="n must be an integer >= 0, got "):
        whole_number("n", value, 0)
    with pytest.raises(UsageError, match="expected a seed from 0 to"):
        check_seed(value)


@pytest.mark.parametrize("name", ["listops/mini", "pathfinder/32-hard"])
def test_generate_and_take(name: str) -> None:
    expected = lra_data.generate(name, "train", 2, 5, seed=3)
    assert lra_data.generate(name, "train", I64(2), I32(5), seed=U8(3)).equals(expected)
    indices: Any
    for indices in ([I64(2), 3, U64(4)], np.array([2, 3, 4]), np.array([2, 3, 4], dtype=np.uint8)):
        assert lra_data.take(name, "train", indices, seed=I64(3)).equals(expected)
    for indices in ([True], np.array([True, False]), [1.5], ["1"], 3, np.array([[1, 2]]), [None]):
        with pytest.raises(UsageError, match="as indices, "):
            lra_data.take(name, "train", indices)
    with pytest.raises(UsageError, match=r"start must be an integer >= 0, got 0\.5"):
        lra_data.generate(name, "train", 0.5, 2)  # type: ignore[arg-type]


def test_a_corpus_takes_them_too(corpora: dict[str, Path]) -> None:
    given: dict[str, Any] = {"corpus": lra_data.Corpus(corpora["text"], allow_partial=True)}
    expected = lra_data.take("text", "test", [1, 0], **given)
    places: Any = np.array([1, 0])
    assert lra_data.take("text", "test", places, **given, seed=I64(0)).equals(expected)
    task = lra_data.get_task(TextConfig(holdout=2)).over(Corpus(corpora["text"], allow_partial=True))
    assert task.take("train", [I64(0)], seed=I64(5)).equals(task.take("train", [0], seed=5))


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (ListOpsConfig(max_depth=I64(5), max_length=I32(700)), ListOpsConfig(max_depth=5, max_length=700)),
        (TextConfig(holdout=I64(2)), TextConfig(holdout=2)),
        (ImageConfig(channels=I64(3)), ImageConfig(channels=3)),
        (
            PathfinderConfig(resolution=I64(32), paddle_margin_list=(I64(1),), continuity=I64(1)),
            PathfinderConfig(resolution=32, paddle_margin_list=(1,), continuity=1.0),
        ),
    ],
)
def test_configurations(given: Any, plain: Any) -> None:
    assert given == plain
    mine, other = lra_data.get_task(given), lra_data.get_task(plain)
    assert json.dumps(mine.record()) == json.dumps(other.record())
    assert mine.name == other.name
    with pytest.raises(UsageError):
        type(given)(**{next(iter(vars(given))): True})


def test_models_and_recipes() -> None:
    pytest.importorskip("torch")
    from dataclasses import asdict, replace

    from reference_models.model.presets import preset
    from reference_models.training.recipes import recipe

    model = preset("mini", task="listops", attention="local")
    given = replace(model, dim=I64(model.dim), seed=I64(4), options={"block": I64(8)})
    assert json.dumps(asdict(given)) == json.dumps(asdict(replace(model, seed=4, options={"block": 8})))
    training = recipe("mini", task="listops")
    assert json.dumps(asdict(replace(training, steps=I64(7), seed=I32(1)))) == json.dumps(
        asdict(replace(training, steps=7, seed=1))
    )
    with pytest.raises(ValueError, match="dim must be an integer"):
        replace(model, dim=True)


def test_builds(tmp_path: Path) -> None:
    sizes = {"train": 30, "validation": 5, "test": 5}
    lra_data.build("listops/mini", tmp_path / "plain", sizes=sizes, num_shards=2, seed=4)
    lra_data.build(
        "listops/mini",
        tmp_path / "numpy",
        sizes={split: I64(size) for split, size in sizes.items()},
        num_shards=I64(2),
        seed=I64(4),
    )
    found = file_bytes(tmp_path / "numpy" / "listops" / "mini")
    assert found == file_bytes(tmp_path / "plain" / "listops" / "mini")
    wrong: Any
    for wrong in ({"num_shards": True}, {"sizes": {"train": True}}, {"seed": True}, {"workers": True}):
        with pytest.raises(UsageError, match="got True"):
            lra_data.build("listops/mini", tmp_path / "wrong", **wrong)


@pytest.fixture(scope="module")
def built(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split="train[100:200]", root=small_root, seed=I64(0))


@pytest.fixture(scope="module")
def virtual() -> Dataset:
    return lra_data.load("listops/mini", split="train[100:200]", seed=I64(0))


def test_the_state_of_batches_is_json(built: Dataset, virtual: Dataset) -> None:
    for dataset in (built, virtual):
        batches = dataset.batches(I64(8), shuffle=True, seed=I64(3), epoch=I32(2), rank=I64(1), world_size=I64(2))
        plain = dataset.batches(8, shuffle=True, seed=3, epoch=2, rank=1, world_size=2)
        assert np.array_equal(next(batches).indices, next(plain).indices)
        assert json.dumps(batches.state_dict()) == json.dumps(plain.state_dict())


@pytest.mark.parametrize("which", ["built", "virtual"])
def test_places(which: str, request: pytest.FixtureRequest) -> None:
    dataset: Any = request.getfixturevalue(which)
    assert dataset[I64(3)]["index"] == 103
    assert dataset[I8(-1)]["index"] == 199
    for places in ([3, -1, 3], (3, -1, 3), np.array([3, -1, 3]), [I64(3), I32(-1), 3], range(3, 4)):
        rows = dataset[places]
        assert isinstance(rows, pa.RecordBatch)
        assert rows["index"].to_pylist() == ([103] if isinstance(places, range) else [103, 199, 103])
    assert len(dataset[[]]) == 0
    assert dataset[10:2:-1]["index"].to_pylist() == list(range(110, 102, -1))
    assert dataset[::-50]["index"].to_pylist() == [199, 149]
    assert dataset[I64(2) : I64(4)]["index"].to_pylist() == [102, 103]
    assert len(dataset[10:2]) == 0  # as a list
    row = dataset[::-1].slice(0, 1)
    assert row.equals(lra_data.take("listops/mini", "train", [199]))


@pytest.mark.parametrize("which", ["built", "virtual"])
@pytest.mark.parametrize("place", ["inputs", True, None, 1.5, [True, False], [1.5], np.array([True] * 100), {1: 2}])
def test_places_that_are_none(which: str, place: Any, request: pytest.FixtureRequest) -> None:
    with pytest.raises(UsageError, match=r"^expected .*, got ") as caught:
        request.getfixturevalue(which)[place]
    assert "\n" not in str(caught.value)


def test_places_outside(built: Any) -> None:
    for place in (100, -101, I64(100)):
        with pytest.raises(IndexError, match=r"expected a place from -100 to 99, got "):
            built[place]
    with pytest.raises(IndexError, match="got 100"):
        built[[0, 100]]
    for place in (slice("a", None), slice(None, None, 0), slice(1.5, None), slice(True, None)):
        with pytest.raises(UsageError, match="expected integers in a slice"):
            built[place]


def test_places_of_a_protocol(small_root: Path) -> None:
    dataset: Any = lra_data.load_as("lra-2020", "listops/mini", split="test[10:20]", root=small_root)
    assert dataset[I64(2)].indices.tolist() == [12]
    assert dataset[[2, -1]].indices.tolist() == [12, 19]
    assert dataset[5:2:-1].indices.tolist() == [15, 14, 13]
    with pytest.raises(UsageError, match="got 'a'"):
        dataset["a"]


SIZES = {"train": 100, "validation": 10, "test": 10}


@pytest.mark.parametrize("split", ["train[10:2]", "train[-5:3]", "train[50%:10%]", "train[:-200]", "train[200:300]"])
def test_slices_of_a_split_in_the_wrong_order(split: str) -> None:
    if split in ("train[:-200]", "train[200:300]"):  # clipped, as Python clips
        assert len(parse_split(split, SIZES)[1]) == 0
        return
    with pytest.raises(
        UsageError, match=r"expected a split whose first row comes before its last, got '.*swap"
    ) as caught:
        parse_split(split, SIZES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("split", [None, 0, ["train"], b"train", {"train"}])
def test_splits_that_are_no_text(split: Any, small_root: Path) -> None:
    for call in (
        lambda: lra_data.load("listops/mini", split=split),
        lambda: lra_data.load("listops/mini", split=split, root=small_root),
        lambda: lra_data.take("listops/mini", split, [0]),
        lambda: lra_data.generate("listops/mini", split, 0, 1),
    ):
        with pytest.raises(UsageError, match=r"expected .*split.*, got ") as caught:
            call()
        assert "\n" not in str(caught.value)
