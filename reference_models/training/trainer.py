"""Trains a model: one process, or one a device under torchrun, with the same result up to rounding.

Everything is a function of the step: the learning rate, the order of examples (`Dataset.batches`), what attentions draw
(`Attention.on_step`), dropout (the generators are set from seed, step and rank before each step). So a checkpoint needs
no generator's state, and a training that was killed goes on to the same weights, bit for bit on a CPU.

The global batch is fixed: with N ranks and A micro-batches each takes batch_size / (N A) examples at a time, and the
gradient is that of the mean over all of them.

Ctrl-C, in `lra-zoo` also SIGTERM, ends a training with a state of its last whole step. A process alone writes it within
two seconds: the parameters change only in the optimiser's step, so that another thread may write them while this one
is deep in a slow forward or backward pass. Several ranks ask each other after each step, and save together.

    RUN/state.safetensors   while it runs: all there is to go on, replaced in one step, at least once a minute
    RUN/log.jsonl           a line every 50 steps, and one an evaluation
    RUN/model.safetensors   when it is done: the weights that were best on validation
    RUN/card.json           then: recipe, data, device, scores
"""

import json
import os
import platform
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

import lra_data
from lra_data import LraDataError, UsageError, interrupts, paths
from lra_data.loading.frameworks.torch_batches import TorchBatch, TorchLoader, to_device
from reference_models.devices import World, device_name
from reference_models.evaluation.model_inputs import reading
from reference_models.evaluation.scoring import Evaluation, evaluate
from reference_models.model.card import Card, CheckpointError, OfSplits, Score, TrainingData, as_json
from reference_models.model.checkpoint import (
    CARD,
    STATE,
    read_card,
    read_tensors,
    save_model,
    write_whole,
)
from reference_models.model.classifier import Classifier, count_parameters
from reference_models.model.config import ModelConfig
from reference_models.model.train_config import TrainConfig
from reference_models.strict_json import builtins
from reference_models.training.state import Moment, kept_buffers, load_state, write_state

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

LOG = "log.jsonl"
LOG_EVERY = 50
# Half of the minute that a kill may cost: a step, or a look at validation, may come between.
SAVE_SECONDS = 30.0
# How long ranks may take to a step's end after a signal. torchrun kills them 30 seconds after it has sent one.
RANKS_GRACE_S = 20.0

Report = Callable[[Mapping[str, Any]], None]


class TrainingError(LraDataError):
    """A training came to a point from which it cannot go on."""


@dataclass(frozen=True, kw_only=True)
class Splits:
    """What is learned from, what chooses the weights, and what the result is measured on."""

    train: "Dataset"
    validation: "Dataset"
    test: "Dataset"


def train(
    config: ModelConfig,
    recipe: TrainConfig,
    splits: Splits,
    run: Path,
    *,
    device: str = "auto",
    num_workers: int = 0,
    window: int | None = None,
    save_every: int | None = None,
    save_seconds: float = SAVE_SECONDS,
    report: Report | None = None,
    preset: str | None = None,
) -> Card:
    """Train a model in the folder `run`, or go on with what an earlier call left there; returns the card.

    num_workers: processes that make batches. window: see `Dataset.batches`. save_every: steps between two states, by
    default those between two evaluations; save_seconds: after so long also at other steps. report: is told what the log
    is told. preset: its name, for the card.

    KeyboardInterrupt leaves a state of the last whole step; but where one process of several raises it alone, or within
    the optimiser's step, it is the last state before. Raises UsageError for data that the model cannot
    read and for options with which a part of it can never learn,
    CheckpointError for a folder that holds another training, TrainingError for a loss that is not finite.
    """
    world = World.joined(device)
    training = Training(config, recipe, splits, run, world, report, num_workers=num_workers, window=window)
    if (run / CARD).exists():
        return training.finished_card()
    training.go_on()
    try:
        with training.ends_in_order():
            training.loop(save_every or recipe.evaluate_every, save_seconds)
            return training.finish(preset)
    except KeyboardInterrupt:
        training.rescue()
        raise


