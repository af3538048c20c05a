"""Whose share a pass is: of torch.distributed, RANK and WORLD_SIZE, Slurm or MPI, looked up when the pass begins.

Written from the specification alone, by someone who had not read the code that keeps count.
"""

import json
import logging
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from torch import multiprocessing
from torch.utils.data import DataLoader

import lra_data
from lra_data import UsageError
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import BatchSampler, TorchBatches, TorchLoader
from tests.conftest import ROOT
from tests.support.epoch_loaders import BATCH, ROWS, STEPS, due, epoch_of, indices

LAUNCHERS = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_NPROCS", "SLURM_LOCALID", "SLURM_JOB_ID"),
    *("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE"),
    *("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
)

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "4"}
SLURM = {"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "3"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "5"}
PMI = {"PMI_RANK": "1", "PMI_SIZE": "2"}
MVAPICH = {"MV2_COMM_WORLD_RANK": "5", "MV2_COMM_WORLD_SIZE": "6"}


@pytest.fixture(scope="module")
def data(small_root: Path) -> Dataset:
    return lra_data.load("listops/mini", split=f"train[:{ROWS}]", root=small_root)


@pytest.fixture(autouse=True)
def nothing_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


def started_by(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def share(data: Dataset, rank: int, world_size: int, epoch: int = 0) -> list[list[int]]:
    return indices(data.batches(4, shuffle=True, rank=rank, world_size=world_size, epoch=epoch))


# 1. Who is believed

WHO: list[tuple[dict[str, str], tuple[int, int], str]] = [
    ({}, (0, 1), ""),
    (TORCHRUN, (1, 4), "RANK"),
    (SLURM, (2, 3), "SLURM"),
    (OPEN_MPI, (3, 5), "OMPI"),
    (PMI, (1, 2), "PMI"),
    (MVAPICH, (5, 6), "MV2"),
    ({**TORCHRUN, **SLURM}, (1, 4), "RANK"),
    ({**TORCHRUN, **OPEN_MPI}, (1, 4), "RANK"),
    ({**TORCHRUN, **SLURM, **PMI}, (1, 4), "RANK"),
    ({**SLURM, **OPEN_MPI}, (2, 3), "SLURM"),
    ({**SLURM, **PMI}, (2, 3), "SLURM"),
    ({**SLURM, **MVAPICH}, (2, 3), "SLURM"),
    # A batch script or an interactive shell of Slurm is one task of a job of many.
    ({"SLURM_PROCID": "1", "SLURM_NTASKS": "3"}, (0, 1), ""),
    ({"SLURM_NTASKS": "3"}, (0, 1), ""),
    ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "3"}, (0, 1), ""),
    ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", **OPEN_MPI}, (3, 5), "OMPI"),
    ({"SLURM_PROCID": "0", "SLURM_NTASKS": "3", **OPEN_MPI}, (3, 5), "OMPI"),
    ({"SLURM_PROCID": "1", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "3"}, (1, 3), "SLURM"),
    ({"RANK": "0", "WORLD_SIZE": "1", **SLURM}, (0, 1), "RANK"),
]


