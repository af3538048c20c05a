"""Trainings that are killed, stopped, shared by ranks or misused: the same weights, or one clear line."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import lra_data
from lra_data import LraDataError, UsageError
from lra_data.corpus import Corpus
from lra_data.loading.frameworks.torch_batches import TorchBatch
from reference_models.attention.catalogue import attention_names
from reference_models.devices import World
from reference_models.evaluation.scoring import Evaluation
from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import (
    CARD,
    STATE,
    WEIGHTS,
    load_model,
    read_tensors,
    tensors_bytes,
)
from reference_models.model.classifier import Classifier
from reference_models.model.presets import preset
from reference_models.training import loop
from reference_models.training.loop import Training, TrainingError
from reference_models.training.run_log import LOG
from reference_models.training.splits import Splits
from reference_models.training.trainer import train
from tests.support import training_process
from tests.support.training_process import (
    STEPS,
    ranks_config,
    ranks_recipe,
    small_config,
    small_recipe,
    small_splits,
    small_training,
)

SCRIPT = Path(training_process.__file__)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums are bit for bit the same only with the same number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of the linear model that nothing disturbed. Tests must not change it."""
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("whole")
    small_training("linear", run)
    return run


def child(*arguments: object, torchrun: int | None = None) -> subprocess.CompletedProcess[str]:
    """training_process.py in a process of its own, or in those of torchrun."""
    command = [sys.executable]
    if torchrun is not None:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"]
    command += [str(SCRIPT), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=environment)
    assert found.returncode == 0, found.stderr[-3000:]
    return found


def log(run: Path) -> list[dict[str, Any]]:
    """The log's events without their time."""
    lines = (run / LOG).read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def card(run: Path) -> dict[str, Any]:
    """The card without times."""
    found: dict[str, Any] = json.loads((run / CARD).read_text())
    return {name: value for name, value in found.items() if name not in ("wall_seconds", "date")}


def assert_same(run: Path, other: Path) -> None:
    """Two finished trainings have the same weights, bit for bit, and the same record."""
    assert card(run) == card(other)
    assert (run / WEIGHTS).read_bytes() == (other / WEIGHTS).read_bytes()
    assert log(run) == log(other)
    assert not (run / STATE).exists()


class Stop(Exception):  # noqa: N818
    """What the tests stop a training with."""


