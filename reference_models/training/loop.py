"""The loop of a training: steps, log, evaluations on validation, and the training's state between steps.

Not here: the files that a training writes (`state.py`, `run_log.py`, `result.py`).
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, distributed, nn

from lra_data import UsageError, interrupts, paths
from lra_data.loading.frameworks.torch_batches import TorchBatch, to_device
from reference_models.devices import World
from reference_models.evaluation.scoring import Evaluation, evaluate
from reference_models.model.card import Card
from reference_models.model.checkpoint import STATE, read_card, save_model
from reference_models.model.classifier import Classifier, WithEncoder
from reference_models.model.config import ModelConfig
from reference_models.model.train_config import TrainConfig
from reference_models.pretraining.pretrained import Pretrained
from reference_models.training.calibration import calibrate
from reference_models.training.one_step import add_gradients, compile_errors, cross_entropy, on_all_ranks, seed_of_step
from reference_models.training.result import Plan, TrainingError, check_plan, finite, new_card, plan_of
from reference_models.training.run_log import Report, RunLog
from reference_models.training.splits import Splits, micro_batch, training_loader
from reference_models.training.state import Moment, StateKeeper, kept_buffers, load_state, read_state

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

LOG_EVERY = 50
# How long ranks may take to finish a step after a signal. torchrun kills them 30 seconds after it has sent one.
RANKS_GRACE_S = 20.0


class Training:
    """A model, its optimiser, and the progress of their training.

    step: number of steps taken.
    due: whether the last step's log line and evaluation on validation are still to come.
    seconds: wall time of the training up to that step.
    losses: sum of the losses since the last line of the log.
    best, best_weights: score and weights of the best evaluation on validation so far.
    threads: number of CPU threads of the state that is continued.
    """

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
        start: Pretrained | None = None,
    ) -> None:
        self.config, self.start, self.window = config, start, window
        self.recipe, self.splits, self.run, self.world = recipe, splits, run, world
        self.log = RunLog(run, report)
        self.micro_batch = micro_batch(recipe, world)
        splits.check(config)
        if config.standardised and recipe.accumulate > 1:
            raise UsageError(
                f"expected a recipe without micro-batches for a standardised model, whose statistics are those of a "
                f"whole batch, got accumulate = {recipe.accumulate}"
            )
        self.loader = training_loader(config, recipe, splits.train, world, num_workers=num_workers, window=window)
        torch.manual_seed(recipe.seed)
        self.model = self.new_model(config).to(world.device)
        self.model.check_options()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=recipe.learning_rate,
            betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.step, self.seconds, self.due = 0, 0.0, False
        self.losses = torch.zeros((), dtype=torch.float64, device=world.device)
        self.best: dict[str, Any] = {}
        self.best_weights: dict[str, Tensor] = {}
        self.threads: int | None = None
        self.plan = {**plan_of(config, recipe, splits), **self.further_plan()}
        self.keeper = StateKeeper(run / STATE, self.model, self.optimizer, self.plan)
        self._began, self._saved = time.perf_counter(), time.monotonic()

    def new_model(self, config: ModelConfig) -> WithEncoder:
        """The model as it is before the first step; draws are from torch's generator."""
        model = Classifier(config)
        if self.start is not None:
            self.start.put_into(model.encoder)
        return model

    def further_plan(self) -> Plan:
        """What else decides the result."""
        return {} if self.start is None else {"start": {"sha256": self.start.record.sha256}}

    def loss_of(self, model: nn.Module, batch: TorchBatch) -> Tensor:
        """The mean loss on a micro-batch of the current step, without auxiliary losses."""
        return cross_entropy(model, batch)

    def loop(self, save_every: int, save_seconds: float) -> None:
        """Take all remaining steps, after the log line and evaluation that are due from the last one."""
        recipe, world = self.recipe, self.world
        model = on_all_ranks(self.model, world, compiled=recipe.compile)
        self.model.train()
        self._began, self._saved = time.perf_counter() - self.seconds, time.monotonic()
        if self.due:
            self._end_step()
        if recipe.compile and self.step < recipe.steps:
            self.log.report({"phase": "compiles the steps"})
        for batch in self._batches():
            self.step += 1
            with compile_errors():
                self._one_step(model, to_device(batch, world.device))
            stop, late = self._agreed(save_seconds)
            if late or (stop and world.size > 1):
                self.save()
            if stop:
                raise KeyboardInterrupt  # a single process has not saved yet: `rescue` does
            self._end_step()
            if self.step == recipe.steps:
                return
            if self.step % save_every == 0:
                self.save()

    def _agreed(self, save_seconds: float) -> tuple[bool, bool]:
        """Whether any rank got a signal, and whether the last state is `save_seconds` old; the same on all ranks."""
        came = interrupts.signal_that_came() is not None
        late = time.monotonic() - self._saved >= save_seconds
        if self.world.size > 1:
            flags = torch.tensor([came, late and self.world.rank == 0], dtype=torch.int64)
            distributed.all_reduce(flags, distributed.ReduceOp.MAX)
            came, late = map(bool, flags.tolist())
        return came, late

    def _end_step(self) -> None:
        """Do what follows the optimiser's step: the log line and the evaluation on validation."""
        last = self.step == self.recipe.steps
        if self.step % LOG_EVERY == 0 or last:
            self._log_loss()
        if self.step % self.recipe.evaluate_every == 0 or last:
            self._look_at_validation()
        self.due = False
        self.keeper.keep(self._now())

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
        torch.manual_seed(seed_of_step(recipe.seed, self.step, world.rank))
        self.model.on_step(self.step - 1)  # attentions draw again here, so that a draw lasts until the next evaluation
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        add_gradients(model, self.model, batch, recipe, self.loss_of, size=self.micro_batch, losses=self.losses)
        with self.keeper.changing(self._now):
            self.optimizer.step()
            self.seconds = time.perf_counter() - self._began
            self.due = True

    def _log_loss(self) -> None:
        """Log the mean loss since the last line, over all ranks."""
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
        score = finite(self._score(self.splits.validation), f"validation at step {self.step}")
        self._log({"step": self.step, "validation": score.record()})
        if not self.best or self.is_better(score, self.best["validation"]):
            self.best = {"step": self.step, "validation": score.record()}
            self.best_weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def is_better(self, score: Evaluation, best: Mapping[str, Any]) -> bool:
        """Whether a score on validation is better than the best one so far."""
        return bool(score.correct > best["correct"])

    def _score(self, dataset: "Dataset") -> Evaluation:
        world, model = self.world, cast(Classifier, self.model)
        calibrate(model, self.recipe, self.splits.train, world, self.window)
        return evaluate(
            model,
            dataset,
            precision=self.recipe.precision,
            rank=world.rank,
            world_size=world.size,
            progress=self._heed,
        )

    def _heed(self, _: int) -> None:
        """Between two batches of an evaluation: end if a signal has come. Several ranks end together, after a step."""
        if self.world.size == 1 and interrupts.signal_that_came() is not None:
            raise KeyboardInterrupt

    def _log(self, event: dict[str, Any]) -> None:
        if self.world.rank == 0:
            self.log.add({**event, "seconds": round(self.seconds, 1)})

    def save(self) -> None:
        """Write the state, from which a later run can continue after this step."""
        if self.world.size > 1:
            distributed.reduce(self.losses, 0)
        if self.world.rank != 0:
            self.losses.zero_()
        else:
            self.keeper.save(self._now())
        self._saved = time.monotonic()
        self.world.meet()

    def rescue(self) -> None:
        """Write the state of the last whole step, from any thread. With several ranks, nothing is written."""
        if self.world.size == 1:
            self.keeper.rescue()

    def ends_in_order(self) -> AbstractContextManager[None]:
        """A block in which signals do not raise: this training checks for them, and saves."""
        if self.world.size == 1:
            return interrupts.defer_interrupts(self.rescue)
        notice = "all processes end after this step" if self.world.rank == 0 else ""
        return interrupts.defer_interrupts(self.rescue, grace=RANKS_GRACE_S, notice=notice)

    def go_on(self) -> None:
        """Continue the training in the folder if it has a state; otherwise begin one."""
        path = self.keeper.path
        try:
            self.run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise paths.write_failure(self.run, error) from error
        self.world.meet()
        if path.exists():
            tensors, record = read_state(path)
            check_plan(self.plan, record.plan, path)
            best = load_state(path, tensors, self.model, self.optimizer)
            self.best_weights = {name: tensor.to(self.world.device) for name, tensor in best.items()}
            if self.world.rank == 0:
                self.losses.copy_(tensors["losses"])
            self.step, self.seconds, self.due, self.best = record.step, record.seconds, record.due, record.best
            self.threads = record.threads
            self.loader.load_state_dict(record.loader)
        if self.world.rank == 0:
            for left in self.run.glob(f".{STATE}.*.tmp"):  # left by a run that was killed while it wrote
                left.unlink()
            self.log.cut(self.step - self.due)

    def finish(self, preset: str | None) -> Card:
        """Score the best weights on test, write them and their card, and remove the state. Returns the card."""
        self.model.load_state_dict(self.best_weights)
        self.log.report({"phase": f"scores test with the weights of step {self.best['step']:,}"})
        test = finite(self._score(self.splits.test), "test")
        card = new_card(
            cast(Classifier, self.model),
            self.recipe,
            self.splits,
            self.world,
            best=self.best,
            test=test,
            seconds=self.seconds,
            preset=preset,
            start=self.start,
        )
        if self.world.rank == 0:
            with self.keeper.ending():
                save_model(self.run, cast(Classifier, self.model), card)
        self.world.meet()
        return read_card(self.run)
