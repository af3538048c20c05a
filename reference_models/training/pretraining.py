"""Pre-trains an encoder on the inputs of a task, by the loop that trains classifiers.

Kill and resume, ranks and micro-batches are those of `training/trainer.py`. The kept weights are those of the least
loss on validation, where always the same vectors are hidden. Labels are read by the loader and used nowhere; test is
not read.

    RUN/state.safetensors, RUN/log.jsonl     as in a training
    RUN/encoder.safetensors                  at the end: the encoder
    RUN/pretraining.json                     at the end: recipe, data, device, losses
"""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, distributed, nn

import lra_data
from lra_data.loading.frameworks.torch_batches import TorchBatch, to_device
from reference_models.attention.catalogue import source_digest
from reference_models.devices import World, device_name
from reference_models.evaluation.model_inputs import read
from reference_models.evaluation.scoring import Evaluation
from reference_models.model.card import OfSplits, Score, as_json
from reference_models.model.config import ModelConfig
from reference_models.model.train_config import TrainConfig
from reference_models.pretraining.pretrained import RECORD, Pretraining, read_record, save_pretrained
from reference_models.pretraining.reconstructor import NEAR, Reconstructor
from reference_models.strict_json import builtins
from reference_models.training.loop import Training
from reference_models.training.result import Plan, check_plan
from reference_models.training.run_log import Report
from reference_models.training.splits import Splits
from reference_models.training.trainer import SAVE_SECONDS, set_threads

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

# Shares of hidden vectors (Amos et al. 2023, section 3).
RATIOS = {"listops": 0.1, "text": 0.15, "retrieval": 0.15, "image": 0.5, "pathfinder": 0.5}
_BATCH = 100


class PretrainingRun(Training):
    """The training of a `Reconstructor`. ratio: share of hidden vectors."""

    def __init__(
        self, config: ModelConfig, recipe: TrainConfig, splits: Splits, *args: Any, ratio: float, **more: Any
    ) -> None:
        self.ratio = ratio
        super().__init__(config, recipe, splits, *args, **more)

    def new_model(self, config: ModelConfig) -> Reconstructor:
        """See Training."""
        return Reconstructor(config, ratio=self.ratio, seed=self.recipe.seed)

    def further_plan(self) -> Plan:
        """See Training."""
        return {"pretraining": {"ratio": self.ratio}}

    def loss_of(self, model: nn.Module, batch: TorchBatch) -> Tensor:
        """See Training."""
        losses: Tensor = model(batch.inputs, batch.lengths, batch.indices, self.step)[0]
        return losses.mean()

    def is_better(self, score: Evaluation, best: Mapping[str, Any]) -> bool:
        """See Training: the least loss."""
        return bool(score.loss < best["loss"])

    @torch.no_grad()
    def _score(self, dataset: "Dataset") -> Evaluation:
        """examples: hidden elements. correct: those told right. loss: the mean over the rows."""
        world, model = self.world, self.model
        model.eval()
        sums = torch.zeros(4, dtype=torch.float64)  # rows, sum of their losses, hidden elements, right ones
        for batch in read(model.config, dataset, _BATCH, rank=world.rank, world_size=world.size):
            if len(batch.labels) == 0:  # another rank has the last ones
                continue
            moved = to_device(batch, world.device)
            with torch.autocast(world.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
                losses, counts = model(moved.inputs, moved.lengths, moved.indices, 0)
            found = [len(losses), losses.double().sum(), *counts.double().sum(dim=0)]
            sums += torch.tensor([float(value) for value in found], dtype=torch.float64)
            self._heed(len(losses))
        model.train()
        if world.size > 1:
            on_device = sums.to(world.device)
            distributed.all_reduce(on_device)
            sums = on_device.cpu()
        rows, loss, hidden, right = sums.tolist()
        return Evaluation(examples=int(hidden), correct=int(right), loss=loss / max(rows, 1))

    def guess(self) -> float:
        """Share of the hidden elements of validation that the best constant answer tells right."""
        model = cast(Reconstructor, self.model)
        counts = torch.zeros(max(model.config.vocab_size, 256), dtype=torch.float64)
        for batch in read(model.config, self.splits.validation, _BATCH):
            moved = to_device(batch, self.world.device)
            elements = model.hidden_elements(moved.inputs, moved.lengths, moved.indices, 0)
            counts += torch.bincount(elements.cpu(), minlength=len(counts)).double()
        hits = counts
        if model.config.of_pictures:  # an answer is right within NEAR of a value
            ones = torch.ones(1, 1, 2 * int(NEAR) + 1, dtype=torch.float64)
            hits = nn.functional.conv1d(counts[None, None], ones, padding=int(NEAR))[0, 0]
        return float(hits.max() / counts.sum().clamp(min=1))

    def result(self) -> Pretraining:
        """Write the best encoder and its record, and remove the state."""
        self.model.load_state_dict(self.best_weights)
        config = self.model.config
        record = Pretraining(
            attention=config.attention,
            attention_sha256=source_digest(config.attention),
            task=self.splits.train.task.name,
            recipe=self.recipe,
            model=config,
            ratio=self.ratio,
            identities=OfSplits(**self.splits.identities),
            selected_step=self.best["step"],
            validation=Score(**self.best["validation"]),
            guess=self.guess(),
            device=device_name(self.world.device),
            processes=self.world.size,
            threads=torch.get_num_threads(),
            wall_seconds=round(self.seconds, 1),
            date=datetime.now(UTC).date().isoformat(),
            torch=str(torch.__version__),
            python=platform.python_version(),
            lra_data=lra_data.__version__,
            sha256="",
        )
        if self.world.rank == 0:
            with self.keeper.ending():
                save_pretrained(self.run, self.model.encoder, record)
        self.world.meet()
        return read_record(self.run)


def pretrain(
    config: ModelConfig,
    recipe: TrainConfig,
    train: "Dataset",
    validation: "Dataset",
    run: Path,
    *,
    ratio: float,
    device: str = "auto",
    num_workers: int = 0,
    window: int | None = None,
    save_every: int | None = None,
    save_seconds: float = SAVE_SECONDS,
    report: Report | None = None,
    choose_threads: bool = False,
) -> Pretraining:
    """Pre-train an encoder in the folder `run`, or continue an earlier call's there; returns its record.

    ratio: share of the stem's vectors that are hidden. The other arguments and errors are those of `trainer.train`.
    """
    world = World.joined(device)
    splits = Splits(train=train, validation=validation, test=validation)
    training = PretrainingRun(
        config, recipe, splits, run, world, report, num_workers=num_workers, window=window, ratio=ratio
    )
    if (run / RECORD).exists():
        record = read_record(run)
        found = {
            "model": as_json(record.model),
            "recipe": as_json(record.recipe),
            "data": builtins(record.identities),
            "pretraining": {"ratio": record.ratio},
        }
        check_plan({name: training.plan[name] for name in found}, found, run / RECORD)
        return record
    training.go_on()
    if choose_threads:
        set_threads(training)
    try:
        with training.ends_in_order():
            training.loop(save_every or recipe.evaluate_every, save_seconds)
            return training.result()
    except KeyboardInterrupt:
        training.rescue()
        raise