def stop_before(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let trainings stop before a step is taken: all before it is logged and, if it is due, saved."""
    one_step = Training._one_step

    def stopping(self: Training, model: nn.Module, batch: TorchBatch) -> None:
        if self.step == step:
            raise Stop
        one_step(self, model, batch)

    monkeypatch.setattr(Training, "_one_step", stopping)


# Killed, stopped, cut off


def test_killed_at_random_moments(tmp_path: Path) -> None:
    killed = json.loads(child("kill", tmp_path, 11).stdout)
    assert sorted(killed["random"]) == attention_names()
    assert all(found["kills"] >= 1 for found in killed["random"].values())
    assert sum(found["states"] for found in killed["random"].values()) >= 8  # some had not come to their first state
    for name in attention_names():
        assert_same(tmp_path / "killed" / name, tmp_path / "whole" / name)
    # The log, five states, weights, card, each under a name of its own when the kill came.
    assert len(killed["writes"]) == 8
    for number, left in enumerate(killed["writes"], start=1):
        assert sum(name.endswith(".tmp") for name in left) == 1
        assert (STATE in left) == (number > 2)
        assert CARD not in left
        assert_same(tmp_path / "writes" / str(number), tmp_path / "whole" / "linear")


@pytest.mark.parametrize("save_every", [2, 5])
def test_stopped_before_every_step(
    save_every: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(1, STEPS + 1):
        with monkeypatch.context() as patch:
            stop_before(patch, step)
            with pytest.raises(Stop):
                small_training("linear", tmp_path / str(step), save_every=save_every)
        assert (tmp_path / str(step) / STATE).exists() == (step > save_every)
        small_training("linear", tmp_path / str(step), save_every=save_every)
        assert_same(tmp_path / str(step), whole)


def test_workers_are_ahead_of_the_state(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that they have made ready are made again after a stop, by workers or without."""
    with monkeypatch.context() as patch:
        for step, num_workers in ((6, 2), (10, 0)):
            stop_before(patch, step)
            with pytest.raises(Stop):
                small_training("linear", tmp_path, num_workers=num_workers)
            patch.undo()
    small_training("linear", tmp_path, num_workers=1)
    assert_same(tmp_path, whole)


def test_each_step_in_a_training_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_training("routing", tmp_path / "whole")
    for step in range(2, STEPS + 1):
        with monkeypatch.context() as patch:
            stop_before(patch, step)
            with pytest.raises(Stop):
                small_training("routing", tmp_path / "steps", save_every=1)
    small_training("routing", tmp_path / "steps", save_every=1)
    assert_same(tmp_path / "steps", tmp_path / "whole")


def test_the_mean_loss_of_a_line_survives_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 3)
    small_training("linear", tmp_path / "whole")
    assert [event["step"] for event in log(tmp_path / "whole") if "loss" in event] == [3, 6, 9, 12]
    with monkeypatch.context() as patch:
        stop_before(patch, 6)
        with pytest.raises(Stop):
            small_training("linear", tmp_path / "stopped")
    small_training("linear", tmp_path / "stopped")
    assert_same(tmp_path / "stopped", tmp_path / "whole")


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training that stopped before step 8, with the state of step 6."""
    with monkeypatch.context() as patch:
        stop_before(patch, 8)
        with pytest.raises(Stop):
            small_training("linear", tmp_path / "stopped", save_every=3)
    return tmp_path / "stopped"


def test_half_written_files_are_no_state(whole: Path, stopped: Path, tmp_path: Path) -> None:
    half = (stopped / STATE).read_bytes()[:5000]
    other = tmp_path / "other"
    other.mkdir()
    for run in (stopped, other):
        (run / f".{STATE}.0123456789abcdef.tmp").write_bytes(half)
        (run / f".{CARD}.0123456789abcdef.tmp").write_bytes(b'{"format": 1')
        small_training("linear", run)
        assert_same(run, whole)


@pytest.mark.parametrize("size", [0, 5, 4000, -1])
def test_a_state_that_is_cut_off(size: int, stopped: Path) -> None:
    state = (stopped / STATE).read_bytes()
    (stopped / STATE).write_bytes(state[:size])
    with pytest.raises(
        CheckpointError, match=r"state\.safetensors: expected a whole safetensors file, got: .+"
    ) as error:
        small_training("linear", stopped)
    assert len(str(error.value).splitlines()) == 1
    assert (stopped / STATE).read_bytes() == state[:size]


def test_a_file_that_is_no_state(stopped: Path) -> None:
    (stopped / STATE).write_bytes(tensors_bytes({"weight": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"state\.safetensors: expected "):
        small_training("linear", stopped)


def test_a_state_of_another_shape(stopped: Path) -> None:
    """As after a change of the model's code under the same configuration."""
    tensors, record = read_tensors(stopped / STATE)
    tensors["model/encoder.norm.weight"] = torch.zeros(3)
    (stopped / STATE).write_bytes(tensors_bytes(tensors, record))
    expected = r"expected encoder\.norm\.weight with shape \(16,\), got \(3,\): another model"
    with pytest.raises(CheckpointError, match=expected):
        small_training("linear", stopped)
    del tensors["model/encoder.norm.weight"]
    (stopped / STATE).write_bytes(tensors_bytes(tensors, record))
    expected = r"expected a checkpoint of this model, the checkpoint has no encoder\.norm\.weight"
    with pytest.raises(CheckpointError, match=expected):
        small_training("linear", stopped)


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"attention": "full"}, "model.attention = 'full', got one with 'linear'"),
    ({"config": {"dropout": 0.1}}, "model.dropout = 0.1, got one with 0.2"),
    ({"recipe": {"learning_rate": 1e-3}}, "recipe.learning_rate = 0.001, got one with 0.005"),
    ({"recipe": {"clip_norm": 1.0}}, "recipe.clip_norm = 1.0, got one with None"),
    ({"recipe": {"seed": 4}}, "recipe.seed = 4, got one with 3"),
    ({"train": "train[1:71]"}, "data.train = "),
    ({"validation": "validation[:31]"}, "data.validation = "),
    ({"test": "test[:21]"}, "data.test = "),
]