class Training:
    """A model, its optimiser, and where they stand."""

    def __init__(
        self,
        config: ModelConfig,
        recipe: TrainConfig,
        splits: Splits,
        run: Path,
        world: World,
        report: Report | None,
        *,
        num_workers: int,
        window: int | None,
    ) -> None:
        self.recipe, self.splits, self.run, self.world = recipe, splits, run, world
        self.report = report or (lambda event: None)
        parts = world.size * recipe.accumulate
        if recipe.batch_size % parts:
            raise UsageError(
                f"expected a batch size that {world.size} ranks and {recipe.accumulate} micro-batches divide, got "
                f"{recipe.batch_size}"
            )
        for split in (splits.validation, splits.test):
            reading(config, split)
            if len(split) == 0:
                raise UsageError(f"expected at least one example in {split.task.name} {split.split}, got none")
        names = {split.task.family for split in (splits.train, splits.validation, splits.test)}
        if len(names) > 1:
            raise UsageError(f"expected splits of one family of tasks, got {', '.join(sorted(names))}")
        self.micro_batch = recipe.batch_size // parts
        batches = splits.train.batches(
            self.micro_batch * recipe.accumulate,
            shuffle=True,
            window=window,
            seed=recipe.seed,
            epochs=None,
            fresh=recipe.fresh,
            rank=world.rank,
            world_size=world.size,
            remainder="drop",
            **reading(config, splits.train),
        )
        if len(splits.train) < recipe.batch_size:
            raise UsageError(f"expected at least one batch of {recipe.batch_size}, got {len(splits.train)} examples")
        self.loader = TorchLoader(batches, num_workers=num_workers, pin_memory=world.device.type == "cuda")
        torch.manual_seed(recipe.seed)
        self.model = Classifier(config).to(world.device)
        self.model.check_options()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=recipe.learning_rate,
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
        )
        self.step, self.seconds = 0, 0.0
        self.losses = torch.zeros((), dtype=torch.float64, device=world.device)
        self.best: dict[str, Any] = {}
        self.best_weights: dict[str, Tensor] = {}
        self.due = False
        # Parameters, optimiser and moment change together, under the lock; None while they do, and before the first
        # step.
        self._moment: Moment | None = None
        self._moving = threading.Lock()
        self._began, self._saved = time.perf_counter(), time.monotonic()

    def loop(self, save_every: int, save_seconds: float = SAVE_SECONDS) -> None:
        """All steps that are left, and what is due of the last one."""
        recipe, world = self.recipe, self.world
        model: nn.Module = self.model
        if world.size > 1:
            with warnings.catch_warnings():
                # Newer torch has another word for it, which torch 2.4 does not know.
                warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
                model = DistributedDataParallel(
                    self.model,
                    device_ids=[world.device] if world.device.type == "cuda" else None,
                    broadcast_buffers=False,  # attentions reduce what they learn themselves
                )
        self.model.train()
        self._began, self._saved = time.perf_counter() - self.seconds, time.monotonic()
        if self.due:
            self._end_step()
        for batch in self._batches():
            self.step += 1
            self._one_step(model, to_device(batch, world.device))
            stop, late = self._agreed(save_seconds)
            if late or (stop and world.size > 1):
                self.save()
            if stop:
                raise KeyboardInterrupt  # a process alone has yet to save: `rescue`
            self._end_step()
            if self.step == recipe.steps:
                return
            if self.step % save_every == 0:
                self.save()

    def _agreed(self, save_seconds: float) -> tuple[bool, bool]:
        """Whether a signal has come to any rank, and whether the last state is as old as that; alike on all ranks."""
        came = interrupts.signal_that_came() is not None
        late = time.monotonic() - self._saved >= save_seconds
        if self.world.size > 1:
            flags = torch.tensor([came, late and self.world.rank == 0], dtype=torch.int64)
            distributed.all_reduce(flags, distributed.ReduceOp.MAX)
            came, late = map(bool, flags.tolist())
        return came, late

    def _end_step(self) -> None:
        """What comes after the optimiser's step: the log, and the look at validation."""
        last = self.step == self.recipe.steps
        if self.step % LOG_EVERY == 0 or last:
            self._log_loss()
        if self.step % self.recipe.evaluate_every == 0 or last:
            self._look_at_validation()
        with self._moving:
            self.due = False
            self._moment = self._now()

    def _now(self) -> Moment:
        return Moment(
            step=self.step,
            due=self.due,
            seconds=self.seconds,
            losses=self.losses.clone(),
            best=self.best,
            best_weights=self.best_weights,
            buffers=kept_buffers(self.model),
            loader=self.loader.state_dict(),
        )

    def _batches(self) -> Iterator[TorchBatch]:
        if self.step < self.recipe.steps:
            yield from cast("Iterator[TorchBatch]", iter(self.loader))

    def _one_step(self, model: nn.Module, batch: TorchBatch) -> None:
        recipe, world = self.recipe, self.world
        torch.manual_seed(_mixed(recipe.seed, self.step, world.rank))
        self.model.on_step(self.step - 1)  # what is drawn anew has until the next evaluation
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(recipe.accumulate):
            rows = slice(part * self.micro_batch, (part + 1) * self.micro_batch)
            if isinstance(model, DistributedDataParallel):
                model.require_backward_grad_sync = part == recipe.accumulate - 1
            with torch.autocast(world.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                logits = model(batch.inputs[rows], batch.lengths[rows])
            loss = functional.cross_entropy(logits, batch.labels[rows])
            self.losses += loss.detach() / recipe.accumulate
            auxiliary = self.model.auxiliary_loss()
            total = loss if auxiliary is None else loss + auxiliary
            (total / recipe.accumulate).backward()  # type: ignore[no-untyped-call]
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        with self._moving:
            self._moment = None
            self.optimizer.step()
            self.seconds = time.perf_counter() - self._began
            self.due = True
            self._moment = self._now()

    def _log_loss(self) -> None:
        """The mean loss since the last line, over all ranks."""
        steps = (self.step - 1) % LOG_EVERY + 1
        if self.world.size > 1:
            distributed.all_reduce(self.losses)
        loss = float(self.losses) / (steps * self.world.size)
        self.losses.zero_()
        if not loss < float("inf"):  # also for NaN
            raise TrainingError(
                f"expected a finite loss in steps {self.step - steps + 1} to {self.step}, got {loss}: "
                "lower the learning rate or set clip_norm"
            )
        self._log({"step": self.step, "loss": round(loss, 6), "rate": self.recipe.rate(self.step)})

    def _look_at_validation(self) -> None:
        score = self._score(self.splits.validation)
        if not score.loss < float("inf"):  # also for NaN
            raise TrainingError(
                f"expected a finite loss on validation at step {self.step}, got {score.loss}: "
                "lower the learning rate or set clip_norm"
            )
        self._log({"step": self.step, "validation": score.record()})
        if not self.best or score.correct > self.best["validation"]["correct"]:
            self.best = {"step": self.step, "validation": score.record()}
            self.best_weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def _score(self, dataset: "Dataset") -> Evaluation:
        world = self.world
        return evaluate(
            self.model,
            dataset,
            precision=self.recipe.precision,
            rank=world.rank,
            world_size=world.size,
            progress=self._heed,
        )

    def _heed(self, _: int) -> None:
        """Between two batches of an evaluation: end if a signal has come. Ranks end after a step, together."""
        if self.world.size == 1 and interrupts.signal_that_came() is not None:
            raise KeyboardInterrupt

    def _log(self, event: dict[str, Any]) -> None:
        if self.world.rank != 0:
            return
        event["seconds"] = round(self.seconds, 1)
        line = json.dumps(event) + "\n"
        try:
            with (self.run / LOG).open("a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CheckpointError(
                f"{self.run / LOG}: expected to write {len(line)} bytes, got {error.strerror}: make room, or choose "
                "another folder"
            ) from error
        self.report(event)

    @property
    def plan(self) -> dict[str, Any]:
        """What decides the result, as JSON values."""
        data = {split: getattr(self.splits, split).identity for split in ("train", "validation", "test")}
        return {"model": as_json(self.model.config), "recipe": as_json(self.recipe), "data": data}

    def save(self) -> None:
        """Write all there is to go on from this step."""
        if self.world.size > 1:
            distributed.reduce(self.losses, 0)
        if self.world.rank != 0:
            self.losses.zero_()
        else:
            with self._moving:
                self._moment = self._now()
                self._write(self._moment)
        self._saved = time.monotonic()
        self.world.meet()

    def _write(self, moment: Moment) -> None:
        write_state(self.run / STATE, moment, self.model, self.optimizer, self.plan)

    def rescue(self) -> None:
        """Write the state of the last whole step, from any thread; what one of several ranks knows is not enough."""
        if self.world.size > 1:
            return
        with self._moving:
            if self._moment is not None:
                self._write(self._moment)

    def ends_in_order(self) -> AbstractContextManager[None]:
        """A block in which signals do not raise: this training looks for them, and saves."""
        if self.world.size == 1:
            return interrupts.defer_interrupts(self.rescue)
        notice = "all processes end after this step" if self.world.rank == 0 else ""
        return interrupts.defer_interrupts(self.rescue, grace=RANKS_GRACE_S, notice=notice)

    def go_on(self) -> None:
        """Take up what lies in the folder, if anything does; otherwise begin one."""
        path = self.run / STATE
        try:
            self.run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise paths.write_failure(self.run, error) from error
        self.world.meet()
        if path.exists():
            tensors, record = read_tensors(path)
            if "plan" not in record:
                raise CheckpointError(f"{path}: expected the state of a training, got other tensors: remove it")
            self._check_plan(record["plan"], path)
            best = load_state(path, tensors, self.model, self.optimizer)
            self.best_weights = {name: tensor.to(self.world.device) for name, tensor in best.items()}
            if self.world.rank == 0:
                self.losses.copy_(tensors["losses"])
            self.step, self.seconds, self.best = record["step"], record["seconds"], record["best"]
            self.due = record.get("due", False)  # a state of an earlier release was written when nothing was
            self.loader.load_state_dict(record["loader"])
        if self.world.rank == 0:
            for left in self.run.glob(f".{STATE}.*.tmp"):  # by a run that was killed while it wrote
                left.unlink()
            self._cut_log()

    def _cut_log(self) -> None:
        """Drop lines of steps that will be taken again."""
        path = self.run / LOG
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        done = self.step - self.due
        kept = [line for line in lines if _step_of(line) <= done]
        write_whole(path, "".join(f"{line}\n" for line in kept).encode())

    def _check_plan(self, found: Mapping[str, Any], path: Path) -> None:
        for part, own in self.plan.items():
            for name, value in own.items():
                other = found.get(part, {}).get(name)
                if other != value:
                    raise CheckpointError(
                        f"{path}: expected a training with {part}.{name} = {value!r}, got one with {other!r}: "
                        "choose another folder"
                    )

    def finished_card(self) -> Card:
        """The card of the folder, if it is of this training."""
        card = read_card(self.run)
        data = builtins(card.data.identities)
        found = {"model": as_json(card.model), "recipe": as_json(card.recipe), "data": data}
        self._check_plan(found, self.run / CARD)
        if self.world.rank == 0:
            (self.run / STATE).unlink(missing_ok=True)  # killed between the card and this
        return card

    def finish(self, preset: str | None) -> Card:
        """Measure the best weights on test; write them and their card; drop the state."""
        self.model.load_state_dict(self.best_weights)
        test = self._score(self.splits.test)
        if self.world.rank == 0:
            with self._moving:
                save_model(self.run, self.model, self._card(test, preset))
                self._moment = None
                (self.run / STATE).unlink(missing_ok=True)
        self.world.meet()
        return read_card(self.run)

    def _card(self, test: Evaluation, preset: str | None) -> Card:
        """Without the weights' digest, which `save_model` knows."""
        splits, config = self.splits, self.model.config
        task = splits.train.task
        return Card(
            attention=config.attention,
            task=task.name,
            parameters=count_parameters(self.model),
            recipe=self.recipe,
            selected_step=self.best["step"],
            validation=Score(**self.best["validation"]),
            test=Score(**test.record()),
            data=TrainingData(
                version=task.version,
                config=task.identity(),
                seed=splits.train.rows.seed,
                identities=OfSplits(**self.plan["data"]),
                examples=OfSplits(train=len(splits.train), validation=len(splits.validation), test=len(splits.test)),
                cut_to=reading(config, splits.train)["max_length"],
            ),
            device=device_name(self.world.device),
            processes=self.world.size,
            threads=torch.get_num_threads(),
            wall_seconds=round(self.seconds, 1),
            date=datetime.now(UTC).date().isoformat(),
            torch=str(torch.__version__),  # a class of its own, which is not JSON
            python=platform.python_version(),
            lra_data=lra_data.__version__,
            preset=preset,
            model=config,
            sha256="",
        )


def _mixed(seed: int, step: int, rank: int) -> int:
    """A seed of the generators for a step: different in each step and rank."""
    return ((seed * 1_000_003 + step) * 1_000_003 + rank) % 2**63


def _step_of(line: str) -> int:
    """The step of a line of the log; one that was cut off counts as never."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**63
