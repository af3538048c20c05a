"""Measurements that need their own process: `python -m benchmarks.loading.child NAME ARGUMENTS`, JSON in and out.

Started by `children.py`. Before each measurement a batch of the validation split is loaded, so that imports and the
compilation of kernels are not measured.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import lra_data
from lra_data.loading.batches import Batches
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.torch_batches import TorchLoader

BATCH = 32


def opened(task: str, root: str, split: str, **options: Any) -> Batches:
    """Shuffled batches of a built set."""
    dataset: Dataset = lra_data.load(task, split=split, root=root, **options)
    return dataset.batches(BATCH, shuffle=True)


def first_batch(task: str, root: str, state: dict[str, Any] | None, check_digests: bool) -> float:
    """Seconds from before `load` to the first batch, of a fresh run or of one resumed from a state."""
    next(iter(TorchLoader(opened(task, root, "validation"))))
    began = perf_counter()
    loader = TorchLoader(opened(task, root, "train", check_digests=check_digests))
    if state is not None:
        loader.load_state_dict(state)
    next(iter(loader))
    return perf_counter() - began


def growth(task: str, root: str, epochs: int) -> list[int]:
    """Bytes by which anonymous memory has grown after each epoch."""
    next(iter(TorchLoader(opened(task, root, "validation"))))
    before = anonymous()
    loader = TorchLoader(opened(task, root, "train"))
    found = []
    for _ in range(epochs):
        for _batch in loader:
            pass
        found.append(anonymous() - before)
    return found


def anonymous() -> int:
    """RssAnon: bytes of resident memory without mapped files, whose pages belong to the page cache and can be freed."""
    match = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if match is None:
        raise RuntimeError("expected RssAnon in /proc/self/status: this runs on Linux only")
    return int(match[1]) * 1024


if __name__ == "__main__":
    measures: dict[str, Callable[..., Any]] = {"first_batch": first_batch, "growth": growth}
    print(json.dumps(measures[sys.argv[1]](**json.loads(sys.argv[2]))))