@pytest.mark.parametrize(("other", "expected"), OTHERS, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("finished", [False, True])
def test_a_folder_of_another_training(
    other: dict[str, Any], expected: str, finished: bool, whole: Path, stopped: Path
) -> None:
    run = whole if finished else stopped
    splits = small_splits()
    changed = {name: lra_data.load("listops/mini", split=other[name]) for name in other if hasattr(splits, name)}
    with pytest.raises(CheckpointError) as error:
        train(
            small_config(other.get("attention", "linear"), **other.get("config", {})),
            small_recipe(**other.get("recipe", {})),
            replace(splits, **changed),
            run,
            device="cpu",
        )
    text = str(error.value)
    assert text.startswith(f"{run / (CARD if finished else STATE)}: expected a training with {expected}")
    assert text.endswith(": choose another folder")


def test_a_finished_training_is_left_alone(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.iterdir()}
    stop_before(monkeypatch, 1)
    found = small_training("linear", whole)
    assert found.encode() == (whole / CARD).read_bytes()
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in whole.iterdir()}


@pytest.mark.parametrize(
    "tail",
    ['{"step": 6, "valid', "", "\x00\x00\x00\n", "7\n", "null\n", '{"step": null}\n', '{"step": 99, "loss": 1}\n'],
)
def test_a_log_with_a_broken_end(tail: str, whole: Path, stopped: Path) -> None:
    with (stopped / LOG).open("a") as file:
        file.write(tail)
    small_training("linear", stopped)
    assert_same(stopped, whole)


