"""Lightning, Accelerate and Hugging Face's Trainer, in scripts of their own as users run them, most with two processes.

A script writes which examples each rank was given; the tests count them. Importing Lightning warns, which would be an
error in this process.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import lra_data

pytestmark = pytest.mark.slow  # the quick run has the scripts of docs/loading.md, one for each library

HERE = Path(__file__).parent
TRAIN, VALIDATION = 100, 40  # 7 batches of 16 on one rank, 4 on each of two


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trainers")
    lra_data.build("listops/mini", root, sizes={"train": TRAIN, "validation": VALIDATION, "test": 2})
    return root


def run(folder: Path, *command: object) -> list[dict[str, Any]]:
    """What each rank found."""
    found = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, command)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-4000:]
    return [json.loads(path.read_text()) for path in sorted(folder.glob("rank-*.json"))]


def torchrun(folder: Path, script: str, *arguments: object) -> list[dict[str, Any]]:
    return run(folder, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", HERE / script, *arguments)


def counted(*parts: list[Any]) -> Counter[int]:
    """How often each example was given, in lists of numbers or of batches."""
    numbers: Counter[int] = Counter()
    for part in parts:
        for one in part:
            numbers.update(one if isinstance(one, list) else [one])
    return numbers


def times(count: int, size: int = TRAIN) -> Counter[int]:
    return Counter(dict.fromkeys(range(size), count))


def of_epoch(record: list[Any], epoch: int) -> list[Any]:
    """The batches of one epoch from a record of Lightning's script."""
    return [indices for at, indices in record if at == epoch]


