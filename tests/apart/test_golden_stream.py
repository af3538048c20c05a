"""One stream in every framework: the same (seed, epoch, rank, world size) gives the same examples, byte for byte."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lra_data
from lra_data.loading.batches import Batches
from tests.conftest import SMALL_SIZES

# Of the stream below. It changes only with "Data changes" or "Order changes" in the change log: whoever resumes a run
# with another version of this package counts on it.
GOLDEN = "08f8e47eae30c2806182e4e5887a9fe5"
GOLDEN_WINDOWS = "7637a91bc6ccbad04264e1b980ad185c"

Example = tuple[int, int, list[np.ndarray[Any, Any]]]


def stream(root: Path | None, **options: Any) -> Batches:
    """Rank 1 of 2, batches of 7 of validation, shuffled with seed 3 in epoch 1."""
    split = options.pop("split", f"validation[:{SMALL_SIZES['validation']}]")
    data = lra_data.load("listops/mini", split=split, root=root, format_name=options.pop("format_name", None))
    return data.batches(7, **{"shuffle": True, "seed": 3, "epoch": 1, "rank": 1, "world_size": 2, **options})


def examples(batches: Iterable[Any]) -> Iterable[Example]:
    """Index, label, and sequences without padding of each example of some batches of any framework."""
    for batch in batches:
        inputs, lengths, labels, indices = (np.asarray(part) for part in batch[:4])
        for row, (label, index) in enumerate(zip(labels.tolist(), indices.tolist(), strict=True)):
            yield index, label, [inputs[row, place, :length] for place, length in enumerate(lengths[row].tolist())]


def digest(found: Iterable[Example]) -> str:
    total = hashlib.sha256()
    for index, label, sequences in found:
        total.update(f"{index} {label} {[len(values) for values in sequences]}".encode())
        for values in sequences:
            total.update(np.asarray(values).astype("<i4").tobytes())
    return total.hexdigest()[:32]


def test_the_stream_is_the_pinned_one(small_root: Path) -> None:
    assert digest(examples(stream(small_root))) == GOLDEN
    assert digest(examples(stream(None))) == GOLDEN
    assert digest(examples(stream(small_root, prefetch=3, threads=2))) == GOLDEN
    assert digest(examples(stream(small_root, dtype="uint8"))) == GOLDEN


@pytest.mark.parametrize("format_name", ["arrow", "parquet", "webdataset"])
def test_windows_are_the_same_in_every_format(small_root: Path, format_name: str) -> None:
    options = {"split": "train[100:]", "window": 200, "format_name": format_name}  # over two shards
    assert digest(examples(stream(small_root, **options))) == GOLDEN_WINDOWS


@pytest.mark.parametrize("num_workers", [0, 2])
def test_torch(small_root: Path, num_workers: int) -> None:
    from lra_data.loading.frameworks.torch_batches import TorchLoader

    assert digest(examples(TorchLoader(stream(small_root), num_workers=num_workers))) == GOLDEN


def test_torch_map_style(small_root: Path) -> None:
    from torch.utils.data import DataLoader

    from lra_data.loading.frameworks.torch_batches import BatchSampler, TorchExamples

    data = lra_data.load("listops/mini", split="validation", root=small_root)
    mapped = TorchExamples(data)
    loader = DataLoader(mapped, batch_sampler=BatchSampler(stream(small_root)), collate_fn=mapped.collate)
    found = list(loader)
    assert digest(examples(found)) == GOLDEN
    for one, two in zip(found, stream(small_root), strict=True):
        assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, two, strict=True))  # padding too
    assert digest(examples(loader)) != GOLDEN  # its second pass is the next epoch


def test_jax(small_root: Path) -> None:
    from lra_data.loading.frameworks.jax_batches import JaxLoader

    assert digest(examples(JaxLoader(stream(small_root)))) == GOLDEN
    assert digest(examples(JaxLoader(stream(small_root, dtype="uint8")))) == GOLDEN


def test_tensorflow(small_root: Path) -> None:
    from lra_data.loading.frameworks.tf_batches import TensorFlowLoader

    loader = TensorFlowLoader(stream(small_root))
    assert int(loader.dataset().cardinality()) == len(loader) == 5
    assert digest(examples(loader)) == GOLDEN


def test_hugging_face_stream(small_root: Path) -> None:
    from lra_data.loading.frameworks.hf_datasets import stream_hf

    rows = stream_hf(stream(small_root)).with_format("numpy")
    assert digest((row["index"], row["label"], [row["inputs"]]) for row in rows) == GOLDEN


# grain starts processes, and in them whatever the main module does: a module of its own, as users have one.
GRAIN = """
import sys
from pathlib import Path

from tests.apart.test_golden_stream import digest, examples, stream


def main() -> None:
    import grain
    from absl import flags
    from lra_data.loading.frameworks.grain_source import BatchSource

    flags.FLAGS(sys.argv[:1])  # grain's workers ask for flags, which absl.app.run would have parsed
    source = BatchSource(stream(Path(sys.argv[1])))
    loader = grain.DataLoader(
        data_source=source,
        sampler=grain.samplers.SequentialSampler(len(source)),
        shard_options=grain.sharding.NoSharding(),
        worker_count=int(sys.argv[2]),
    )
    print(digest(examples(loader)))
    # grain's own checkpoint, taken in the middle
    iterator = iter(loader)
    whole = list(examples(loader))
    begun = [next(iterator) for _ in range(2)]
    again = iter(loader)
    again.set_state(iterator.get_state())
    print(digest([*examples(begun), *examples(again)]) == digest(whole))


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_grain(small_root: Path, tmp_path: Path, workers: int) -> None:
    script = tmp_path / "with_grain.py"
    script.write_text(GRAIN)
    found = subprocess.run(
        [sys.executable, str(script), str(small_root), str(workers)],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == [GOLDEN, "True"]


def test_grain_over_examples(small_root: Path) -> None:
    import grain

    from lra_data.loading.frameworks.grain_source import ExampleSource, OrderSampler

    data = lra_data.load("listops/mini", split="validation", root=small_root)
    loader = grain.DataLoader(
        data_source=ExampleSource(data),
        sampler=OrderSampler(stream(small_root)),
        shard_options=grain.sharding.NoSharding(),
        worker_count=0,
    )
    rows = ((int(row["index"]), int(row["label"]), list(row["inputs"])) for row in loader)
    assert digest(rows) == GOLDEN
    shuffled = grain.MapDataset.source(ExampleSource(data)).seed(1).shuffle()
    assert sorted(int(row["index"]) for row in shuffled) == list(range(len(data)))