def test_a_full_disk(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = os.fsync

    def full(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 10_000:
            raise OSError(28, "No space left on device")
        synced(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError) as error:
            small_training("linear", tmp_path)
    text = str(error.value)
    assert text.startswith(f"{tmp_path / STATE}: expected to write ")
    assert text.endswith(" bytes, got No space left on device: make room, or choose another folder")
    assert [path.name for path in tmp_path.iterdir()] == [LOG]
    small_training("linear", tmp_path)
    assert_same(tmp_path, whole)


@pytest.mark.parametrize(("size", "save_every", "file"), [(20_000, 2, STATE), (100, 20, LOG)])
def test_a_file_that_may_not_grow(size: int, save_every: int, file: str, tmp_path: Path, whole: Path) -> None:
    """The same from the system itself."""
    printed = child("disk", tmp_path, size, save_every).stdout
    assert printed.startswith(f"CheckpointError: {tmp_path / file}: expected to write ")
    assert "got File too large" in printed
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
    small_training("linear", tmp_path)
    assert_same(tmp_path, whole)


# Several processes, micro-batches


def final_weights(run: Path) -> dict[str, Tensor]:
    """All of them that a training learns, and running statistics."""
    return load_file(str(run / WEIGHTS))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    """The final weights of each model, by one process in one piece."""
    torch.set_num_threads(1)
    folder, found = tmp_path_factory.mktemp("alone"), {}
    for name in attention_names():
        train(ranks_config(name), ranks_recipe(), small_splits(), folder / name, device="cpu")
        found[name] = final_weights(folder / name)
    return found


def distances(found: Path, expected: dict[str, Tensor]) -> dict[str, float]:
    """Greatest difference of each tensor."""
    weights = final_weights(found)
    assert set(weights) == set(expected)
    return {name: float((weights[name].double() - tensor.double()).abs().max()) for name, tensor in expected.items()}


def test_two_ranks_are_one_process(alone: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    process = child("ranks", tmp_path, torchrun=2)
    assert "Warning" not in process.stderr
    assert {json.loads((tmp_path / name / CARD).read_text())["processes"] for name in attention_names()} == {2}
    apart = {
        f"{name} {tensor}": far
        for name, weights in alone.items()
        for tensor, far in distances(tmp_path / name, weights).items()
        if not far <= 1e-5
    }
    assert apart == {}
    expected = training_process.scores(0, 1)
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert found["scores"].keys() == expected.keys()
        for split, score in found["scores"].items():
            assert score == pytest.approx(expected[split], abs=2e-6)
        # One that outlives the interpreter ends the process with SIGABRT, now and then.
        assert found["threads"]
        assert found["left"] == []
        for name in attention_names():
            assert_last_step(name, torch.load(tmp_path / name / f"{rank}.pt"))


def assert_last_step(name: str, found: dict[str, Tensor]) -> None:
    """The rank without examples waits for nobody, and both have the gradients of the one example."""
    expected = training_process.last_step(training_process.new_model(name), 0, 1)
    for part, tensor in expected.items():
        # The loss of a convolution is a mean of the ranks'; the second has none.
        wanted = tensor / 2 if "convolution" in part else tensor
        torch.testing.assert_close(found[part], wanted, rtol=1e-4, atol=1e-6, msg=f"{name} {part}")


# Its centroids move with every micro-batch.
@pytest.mark.parametrize("name", [name for name in attention_names() if name != "routing"])
def test_micro_batches_are_one_batch(name: str, alone: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    train(ranks_config(name), ranks_recipe(accumulate=2), small_splits(), tmp_path, device="cpu")
    apart = {tensor: far for tensor, far in distances(tmp_path, alone[name]).items() if not far <= 1e-5}
    assert apart == {}


@pytest.mark.parametrize(("ranks", "accumulate"), [(3, 1), (4, 4), (16, 1)])
def test_a_batch_that_parts_do_not_divide(ranks: int, accumulate: int, tmp_path: Path) -> None:
    world = World(0, ranks, torch.device("cpu"))
    recipe = small_recipe(accumulate=accumulate)
    expected = f"expected a batch size that {ranks} ranks and {accumulate} micro-batches divide, got 8"
    with pytest.raises(UsageError) as error:
        Training(small_config("full"), recipe, small_splits(), tmp_path, world, None, num_workers=0, window=None)
    assert str(error.value) == expected


# What a step is


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Training, TorchBatch, float]]:
    """What every step was given: its training, the batch, and the learning rate that it went by."""
    seen: list[tuple[Training, TorchBatch, float]] = []
    one_step = Training._one_step

    def watching(self: Training, model: nn.Module, batch: TorchBatch) -> None:
        one_step(self, model, batch)
        seen.append((self, batch, self.optimizer.param_groups[0]["lr"]))

    monkeypatch.setattr(Training, "_one_step", watching)
    return seen


@pytest.mark.parametrize("num_workers", [0, 2])
def test_order_and_rate_of_every_step(
    num_workers: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, recipe, dataset = watched(monkeypatch), small_recipe(), small_splits().train
    small_training("linear", tmp_path, num_workers=num_workers)
    assert_same(tmp_path, whole)
    expected = [
        indices
        for epoch in (0, 1)
        for batch in dataset.batches(8, shuffle=True, seed=recipe.seed, epoch=epoch, remainder="drop")
        if len(indices := batch.indices.tolist()) == 8
    ]
    assert [batch.indices.tolist() for _, batch, _ in seen] == expected[:STEPS]
    assert [rate for _, _, rate in seen] == [recipe.rate(step) for step in range(1, STEPS + 1)]
    for _, batch, _ in seen:
        assert batch.inputs.shape == (8, 1, 127)


def test_a_step_is_adamw_on_the_mean_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps, written out with torch alone; the auxiliary loss counts."""
    seen, recipe = watched(monkeypatch), small_recipe(steps=2, clip_norm=0.1, weight_decay=0.3, beta1=0.8)
    config = ranks_config("compressive")
    train(config, recipe, small_splits(), tmp_path, device="cpu")
    torch.manual_seed(recipe.seed)
    model = Classifier(config)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.8, 0.98), eps=1e-9, weight_decay=0.3)
    for step, (_, batch, _) in enumerate(seen, start=1):
        loss = nn.functional.cross_entropy(model(batch.inputs, batch.lengths), batch.labels)
        auxiliary = model.auxiliary_loss()
        assert auxiliary is not None
        (loss + auxiliary).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.param_groups[0]["lr"] = 5e-3 * step / 4
        optimizer.step()
        optimizer.zero_grad()
    expected = dict(model.state_dict())
    assert max(distances(tmp_path, expected).values()) < 1e-6


def test_what_is_drawn_is_a_function_of_seed_step_and_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout differs from step to step and between ranks, whatever was drawn before."""
    drawn: dict[int, list[float]] = {0: [], 1: []}
    one_step = Training._one_step

    def drawing(self: Training, model: nn.Module, batch: TorchBatch) -> None:
        forward = self.model.forward

        def first(inputs: Tensor, lengths: Tensor) -> Tensor:
            drawn[self.world.rank].append(float(torch.rand(())))
            return forward(inputs, lengths)

        with monkeypatch.context() as patch:
            patch.setattr(self.model, "forward", first)
            one_step(self, model, batch)
        torch.rand(5)

    monkeypatch.setattr(Training, "_one_step", drawing)
    for rank in (0, 1):
        world = World(rank, 2, torch.device("cpu"))
        training = Training(
            small_config("linear"), small_recipe(), small_splits(), tmp_path, world, None, num_workers=0, window=None
        )
        for step, batch in zip(range(1, 6), training.loader, strict=False):
            training.step = step
            training._one_step(training.model, cast(TorchBatch, batch))
    assert len({*drawn[0], *drawn[1]}) == 10


@pytest.mark.parametrize("name", ["reformer", "sinkhorn"])
def test_attentions_are_told_of_every_step(name: str, tmp_path: Path) -> None:
    """Weights are kept with what was drawn for the step that made them, the first of which is step 0."""
    small_training(name, tmp_path, recipe=small_recipe(evaluate_every=STEPS))
    expected = Classifier(small_config(name))
    expected.on_step(STEPS - 1)
    weights = final_weights(tmp_path)
    drawn = {part for part in weights if part.endswith(("rotations", "noise"))}
    assert len(drawn) == 2
    assert all(torch.equal(weights[part], expected.state_dict()[part]) for part in drawn)


def test_ranks_begin_with_the_same_weights(tmp_path: Path) -> None:
    models = [
        Training(
            small_config("linformer"),
            small_recipe(),
            small_splits(),
            tmp_path,
            World(rank, 2, torch.device("cpu")),
            None,
            num_workers=0,
            window=None,
        ).model.state_dict()
        for rank in (0, 1)
    ]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_fresh_examples_go_beyond_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, splits = watched(monkeypatch), small_splits()
    train(small_config("linear"), small_recipe(steps=20, fresh=True), splits, tmp_path, device="cpu")
    indices = [batch.indices.tolist() for _, batch, _ in seen]
    first, second = (list(chain(*indices[a:b])) for a, b in ((0, 8), (8, 16)))
    assert max(first) < 70
    whole_split = len(lra_data.load("listops/mini", split="train"))
    assert min(second) >= whole_split
    assert len({*first, *second}) == 128
    tokens = {bytes(row.numpy().tobytes()) for _, batch, _ in seen[:16] for row in batch.inputs[:, 0]}
    assert len(tokens) > 120  # the shortest expressions may come twice


# Which weights are kept


def scripted(monkeypatch: pytest.MonkeyPatch, correct: list[int]) -> list[dict[str, Tensor]]:
    """Let the looks at validation find so many right answers; gives the weights that each of them saw."""
    seen: list[dict[str, Tensor]] = []
    score = Training._score

    def scoring(self: Training, dataset: Any) -> Evaluation:
        if dataset is not self.splits.validation:
            return score(self, dataset)
        seen.append({name: tensor.clone() for name, tensor in self.model.state_dict().items()})
        return Evaluation(examples=30, correct=correct[len(seen) - 1], loss=float(len(seen)))

    monkeypatch.setattr(Training, "_score", scoring)
    return seen


@pytest.mark.parametrize(
    ("correct", "best"), [([3, 7, 7, 5], 2), ([9, 1, 9, 9], 1), ([0, 1, 2, 3], 4), ([0, 0, 0, 0], 1)]
)
def test_the_earliest_of_the_best_weights_are_kept(
    correct: list[int], best: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = scripted(monkeypatch, correct)
    found = train(
        small_config("performer"), small_recipe(evaluate_every=3), small_splits(), tmp_path, device="cpu", save_every=4
    )
    assert found.selected_step == 3 * best
    assert found.validation.correct == correct[best - 1]
    assert found.validation.loss == best
    model, _ = load_model(tmp_path)
    assert all(torch.equal(tensor, seen[best - 1][name]) for name, tensor in model.state_dict().items())
    assert not torch.equal(seen[best - 1]["encoder.norm.weight"], seen[best % 4]["encoder.norm.weight"])
    assert found.test.examples == 20


def test_the_best_weights_survive_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        before = scripted(patch, [7])
        stop_before(patch, 5)
        with pytest.raises(Stop):
            train(
                small_config("linear"),
                small_recipe(evaluate_every=3),
                small_splits(),
                tmp_path,
                device="cpu",
                save_every=4,
            )
    scripted(monkeypatch, [1, 7, 2])
    found = train(
        small_config("linear"), small_recipe(evaluate_every=3), small_splits(), tmp_path, device="cpu", save_every=4
    )
    assert found.selected_step == 3
    weights = final_weights(tmp_path)
    assert all(torch.equal(weights[name], tensor) for name, tensor in before[0].items())


# Errors before anything is written


def refused(error: type[Exception], run: Path, **changes: Any) -> str:
    """The line with which a training is refused, before it writes anything."""
    given: dict[str, Any] = {"config": small_config("full"), "recipe": small_recipe(), "splits": small_splits()}
    words = {"device": "cpu"} | {name: changes.pop(name) for name in ("device", "window") if name in changes}
    given |= changes
    with pytest.raises(error) as found:
        train(given["config"], given["recipe"], given["splits"], run, **words)
    assert not run.exists()
    return str(found.value)


def one_split(task: str, **words: Any) -> Splits:
    """The first rows of each split of a task."""
    train, validation, test = (
        lra_data.load(task, split=f"{split}[:40]", **words) for split in ("train", "validation", "test")
    )
    return Splits(train=train, validation=validation, test=test)


def test_a_model_that_cannot_read_the_data(tmp_path: Path, corpora: dict[str, Path]) -> None:
    run = tmp_path / "run"
    expected = (
        "expected a model for listops/mini's 127 elements, got one of max_length 100: choose a larger preset (or a "
        "smaller set)"
    )
    assert refused(UsageError, run, config=small_config("full", max_length=100)) == expected
    expected = "expected a model with a vocabulary of 16 ids for listops/mini, got one of 15"
    assert refused(UsageError, run, config=small_config("full", vocab_size=15)) == expected
    expected = "expected a model of listops/mini's 10 labels, got one of 2"
    assert refused(UsageError, run, config=small_config("full", num_classes=2)) == expected
    expected = "expected a model of listops/mini's 1 sequences an example, got one of 2"
    assert refused(UsageError, run, config=small_config("full", head="concat")) == expected
    pairs = one_split("retrieval/by-paper", corpus=Corpus(corpora["retrieval"], allow_partial=True))
    expected = f"expected a model of {pairs.train.task.name}'s 2 sequences an example, got one of 1"
    assert refused(UsageError, run, config=preset("mini", task="text", attention="full"), splits=pairs) == expected
    pictures = one_split("pathfinder/32-easy-clean")
    expected = "expected a model of pathfinder/32-easy-clean's 2 labels, got one of 10"
    assert refused(UsageError, run, splits=pictures) == expected
    for name in ("validation", "test"):
        mixed = replace(small_splits(), **{name: getattr(pictures, name)})
        assert refused(UsageError, run, splits=mixed) == expected


def test_splits_of_other_families(tmp_path: Path, corpora: dict[str, Path]) -> None:
    """A model of bytes can read pixels, which have as many ids and as many labels: only the family tells them apart."""
    model = replace(preset("mini", task="text", attention="linear"), max_length=1024)
    texts = one_split("text/lra", corpus=Corpus(corpora["text"], allow_partial=True))
    for name in ("validation", "test"):
        pictures = lra_data.load("pathfinder/32-easy-clean", split=f"{name}[:40]")
        text = refused(UsageError, tmp_path / "run", config=model, splits=replace(texts, **{name: pictures}))
        assert text.startswith("expected splits of one ")
        assert "pathfinder" in text
        assert "text" in text


def test_other_early_errors(tmp_path: Path) -> None:
    run = tmp_path / "run"
    expected = "expected at least one batch of 71, got 70 examples"
    assert refused(UsageError, run, recipe=small_recipe(batch_size=71)) == expected
    assert "window=5" in refused(UsageError, run, window=5)
    expected = "expected a device such as auto, cpu or cuda:0, got 'gpu'"
    assert refused(UsageError, run, device="gpu") == expected
    if not torch.cuda.is_available():
        expected = "expected a CUDA device for 'cuda:0', torch sees none: use --device cpu"
        assert refused(UsageError, run, device="cuda:0") == expected
    with pytest.raises(ValueError, match=r"^unknown preset 'nano'; known: lra-paper, lra-release, xiong, mini$"):
        preset("nano", task="listops", attention="full")


@pytest.mark.parametrize("name", ["validation", "test"])
def test_a_split_without_examples(name: str, tmp_path: Path) -> None:
    """Found before the training, not after it."""
    splits = replace(small_splits(), **{name: lra_data.load("listops/mini", split=f"{name}[:0]")})
    text = refused(UsageError, tmp_path / "run", splits=splits)
    assert text.startswith("expected at least one example ")
    assert name in text


def test_fresh_examples_of_a_built_set(small_root: Path, tmp_path: Path) -> None:
    train, validation, test = (
        lra_data.load("listops/mini", split=split, root=small_root) for split in ("train", "validation", "test")
    )
    splits = Splits(train=train, validation=validation, test=test)
    text = refused(UsageError, tmp_path / "run", recipe=small_recipe(fresh=True), splits=splits)
    assert text == "expected a virtual set for fresh examples, got a built one: leave out root"


@pytest.mark.parametrize("evaluate_every", [5, 50])
def test_a_loss_that_is_not_finite(evaluate_every: int, tmp_path: Path) -> None:
    recipe = small_recipe(
        learning_rate=1e6, schedule="constant", weight_decay=0.1, batch_size=4, evaluate_every=evaluate_every
    )
    with pytest.raises(TrainingError) as error:
        train(small_config("full"), recipe, small_splits(), tmp_path, device="cpu")
    where = "in steps 1 to 12" if evaluate_every == 50 else "on validation at step 5"
    assert re.fullmatch(
        rf"expected a finite loss {where}, got (nan|inf): lower the learning rate or set clip_norm", str(error.value)
    )
    assert_log_is_json(tmp_path)


def test_a_last_step_that_ruins_the_weights(tmp_path: Path) -> None:
    """Its loss is from before it; only validation sees what it made."""
    recipe = small_recipe(steps=1, learning_rate=1e30, schedule="constant", warmup=0)
    with pytest.raises(TrainingError) as error:
        train(small_config("full"), recipe, small_splits(), tmp_path, device="cpu")
    expected = "expected a finite loss on validation at step 1, got nan: lower the learning rate or set clip_norm"
    assert str(error.value) == expected
    assert_log_is_json(tmp_path)


def assert_log_is_json(run: Path) -> None:
    """What stands there any JSON reader can read: NaN and Infinity are none; and there is no card."""
    for line in (run / LOG).read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert not (run / CARD).exists()


def test_errors_are_of_the_family_that_programs_catch() -> None:
    assert issubclass(TrainingError, LraDataError)
    assert issubclass(CheckpointError, LraDataError)


# What is recorded


def test_log_and_card(whole: Path) -> None:
    events = log(whole)
    assert [(event["step"], "validation" in event) for event in events] == [
        (5, True),
        (10, True),
        (12, False),
        (12, True),
    ]
    found, splits = card(whole), small_splits()
    assert found["parameters"] == sum(
        parameter.numel() for parameter in Classifier(small_config("linear")).parameters()
    )
    assert found["data"]["identities"] == {
        name: getattr(splits, name).identity for name in ("train", "validation", "test")
    }
    assert found["data"]["examples"] == {"train": 70, "validation": 30, "test": 20}
    assert found["data"]["cut_to"] == 127
    assert found["recipe"] == json.loads(json.dumps(small_recipe().__dict__))
    assert found["validation"] in [event.get("validation") for event in events]
    model, _ = load_model(whole)
    correct = sum(
        int(
            (
                model(torch.from_numpy(batch.inputs), torch.from_numpy(batch.lengths)).argmax(1)
                == torch.from_numpy(batch.labels)
            ).sum()
        )
        for batch in splits.test.batches(20, pad_to=127)
    )
    assert found["test"]["correct"] == correct


def test_preset_and_report(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    found = small_training("linear", tmp_path, preset="mini", report=lambda event: told.append(dict(event)))
    assert found.preset == "mini"
    assert told == [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]


def test_bfloat16_goes_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(precision="bfloat16")
    small_training("full", tmp_path / "whole", recipe=recipe)
    with monkeypatch.context() as patch:
        stop_before(patch, 8)
        with pytest.raises(Stop):
            small_training("full", tmp_path / "stopped", recipe=recipe)
    small_training("full", tmp_path / "stopped", recipe=recipe)
    assert_same(tmp_path / "stopped", tmp_path / "whole")
    weights = final_weights(tmp_path / "whole")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_a_state_left_beside_a_card(whole: Path, stopped: Path, tmp_path: Path) -> None:
    """Killed between the card and the end: it is not needed any more, and may be large."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shutil.copy(stopped / STATE, run / STATE)
    small_training("linear", run)
    assert_same(run, whole)