@pytest.fixture(scope="module")
def lightning(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("lightning")
    return run(folder, HERE / "lightning_script.py", root, folder)


LOADERS = ("TorchLoader", "DataLoader", "StatefulDataLoader")


@pytest.mark.parametrize("loader", LOADERS)
def test_lightning_trains_every_epoch_and_validates_all(lightning: list[dict[str, Any]], loader: str) -> None:
    record = lightning[0][f"1, {loader}"]
    orders = set()
    for epoch in range(4):
        assert counted(of_epoch(record["trained"], epoch)) == times(1)
        assert counted(of_epoch(record["validated"], epoch)) == times(1, VALIDATION)
        orders.add(str(of_epoch(record["trained"], epoch)))
    assert len(orders) == 4
    assert len(of_epoch(record["validated"], -1)) == 2  # the sanity check


@pytest.mark.parametrize("loader", [*LOADERS, "BatchSampler"])
def test_lightning_shares_out_between_two_devices(lightning: list[dict[str, Any]], loader: str) -> None:
    records = [rank[f"2, {loader}"] for rank in lightning]
    for epoch in range(2):
        shares = [of_epoch(record["trained"], epoch) for record in records]
        assert [len(share) for share in shares] == [4, 4]
        assert counted(*shares) == times(1)
        assert counted(*(of_epoch(record["validated"], epoch) for record in records)) == times(1, VALIDATION)


@pytest.mark.parametrize(
    ("name", "steps", "devices"),
    [
        ("1, TorchLoader, stop 4", 4, 1),
        ("1, TorchLoader, stop 10", 10, 1),
        ("1, TorchLoader, stop 14", 14, 1),
        ("1, StatefulDataLoader, stop 14", 14, 1),
        ("2, TorchLoader, stop 3", 3, 2),
        ("2, TorchLoader, stop 5", 5, 2),
    ],
)
def test_lightning_goes_on_exactly(lightning: list[dict[str, Any]], name: str, steps: int, devices: int) -> None:
    """Stopped in the middle of an epoch, and at the end of one."""
    ranks = [rank[name] for rank in lightning[:devices]]
    assert all(len(rank["begun"]) == steps for rank in ranks)
    each = 7 if devices == 1 else 4
    for epoch in range(3):
        shares = [of_epoch(rank["begun"] + rank["rest"], epoch) for rank in ranks]
        assert [len(share) for share in shares] == [each] * devices
        assert counted(*shares) == times(1)


def test_lightning_does_not_share_out_a_share_again(lightning: list[dict[str, Any]]) -> None:
    for rank, found in enumerate(lightning):
        assert "use_distributed_sampler=False" in found["injected"]
        assert found["wrapped"] == (
            f"UsageError: expected the batches of all ranks, as Lightning divides them, got batches of rank {rank} "
            "of 2: pass use_distributed_sampler=False to the Trainer"
        )


def test_lightning_spawns_processes_with_a_loader_made_before(root: Path, tmp_path: Path) -> None:
    records = [rank["ddp_spawn"] for rank in run(tmp_path, HERE / "lightning_script.py", root, tmp_path, "ddp_spawn")]
    assert len(records) == 2
    for epoch in range(2):
        assert counted(*(of_epoch(record["trained"], epoch) for record in records)) == times(1)
        assert counted(*(of_epoch(record["validated"], epoch) for record in records)) == times(1, VALIDATION)


@pytest.fixture(scope="module")
def accelerate(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("accelerate")
    return torchrun(folder, "accelerate_script.py", root, folder)


def test_accelerate_leaves_a_torch_loader_as_it_is(accelerate: list[dict[str, Any]]) -> None:
    assert [rank["left as it is"] for rank in accelerate] == [True, True]
    for epoch in range(2):
        assert counted(*(rank["TorchLoader"][epoch][0] for rank in accelerate)) == times(1)
        for rank in accelerate:
            assert counted(rank["TorchLoader"][epoch][1]) == times(
                1
            )  # gather_for_metrics, with a last batch that is uneven


def test_accelerate_keeps_the_state_of_a_torch_loader(accelerate: list[dict[str, Any]]) -> None:
    assert [len(rank["stopped"][0]) for rank in accelerate] == [32, 32]
    assert counted(*(part for rank in accelerate for part in rank["stopped"])) == times(1)


def test_accelerate_does_not_share_out_a_share_again(accelerate: list[dict[str, Any]]) -> None:
    for rank, found in enumerate(accelerate):
        refused = {name: text for name, text in found.items() if name.startswith("refused")}
        assert len(refused) == 15
        expected = (
            f"UsageError: expected the batches of all ranks, as Accelerate divides them, got batches of rank {rank} "
            "of 2: leave this loader out of prepare, use a TorchLoader, or pass rank=0 and world_size=1 to batches"
        )
        worker = refused.pop("refused: own dataset, 1 workers")  # PyTorch puts the worker's traceback before it
        assert expected.removeprefix("UsageError: ") in worker
        assert set(refused.values()) == {expected}


def test_accelerate_shares_out_the_batches_of_one_rank(accelerate: list[dict[str, Any]]) -> None:
    for name in ("whole, 0 workers", "whole, 2 workers"):
        for epoch in range(2):
            assert counted(*(rank[name][epoch][0] for rank in accelerate)) == times(1), name
            assert counted(accelerate[0][name][epoch][1]) == times(1)
    # 99 examples: Accelerate gives one twice, so that both ranks have as many, and gather_for_metrics drops it.
    assert counted(*(rank["whole, odd"][0][0] for rank in accelerate)).total() == 100
    assert counted(accelerate[0]["whole, odd"][0][1]) == times(1, 99)
    assert all("use a TorchLoader" in rank["not dispatched"] for rank in accelerate)


def test_accelerate_shares_out_examples(accelerate: list[dict[str, Any]]) -> None:
    for epoch in range(2):
        assert set(counted(*(rank["examples"][epoch][0] for rank in accelerate))) == set(range(TRAIN))
        assert counted(accelerate[0]["examples"][epoch][1]) == times(1)


def test_accelerate_skips_batches_of_a_loader_that_is_not_prepared(accelerate: list[dict[str, Any]]) -> None:
    assert [len(rank["skipped"]) for rank in accelerate] == [34, 34]
    assert max(counted(*(rank["skipped"] for rank in accelerate)).values()) == 1


def check_trainer(ranks: list[dict[str, Any]], name: str) -> list[Any]:
    """A run with a stop was given what the run without one was; returns all ranks' batches in one list."""
    for rank in ranks:
        assert isinstance(rank[name], dict), rank[name]
        assert rank[name]["begun"]
        assert rank[name]["begun"] + rank[name]["rest"] == rank[name]["whole"]
    return [batch for rank in ranks for batch in rank[name]["whole"]]


def test_hugging_face_trainer(root: Path, tmp_path: Path) -> None:
    (rank,) = run(tmp_path, HERE / "transformers_script.py", root, tmp_path)
    for name in ("examples", "ours"):
        assert counted(check_trainer([rank], name)) == times(3)
        assert len({str(rank[name]["whole"][begin : begin + 7]) for begin in (0, 7, 14)}) == 3
    stream = check_trainer([rank], "stream")
    assert (len(stream), set(counted(stream))) == (12, set(range(TRAIN)))
    assert rank["evaluated"] == VALIDATION


def test_hugging_face_trainer_on_two_ranks(root: Path, tmp_path: Path) -> None:
    ranks = torchrun(tmp_path, "transformers_script.py", root, tmp_path)
    assert set(counted(check_trainer(ranks, "examples"))) == set(range(TRAIN))
    assert counted(check_trainer(ranks, "ours")) == times(3)
    assert max(counted(check_trainer(ranks, "stream")).values()) <= 4
    assert [rank["evaluated"] for rank in ranks] == [VALIDATION] * 2
    assert all("Accelerate divides them" in rank["refused"] for rank in ranks)
