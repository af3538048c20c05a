"""What computes: the device of a name, what it is called, and the processes that train together."""

import atexit
import gc
import importlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from lra_data import UsageError


def chosen_device(name: str) -> torch.device:
    """The device of a name; "auto" is the first CUDA device, if there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"expected a device such as auto, cpu or cuda:0, got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"expected a device such as auto, cpu or cuda:0, got {name!r}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"expected a CUDA device for {name!r}, torch sees none: use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"expected one of {torch.cuda.device_count()} CUDA devices, from cuda:0 on, got {name!r}")
    return device


def device_name(device: torch.device) -> str:
    """What the device is called, for a card or a row."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


@dataclass(frozen=True)
class World:
    """The processes that train together. rank: this one's number of `size`; device: this one's."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def joined(cls, device: str) -> "World":
        """As torchrun's environment has it; alone without one."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        chosen = chosen_device(device)
        if size == 1:
            return cls(0, 1, chosen)
        if chosen.type == "cuda":
            chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(chosen)
        if not distributed.is_initialized():
            # Its functions keep, as a default, the group that there is when it is imported, and with it Gloo's threads.
            importlib.import_module("torch.distributed.nn.functional")
            # Ranks also agree on numbers that are on no GPU (`trainer.py`).
            distributed.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
            atexit.register(leave)
        return cls(distributed.get_rank(), size, chosen)

    def meet(self) -> None:
        """Wait for the others."""
        if self.size > 1:
            distributed.barrier()


def leave() -> None:
    """End the group of processes and its threads, while the interpreter still runs: one that takes its lock later dies,
    and the process with it. Does nothing where there is no group.
    """
    gc.collect()  # DistributedDataParallel is part of a cycle, and holds the group
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _processor() -> str:
    """The CPU's name, as the system has it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