@pytest.mark.parametrize(("environment", "expected", "named"), WHO, ids=lambda it: "-".join(map(str, it)))
def test_who_is_believed(
    environment: dict[str, str], expected: tuple[int, int], named: str, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = data.batches(4, shuffle=True)  # made before the launcher's variables are there
    loader = TorchLoader(data.batches(4, shuffle=True))
    sampler = BatchSampler(data.batches(4, shuffle=True))
    assert len(batches) == ROWS // 4
    started_by(monkeypatch, environment)
    rank, world_size = expected
    due_now = share(data, rank, world_size)
    assert len(batches) == batches.remaining == len(due_now) == -(-ROWS // (4 * world_size))
    assert len(loader) == loader.remaining == len(sampler) == sampler.remaining == len(due_now)
    assert indices(batches) == indices(loader) == due_now
    assert [data[place]["index"] for places in sampler for place in places] == [
        index for batch in due_now for index in batch
    ]
    assert indices(data.batches(4, shuffle=True)) == due_now
    assert tuple(batches.ranks[:2]) == expected
    if world_size > 1:
        assert batches.ranks.source in repr(batches)
        assert named in batches.ranks.source.upper()


def test_a_rank_that_is_given_wins(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    started_by(monkeypatch, {**TORCHRUN, **SLURM, **OPEN_MPI})
    batches = data.batches(4, shuffle=True, rank=1, world_size=2)
    assert indices(batches) == share(data, 1, 2)
    assert indices(data.batches(BATCH, shuffle=True, rank=0, world_size=1)) == due(data, 0)


def test_each_pass_looks_again(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an elastic restart in the same process; a pass that runs keeps its share."""
    batches = data.batches(4, shuffle=True)
    one = iter(batches)
    begun = [next(one).indices.tolist()]
    started_by(monkeypatch, TORCHRUN)
    assert begun + indices(one) == share(data, 0, 1)
    assert len(batches) == 3
    assert indices(batches) == share(data, 1, 4, epoch=1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(batches) == 6
    assert indices(batches) == share(data, 1, 2, epoch=2)


@pytest.mark.parametrize("make", [TorchLoader, BatchSampler, lambda it: it], ids=["TorchLoader", "sampler", "Batches"])
@pytest.mark.parametrize(
    "environment",
    [
        lambda rank: {"RANK": str(rank), "WORLD_SIZE": "3"},
        lambda rank: {"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "3"},
        lambda rank: {"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "3"},
        lambda rank: {"PMI_RANK": str(rank), "PMI_SIZE": "3"},
        lambda rank: {"MV2_COMM_WORLD_RANK": str(rank), "MV2_COMM_WORLD_SIZE": "3"},
    ],
    ids=["torchrun", "slurm", "openmpi", "pmi", "mvapich"],
)
def test_each_example_once_over_ranks(
    make: Any, environment: Any, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader, seen = make(data.batches(7, shuffle=True, epoch=3)), Counter[int]()
    for rank in range(3):
        started_by(monkeypatch, environment(rank))
        loader_of_rank = make(data.batches(7, shuffle=True, epoch=3)) if rank else loader
        for batch in loader_of_rank:
            seen.update(batch if isinstance(batch, list) else batch.indices.tolist())
    assert seen == Counter(range(ROWS))


def test_a_state_goes_on_over_ranks_that_came_later(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = data.batches(BATCH, shuffle=True)
    seen = Counter[int](next(alone).indices.tolist())
    state = json.loads(json.dumps(alone.state_dict()))
    for rank in range(3):
        monkeypatch.delenv("RANK", raising=False)
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        batches = data.batches(5, shuffle=True)
        batches.load_state_dict(state)
        started_by(monkeypatch, {"RANK": str(rank), "WORLD_SIZE": "3"})
        assert (len(batches), batches.remaining) == (4, 3)
        for batch in batches:
            seen.update(batch.indices.tolist())
    assert seen == Counter(range(ROWS))


@pytest.mark.parametrize("sent", [False, True], ids=["here", "pickled"])
@pytest.mark.parametrize("context", [None, "fork"])
@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_workers_have_the_rank_of_who_started_them(
    sent: bool, context: str | None, kept: bool, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = TorchBatches(data.batches(4, shuffle=True))
    loader: Any = DataLoader(
        dataset, batch_size=None, num_workers=1, multiprocessing_context=context, persistent_workers=kept
    )
    if sent:  # as torch.multiprocessing and accelerate's launchers send it to their processes
        loader = pickle.loads(pickle.dumps(loader))
    started_by(monkeypatch, TORCHRUN)
    for epoch in range(2):
        assert indices(loader) == share(data, 1, 4, epoch)
    assert len(loader) == 3


# 2. Half an answer


def one_line_that_helps(error: UsageError) -> bool:
    text = str(error)
    return "\n" not in text and "rank=" in text and "world_size=" in text


def test_a_world_size_without_a_rank(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    early = data.batches(4)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UsageError) as caught:
        data.batches(4)
    assert one_line_that_helps(caught.value)
    with pytest.raises(UsageError) as caught:
        next(iter(early))
    assert one_line_that_helps(caught.value)
    assert indices(data.batches(4, shuffle=True, rank=1, world_size=2)) == share(data, 1, 2)


@pytest.mark.parametrize("make", [TorchLoader, TorchBatches, lambda it: it], ids=["loader", "dataset", "batches"])
def test_lightnings_launcher_tells_the_rank_later(make: Any, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its script runs once in each process before torch.distributed is there, with LOCAL_RANK and WORLD_SIZE alone."""
    started_by(monkeypatch, {"WORLD_SIZE": "4", "LOCAL_RANK": "1"})
    loader: Any = make(data.batches(4, shuffle=True))
    loader.set_epoch(3)
    loader = pickle.loads(pickle.dumps(loader))
    assert "\n" not in repr(loader)
    with pytest.raises(UsageError) as caught:
        next(iter(loader))
    assert one_line_that_helps(caught.value)
    monkeypatch.setenv("RANK", "1")
    assert indices(loader) == share(data, 1, 4, epoch=3)


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "4", "WORLD_SIZE": "4"},
        {"RANK": "x", "WORLD_SIZE": "4"},
        {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "3"},
        {"SLURM_PROCID": "one", "SLURM_STEP_NUM_TASKS": "3"},
        {"OMPI_COMM_WORLD_RANK": "9", "OMPI_COMM_WORLD_SIZE": "3"},
        {"PMI_RANK": "-1", "PMI_SIZE": "3"},
        {"MV2_COMM_WORLD_RANK": "1.0", "MV2_COMM_WORLD_SIZE": "3"},
    ],
    ids=str,
)
def test_ranks_that_there_are_not(environment: dict[str, str], data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = data.batches(4)
    started_by(monkeypatch, environment)
    with pytest.raises(UsageError) as caught:
        next(iter(batches))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError) as caught:
        next(iter(data.batches(4)))
    assert "\n" not in str(caught.value)


# 3. What is said

SAYS = """
import logging, sys
records = []
class Keep(logging.Handler):
    def emit(self, record):
        records.append((record.name, record.levelname, record.getMessage()))
logging.getLogger().addHandler(Keep())
import lra_data
data = lra_data.load("listops/mini", split="train[:20]", root=sys.argv[1])
list(data.batches(4, rank=1, world_size=2))
print(len(records))
for _ in range(3):
    batches = data.batches(4)
    list(batches), list(batches), len(batches), repr(batches)
import json
print(json.dumps(records))
"""


def said(root: Path, environment: dict[str, str]) -> tuple[int, list[list[str]]]:
    clean = {name: value for name, value in os.environ.items() if name not in LAUNCHERS}
    found = subprocess.run(
        [sys.executable, "-c", SAYS, str(root)],
        env={**clean, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    before, records = found.stdout.splitlines()
    return int(before), json.loads(records)


def test_the_source_is_said_once_a_process(small_root: Path) -> None:
    before, records = said(small_root, SLURM)
    assert before == 0  # a rank that the caller gave is nothing to tell
    ((logger, level, text),) = records
    assert logger.partition(".")[0] == "lra_data"
    assert level == logging.getLevelName(logging.WARNING)
    assert "SLURM" in text.upper()
    assert re.search(r"\b2\b", text)
    assert re.search(r"\b3\b", text)
    assert "\n" not in text


def test_one_rank_is_nothing_to_tell(small_root: Path) -> None:
    assert said(small_root, {"RANK": "0", "WORLD_SIZE": "1"}) == (0, [])


# 4. Real ranks of torch.distributed, which wins over the environment that they inherit


def _of_one_rank(rank: int, loaders: dict[str, Any], folder: Path) -> None:
    os.environ.update(RANK="3", WORLD_SIZE="7", SLURM_PROCID="1", SLURM_STEP_NUM_TASKS="5")
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("lra_data").addHandler(handler)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    found: dict[str, Any] = {}
    for name, loader in loaders.items():
        found[name] = [indices(loader) for _ in range(1 if "spawn" in name else 2)]
        found[f"len of {name}"] = len(loader)
    found["repr"] = repr(loaders["TorchLoader"].batches)
    found["source"] = loaders["TorchLoader"].batches.ranks.source
    found["said"] = records
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two_ranks(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What two real processes were given by loaders that were made here, before them, and pickled."""
    data = lra_data.load("listops/mini", split=f"train[:{ROWS}]", root=small_root)
    with pytest.MonkeyPatch.context() as patch:
        for name in LAUNCHERS:
            patch.delenv(name, raising=False)

        def batches() -> Batches:
            return data.batches(4, shuffle=True)

        def theirs(**options: Any) -> Any:
            return DataLoader(TorchBatches(batches()), batch_size=None, **options)

        loaders = {
            "TorchLoader": TorchLoader(batches()),
            "TorchLoader, fork": TorchLoader(batches(), num_workers=2, multiprocessing_context="fork"),
            "DataLoader": theirs(),
            "DataLoader, fork": theirs(num_workers=2, multiprocessing_context="fork"),
            "DataLoader, fork, kept": theirs(num_workers=1, multiprocessing_context="fork", persistent_workers=True),
            "DataLoader, spawn": theirs(num_workers=1, multiprocessing_context="spawn"),
        }
        assert len(loaders["TorchLoader"]) == ROWS // 4
        folder = tmp_path_factory.mktemp("ranks")
        spawn: Any = multiprocessing.spawn  # type: ignore[attr-defined]
        spawn(_of_one_rank, (loaders, folder), nprocs=2)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


NAMES = (
    *("TorchLoader", "TorchLoader, fork"),
    *("DataLoader", "DataLoader, fork", "DataLoader, fork, kept", "DataLoader, spawn"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_real_ranks_share_each_epoch(name: str, of_two_ranks: list[dict[str, Any]], data: Dataset) -> None:
    for rank, found in enumerate(of_two_ranks):
        assert found[f"len of {name}"] == STEPS
        assert found[name] == [share(data, rank, 2, epoch) for epoch in range(len(found[name]))]
    for of_both in zip(*(found[name] for found in of_two_ranks), strict=True):
        assert Counter(index for one in of_both for batch in one for index in batch) == Counter(range(ROWS))


@pytest.mark.slow
def test_real_ranks_say_who_told_them(of_two_ranks: list[dict[str, Any]]) -> None:
    for found in of_two_ranks:
        assert "torch.distributed" in found["source"]
        assert found["source"] in found["repr"]
        (text,) = found["said"]
        assert "torch.distributed" in text


@pytest.mark.slow
def test_the_parent_of_ranks_is_alone(of_two_ranks: list[dict[str, Any]], data: Dataset) -> None:
    assert of_two_ranks
    assert epoch_of(data, indices(data.batches(BATCH, shuffle=True))) == 0
