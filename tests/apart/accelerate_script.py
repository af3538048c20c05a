"""What a user's Accelerate script does, for test_trainers.py: torchrun … accelerate_script.py ROOT FOLDER

Each rank writes to FOLDER/rank-<r>.json which examples each loader gave it, and which `gather_for_metrics` gave.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from accelerate import Accelerator, skip_first_batches
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader, IterableDataset

import lra_data
from lra_data.loading.frameworks.hf_datasets import stream_hf
from lra_data.loading.frameworks.torch_batches import (
    BatchSampler,
    TorchBatches,
    TorchExamples,
    TorchLoader,
    to_device,
    to_torch,
)

BATCH = 16


class Own(IterableDataset[Any]):
    """A dataset of the user's own around our batches."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return map(to_torch, iter(self.batches))


def only(batches: list[Any]) -> Any:
    return batches[0]


def indices(rows: list[Any]) -> torch.Tensor:
    return torch.tensor([int(row["index"]) for row in rows])


def main(root: str, folder: Path) -> None:
    accelerator = Accelerator(cpu=True)
    train = lra_data.load("listops/mini", split="train", root=root)
    odd = lra_data.load("listops/mini", split="train[:99]", root=root)
    found: dict[str, Any] = {}

    def prepared(name: str, make: Callable[[], Any], passes: int = 2, **options: Any) -> None:
        """Two passes over the loader as `prepare` returns it, or what it raised."""
        one = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(**options))
        try:
            loader = one.prepare(make())
            found[name] = []
            for _ in range(passes):
                given: list[int] = []
                gathered: list[int] = []
                for batch in loader:
                    here = batch if isinstance(batch, torch.Tensor) else batch.indices
                    given += here.tolist()
                    gathered += one.gather_for_metrics(here.tolist(), use_gather_object=True)
                found[name].append([given, gathered])
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"

    def batches(**options: Any) -> Any:
        return train.batches(BATCH, shuffle=True, **options)

    examples = TorchExamples(train)
    for shown, config in (("", {}), (", not dispatched", {"dispatch_batches": False})):
        for workers in (0, 2):
            for context in ("fork", "spawn") if workers else (None,):
                prepared(
                    f"refused: DataLoader, {workers} workers, {context}{shown}",
                    lambda workers=workers, context=context: DataLoader(  # type: ignore[misc]
                        TorchBatches(batches()), batch_size=None, num_workers=workers, multiprocessing_context=context
                    ),
                    **config,
                )
        prepared(
            f"refused: BatchSampler{shown}",
            lambda: DataLoader(examples, batch_sampler=BatchSampler(batches()), collate_fn=examples.collate),
            **config,
        )
        prepared(
            f"refused: stream_hf{shown}",
            lambda: DataLoader(stream_hf(batches()).with_format("torch"), batch_size=4, collate_fn=indices),
            **config,
        )
        # Batches of one batch: the loader gives them without their list.
        prepared(
            f"refused: batch_size=1{shown}",
            lambda: DataLoader(TorchBatches(batches()), batch_size=1, collate_fn=only),
            **config,
        )
    prepared(
        "refused: split",
        lambda: DataLoader(TorchBatches(batches()), batch_size=1, collate_fn=only),
        split_batches=True,
    )
    # With dispatch_batches=True rank 0 alone iterates, and the others wait for it until their launcher ends them.
    for workers in (0, 1):
        prepared(
            f"refused: own dataset, {workers} workers",
            lambda workers=workers: DataLoader(  # type: ignore[misc]
                Own(batches()), batch_size=1, collate_fn=only, num_workers=workers
            ),
            dispatch_batches=False,
        )
    whole: dict[str, Any] = {"rank": 0, "world_size": 1, "pad_to": 2000, "max_length": 2000}
    prepared(
        "not dispatched", lambda: DataLoader(TorchBatches(batches(**whole)), batch_size=None), dispatch_batches=False
    )
    for workers in (0, 2):
        prepared(
            f"whole, {workers} workers",
            lambda workers=workers: DataLoader(  # type: ignore[misc]
                TorchBatches(batches(**whole)), batch_size=None, num_workers=workers
            ),
        )
    prepared("whole, odd", lambda: DataLoader(TorchBatches(odd.batches(BATCH, **whole)), batch_size=None))
    prepared("examples", lambda: DataLoader(examples, batch_size=BATCH, shuffle=True, collate_fn=examples.collate))

    loader = TorchLoader(batches())
    found["left as it is"] = accelerator.prepare(loader) is loader
    prepared("TorchLoader", lambda: loader)
    accelerator.register_for_checkpointing(loader)
    begun = []
    for step, batch in enumerate(loader, start=1):
        begun += to_device(batch, accelerator.device).indices.tolist()  # type: ignore[arg-type]
        if step == 2:
            accelerator.save_state(str(folder / "state"))
            break
    accelerator.wait_for_everyone()
    next(iter(loader))  # goes astray before the state is loaded
    accelerator.load_state(str(folder / "state"))
    found["stopped"] = [begun, [index for batch in loader for index in batch.indices.tolist()]]

    plain = DataLoader(TorchBatches(batches()), batch_size=None)  # not prepared: this rank's share
    rest = skip_first_batches(plain, 1)
    found["skipped"] = [index for batch in rest for index in batch.indices.tolist()]
    (folder / f"rank-{accelerator.process_index}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
