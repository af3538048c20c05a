"""Devices by name, the name of a device's hardware, and the processes that train together."""

import atexit
import gc
import importlib
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from lra_data import UsageError


def chosen_device(name: str) -> torch.device:
    """The device with a name; "auto" is the first CUDA device if there is one, otherwise the CPU."""
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
        raise UsageError(
            f"expected one of {torch.cuda.device_count()} CUDA devices, numbered from cuda:0, got {name!r}"
        )
    return device


# Before anything changes it: the number of cores, or that of OMP_NUM_THREADS.
MOST_THREADS = torch.get_num_threads()
_SLOW_S = 2.0
_REPEATS = 5


def fastest_threads(work: Callable[[], object]) -> dict[int, float]:
    """Set the number of CPU threads with which a piece of work is fastest; returns the seconds measured by number.

    Small steps are slower with many threads, which wait for each other. From MOST_THREADS downwards the number is
    halved until that is slower. Work of more than two seconds is left to all of them.
    """
    seconds: dict[int, float] = {}
    threads = MOST_THREADS
    while threads:
        torch.set_num_threads(threads)
        times = [_seconds(work)]  # the first allocates
        if times[0] < _SLOW_S:
            times = [_seconds(work) for _ in range(_REPEATS)]
        seconds[threads] = sorted(times)[len(times) // 2]
        if times[0] >= _SLOW_S or seconds[threads] > min(seconds.values()):
            break
        threads //= 2
    torch.set_num_threads(min(seconds, key=lambda number: seconds[number]))
    return seconds


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def device_name(device: torch.device) -> str:
    """The name of the device's hardware, for a card or a row."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


@dataclass(frozen=True)
class World:
    """The processes that train together.

    rank: number of this process.
    size: number of processes.
    device: device of this process.
    """

    rank: int
    size: int
    device: torch.device

    @classmethod
    def joined(cls, device: str) -> "World":
        """The processes that torchrun's environment variables name; without them, this process alone."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        chosen = chosen_device(device)
        if size == 1:
            return cls(0, 1, chosen)
        if chosen.type == "cuda":
            chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(chosen)
        if not distributed.is_initialized():
            # Imported before there is a group: its functions keep the current group, and with it Gloo's threads.
            importlib.import_module("torch.distributed.nn.functional")
            # Ranks also agree on numbers that are on no GPU (`trainer.py`).
            distributed.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
            atexit.register(leave)
        return cls(distributed.get_rank(), size, chosen)

    def meet(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()


def leave() -> None:
    """End the group of processes and its threads while the interpreter still runs; do nothing without a group.

    A thread of the group that takes the interpreter's lock later crashes, and the process with it.
    """
    gc.collect()  # DistributedDataParallel is part of a reference cycle, and refers to the group
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _processor() -> str:
    """The CPU's name, as the system reports it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
