"""What a user's training script does, for test_torchrun.py: DDP on gloo over a set, a checkpoint, and going on from it.

    torchrun … training_script.py ROOT FOLDER STEPS [STATE]

Each rank writes the indices of the batches it was given to FOLDER/rank-<r>.json; rank 0 the state to FOLDER/state.json.
Stops after STEPS steps of the epoch, or at its end for 0.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import lra_data
from lra_data.loading.frameworks.torch_batches import TorchLoader


def main() -> None:
    root, folder, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.EmbeddingBag(16, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = lra_data.load("listops/mini", split="train", root=root)
    loader = TorchLoader(data.batches(16, shuffle=True, seed=7, epoch=2, max_length=64, pad_to=64), num_workers=1)
    if len(sys.argv) > 4:
        loader.load_state_dict(json.loads(Path(sys.argv[4]).read_text()))
    seen = []
    for step, batch in enumerate(loader, start=1):
        # The last step may leave a rank an empty batch: it goes through the model all the same, so that no rank waits.
        loss = torch.nn.functional.cross_entropy(model(batch.inputs[:, 0]), batch.labels, reduction="sum")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seen.append(batch.indices.tolist())
        if step == steps:
            break
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    everywhere = [torch.empty_like(weights) for _ in range(dist.get_world_size())]
    dist.all_gather(everywhere, weights)
    if not all(torch.equal(weights, other) for other in everywhere) or not weights.isfinite().all():
        raise AssertionError("ranks have other weights")
    (folder / f"rank-{dist.get_rank()}.json").write_text(json.dumps(seen))
    if dist.get_rank() == 0:
        (folder / "state.json").write_text(json.dumps(loader.state_dict()))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
