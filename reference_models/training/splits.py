"""The three splits of a training, and how its batches are made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import lra_data
from lra_data import UsageError
from lra_data.loading.frameworks.torch_batches import TorchBatch, TorchLoader
from reference_models.devices import World
from reference_models.evaluation.model_inputs import reading
from reference_models.model.config import ModelConfig
from reference_models.model.train_config import TrainConfig

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The splits of a training: `train` to learn from, `validation` to choose the weights, `test` for the score."""

    train: "Dataset"
    validation: "Dataset"
    test: "Dataset"

    @property
    def identities(self) -> dict[str, str]:
        """The identity of each split's data, by name."""
        return {name: getattr(self, name).identity for name in ("train", "validation", "test")}

    def check(self, config: ModelConfig) -> None:
        """Raises UsageError for splits that the model cannot be measured on."""
        for split in (self.validation, self.test):
            reading(config, split)
            if len(split) == 0:
                raise UsageError(f"expected at least one example in {split.task.name} {split.split}, got none")
        names = {split.task.family for split in (self.train, self.validation, self.test)}
        if len(names) > 1:
            raise UsageError(f"expected splits of one family of tasks, got {', '.join(sorted(names))}")


def micro_batch(recipe: TrainConfig, world: World) -> int:
    """Number of examples in a rank's micro-batch; raises UsageError if the batch size does not divide evenly."""
    parts = world.size * recipe.accumulate
    if recipe.batch_size % parts:
        raise UsageError(
            f"expected a batch size that {world.size} ranks and {recipe.accumulate} micro-batches divide, got "
            f"{recipe.batch_size}"
        )
    return recipe.batch_size // parts


class Ladder:
    """A rank's endless batches: of easier rows for a number of steps, rung after rung, then of the train split."""

    def __init__(self, easier: Sequence[TorchLoader], steps: int, then: TorchLoader) -> None:
        self.then = then
        self._rungs = [
            (loader, steps * (place + 1) // len(easier)) for place, loader in enumerate(easier)
        ]  # and its end
        self._done = 0  # number of batches of easier rows that were given

    @property
    def _current(self) -> TorchLoader:
        return next((loader for loader, end in self._rungs if self._done < end), self.then)

    def __iter__(self) -> Iterator[TorchBatch]:
        for loader, end in self._rungs:
            if self._done < end:
                for batch in islice(cast("Iterator[TorchBatch]", iter(loader)), end - self._done):
                    self._done += 1
                    yield batch
        yield from cast("Iterator[TorchBatch]", iter(self.then))

    def state_dict(self) -> dict[str, Any]:
        """The place of the last batch that was given."""
        return {"easier": self._done, "loader": self._current.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from such a place."""
        self._done = state["easier"]
        self._current.load_state_dict(state["loader"])


def training_loader(
    config: ModelConfig, recipe: TrainConfig, train: "Dataset", world: World, *, num_workers: int, window: int | None
) -> "TorchLoader | Ladder":
    """A rank's endless batches of a training; easier rows are generated on the fly, under the train split's seed.

    Raises UsageError as `train_loader`, and for a recipe whose easier configuration the task does not have.
    """
    then = train_loader(config, recipe, train, world, num_workers=num_workers, window=window)
    if not recipe.rungs:
        return then
    if train.task.converted:
        raise UsageError(f"expected a generated task for the recipe's easier rows, got {train.task.name}")
    easier = [
        train_loader(config, recipe, _easier_rows(rung, train), world, num_workers=num_workers, window=window)
        for rung in recipe.rungs
    ]
    return Ladder(easier, recipe.easier_steps, then)


def _easier_rows(rung: Mapping[str, Any], train: "Dataset") -> "Dataset":
    try:
        changes = {name: tuple(value) if isinstance(value, list) else value for name, value in rung.items()}
        task: Any = replace(train.task.config, **changes)
    except TypeError as error:
        raise UsageError(f"expected fields of {train.task.name}'s configuration in easier, got: {error}") from error
    return lra_data.load(task, split="train", seed=train.rows.seed)


def train_loader(
    config: ModelConfig, recipe: TrainConfig, train: "Dataset", world: World, *, num_workers: int, window: int | None
) -> TorchLoader:
    """A rank's endless batches of the train split; each holds all of the rank's micro-batches of a step."""
    batches = train.batches(
        micro_batch(recipe, world) * recipe.accumulate,
        shuffle=True,
        window=window,
        seed=recipe.seed,
        epochs=None,
        fresh=recipe.fresh,
        rank=world.rank,
        world_size=world.size,
        remainder="drop",
        **reading(config, train),
    )
    if len(train) < recipe.batch_size:
        raise UsageError(f"expected at least one batch of {recipe.batch_size}, got {len(train)} examples")
    return TorchLoader(batches, num_workers=num_workers, pin_memory=world.device.type == "cuda")
