"""What a user's script around Hugging Face's Trainer does, for test_trainers.py.

    transformers_script.py ROOT FOLDER, or torchrun … transformers_script.py ROOT FOLDER

Each rank writes to FOLDER/rank-<r>.json which examples its model was given, in runs with a stop and without.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

import lra_data
from lra_data.loading.frameworks.hf_datasets import stream_hf
from lra_data.loading.frameworks.torch_batches import TorchBatches, TorchExamples

BATCH = 16


class Recorder(torch.nn.Module):
    """A model that writes down which examples it was trained on, batch after batch."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = torch.nn.EmbeddingBag(32, 10)
        self.seen: list[list[int]] = []

    def forward(self, inputs: Any, labels: Any, indices: Any, lengths: Any = None) -> dict[str, Any]:
        if self.training:
            self.seen.append(indices.tolist())
        logits = self.bag(inputs[:, 0])
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = control.should_save = state.global_step == self.step


def as_dict(batch: Any) -> Any:
    return batch._asdict()


def pad(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    sequences = [torch.as_tensor(row["inputs"]) for row in rows]
    return {
        "inputs": torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)[:, None],
        "labels": torch.tensor([int(row["label"]) for row in rows]),
        "indices": torch.tensor([int(row["index"]) for row in rows]),
    }


class InOurOrder(Trainer):
    """As in docs/loading.md."""

    data: Any

    def get_train_dataloader(self) -> Any:
        batches = self.data.batches(self.args.train_batch_size, shuffle=True)
        self.add_callback(SetEpoch(batches))
        workers = self.args.dataloader_num_workers
        return DataLoader(TorchBatches(batches), batch_size=None, collate_fn=as_dict, num_workers=workers)


class SetEpoch(TrainerCallback):
    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.batches.set_epoch(int(state.epoch or 0))


def accuracy(prediction: Any) -> dict[str, float]:
    right = prediction.predictions.argmax(-1) == prediction.label_ids
    return {"examples": len(right), "accuracy": float(right.mean())}


def main(root: str, folder: Path) -> None:
    train = lra_data.load("listops/mini", split="train", root=root)
    examples = TorchExamples(train)
    held_out = TorchExamples(lra_data.load("listops/mini", split="validation", root=root))
    InOurOrder.data = train
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    found: dict[str, Any] = {}

    def collate(rows: Any) -> dict[str, torch.Tensor]:
        return examples.collate(rows)._asdict()

    def run(name: str, kind: type[Trainer], data: Callable[[], dict[str, Any]], stop: int, **options: Any) -> None:
        def trainer(**more: Any) -> Any:
            arguments = {"num_train_epochs": 3, "save_strategy": "no", "report_to": [], "use_cpu": True, **options}
            arguments |= {"disable_tqdm": True, "logging_strategy": "no", "remove_unused_columns": False, **more}
            arguments |= {"per_device_train_batch_size": BATCH, "per_device_eval_batch_size": BATCH}
            return kind(
                model=Recorder(),
                args=TrainingArguments(str(folder / name), **arguments),
                eval_dataset=held_out,
                compute_metrics=accuracy,
                **{"data_collator": collate, **data()},
            )

        try:
            whole = trainer()
            whole.train()
            begun = trainer(save_strategy="steps", save_steps=stop)
            begun.add_callback(StopAt(stop))
            begun.train()
            rest = trainer()
            rest.train(resume_from_checkpoint=str(folder / name / f"checkpoint-{stop}"))
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
            return
        found[name] = {"whole": whole.model.seen, "begun": begun.model.seen, "rest": rest.model.seen}
        if kind is Trainer and "train_dataset" in data() and data()["train_dataset"] is examples:
            found["evaluated"] = whole.evaluate()["eval_examples"]

    run("examples", Trainer, lambda: {"train_dataset": examples}, 9 // ranks)
    run("ours", InOurOrder, dict, 9 // ranks)
    share: dict[str, Any] = {"rank": 0, "world_size": 1} if ranks > 1 else {}
    endless = train.batches(BATCH, shuffle=True, epochs=None, **share)
    config = {"accelerator_config": {"dispatch_batches": False}} if ranks > 1 else {}
    run(
        "stream",
        Trainer,
        lambda: {"train_dataset": stream_hf(endless), "data_collator": pad},
        9,
        max_steps=12,
        **config,
    )
    if ranks > 1:
        mine = train.batches(BATCH, shuffle=True, epochs=None)
        run("refused", Trainer, lambda: {"train_dataset": stream_hf(mine), "data_collator": pad}, 9, max_steps=12)
    (folder / f"rank-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
