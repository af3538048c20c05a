"""What a user's Lightning script does, for test_trainers.py: python lightning_script.py ROOT FOLDER [STRATEGY]

Each of two ranks writes what it was given to FOLDER/rank-<r>.json. Lightning starts this script again for the second
rank; with STRATEGY ddp_spawn it starts processes from this one, with the loader that was made here.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

import lra_data
from lra_data.errors import UsageError
from lra_data.loading.frameworks.torch_batches import BatchSampler, TorchBatches, TorchExamples, TorchLoader

EPOCHS = 4
BATCH = 16


class Recorder(lightning.LightningModule):
    """Writes down which examples it was given: [epoch, indices] of each batch."""

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self.bag = torch.nn.EmbeddingBag(32, 10)
        self.trained: list[Any] = []
        self.validated: list[Any] = []
        self.file = file

    def training_step(self, batch: Any, _: int) -> Any:
        self.trained.append([self.current_epoch, batch.indices.tolist()])
        loss = torch.nn.functional.cross_entropy(self.bag(batch.inputs[:, 0]), batch.labels)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, _: int) -> None:
        epoch = -1 if self.trainer.sanity_checking else self.current_epoch
        self.validated.append([epoch, batch.indices.tolist()])

    def on_fit_end(self) -> None:
        if self.file is not None:
            self.file.with_name(f"rank-{self.global_rank}.json").write_text(json.dumps({"ddp_spawn": self.record()}))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)

    def record(self) -> dict[str, Any]:
        return {"trained": self.trained, "validated": self.validated}


def trainer(**options: Any) -> lightning.Trainer:
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    options = {"accelerator": "cpu", "devices": 1, "enable_checkpointing": False, **options}
    return lightning.Trainer(**quiet, **options)


def main(root: str, folder: Path, strategy: str) -> None:
    train = lra_data.load("listops/mini", split="train", root=root)
    validation = lra_data.load("listops/mini", split="validation", root=root)
    examples = TorchExamples(train)
    found: dict[str, Any] = {}

    def batches() -> Any:
        return train.batches(BATCH, shuffle=True, seed=3)

    def fit(make: Callable[[], Any], checkpoint: Path | None = None, **options: Any) -> dict[str, Any]:
        module = Recorder()
        trainer(**options).fit(module, make(), TorchLoader(validation.batches(BATCH)), ckpt_path=checkpoint)
        return module.record()

    def stop_and_go_on(name: str, make: Callable[[], Any], stops: tuple[int, ...], **options: Any) -> None:
        """Stop after so many steps with a checkpoint, and go on from it in another Trainer."""
        for stop in stops:
            place = folder / f"{name}-{stop}"
            keep = ModelCheckpoint(place, every_n_train_steps=stop, save_top_k=-1)
            begun = fit(make, max_steps=stop, max_epochs=-1, enable_checkpointing=True, callbacks=[keep], **options)
            (checkpoint,) = place.glob("*.ckpt")
            rest = fit(make, checkpoint, max_epochs=3, **options)
            found[f"{name}, stop {stop}"] = {"begun": begun["trained"], "rest": rest["trained"]}

    def refusal(make: Callable[[], Any], **options: Any) -> str:
        try:
            fit(make, **options)
        except Exception as error:
            causes: list[BaseException | None] = [error, error.__context__, error.__cause__]
            ours: list[BaseException | None] = [cause for cause in causes if isinstance(cause, UsageError)]
            return f"{type((ours or [error])[0]).__name__}: {(ours or [error])[0]}"
        return "no error"

    if strategy == "ddp_spawn":
        loader = TorchLoader(batches(), num_workers=1)
        trainer(devices=2, strategy="ddp_spawn", max_epochs=2).fit(
            Recorder(folder / "record"), loader, TorchLoader(validation.batches(BATCH))
        )
        return

    loaders: dict[str, Callable[[], Any]] = {
        "TorchLoader": lambda: TorchLoader(batches(), num_workers=1),
        "DataLoader": lambda: DataLoader(TorchBatches(batches()), batch_size=None),
        "StatefulDataLoader": lambda: StatefulDataLoader(TorchBatches(batches()), batch_size=None),
    }

    def sampled() -> Any:
        return DataLoader(examples, batch_sampler=BatchSampler(batches()), collate_fn=examples.collate)

    if "LOCAL_RANK" not in os.environ:  # one device, before Lightning starts this script again
        for name, make in loaders.items():
            found[f"1, {name}"] = fit(make, max_epochs=EPOCHS)
        stop_and_go_on("1, TorchLoader", loaders["TorchLoader"], (4, 10, 14))
        stop_and_go_on("1, StatefulDataLoader", loaders["StatefulDataLoader"], (14,))
    two: dict[str, Any] = {"devices": 2, "strategy": "ddp"}
    for name, make in loaders.items():
        found[f"2, {name}"] = fit(make, max_epochs=2, **two)
    found["2, BatchSampler"] = fit(sampled, max_epochs=2, use_distributed_sampler=False, **two)
    found["injected"] = refusal(sampled, max_epochs=1, **two)
    found["wrapped"] = refusal(
        lambda: DataLoader(examples, sampler=BatchSampler(batches()), batch_size=None), max_epochs=1, **two
    )
    stop_and_go_on("2, TorchLoader", loaders["TorchLoader"], (3, 5), **two)
    (folder / f"rank-{os.environ['LOCAL_RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "ddp")
