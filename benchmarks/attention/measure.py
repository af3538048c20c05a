"""Measures a port, ours, and ours of another checkout in alternating rounds."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.attention.install import install
from benchmarks.attention.ports import Port
from benchmarks.attention.sizes import BATCH, DIM, HEADS, KEPT, LENGTH, WIDTH

_OURS = ("reference_models", "lra_data")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table: milliseconds, or why there are none.

    before: of the other checkout, if one is given.
    """

    port: Port
    name: str
    ours: float = 0.0
    theirs: float = 0.0
    before: float | None = None
    skipped: str = ""


class Zoo:
    """The attentions of a checkout. Two checkouts may be in use at once: each keeps the modules that it imported."""

    def __init__(self, checkout: Path) -> None:
        with _imported_from(checkout):
            catalogue = importlib.import_module("reference_models.attention.catalogue")
            self._shape = importlib.import_module("reference_models.attention.base").Shape
            self.classes = {name: catalogue.attention_class(name) for name in catalogue.attention_names()}

    def layer(self, name: str, options: dict[str, Any]) -> nn.Module:
        """A layer of this checkout."""
        shape = self._shape(dim=DIM, heads=HEADS, head_dim=WIDTH, max_length=LENGTH)
        made: nn.Module = self.classes[name](shape, **options)
        return made


@contextmanager
def _imported_from(checkout: Path) -> Iterator[None]:
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in _OURS}
    for name in kept:
        del sys.modules[name]
    sys.path.insert(0, str(checkout))
    try:
        yield
    finally:
        sys.path.remove(str(checkout))
        for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
            del sys.modules[name]
        sys.modules.update(kept)


def race(port: Port, zoos: list[Zoo], folder: Path, rounds: int) -> Row:
    """The row of a port: `zoos` are ours and, if given, ours of another checkout."""
    name = f"{port.package.replace('==', ' ')}{f' ({port.variant})' if port.variant else ''}"
    if port.model not in zoos[0].classes:
        return Row(port=port, name=name, skipped="this checkout does not have the model")
    if "==" in port.package:
        for package, flags in ((port.package, port.flags), *((needed, ()) for needed in port.needs)):
            if problem := install(package, folder, flags):
                return Row(port=port, name=name, skipped=f"{package} {problem}" if package != port.package else problem)
    else:
        try:
            name = f"{port.package} {version(port.package)}"
        except importlib.metadata.PackageNotFoundError:
            return Row(port=port, name=name, skipped="is not installed")
    try:
        return _raced(port, name, zoos, rounds)
    except Exception as error:  # a port may fail in any way
        text = (str(error).splitlines() or [""])[0]
        return Row(port=port, name=name, skipped=f"{type(error).__name__}: {text[:120]}")


def _raced(port: Port, name: str, zoos: list[Zoo], rounds: int) -> Row:
    torch.manual_seed(0)
    keep = torch.arange(LENGTH) < torch.tensor(KEPT)[:, None] if port.mask else None
    x, gradient = torch.randn(2, BATCH, LENGTH, DIM)
    zoos = [zoo for zoo in zoos if port.model in zoo.classes]
    calls: list[Callable[[Tensor], Any]] = [_theirs(port, keep)]
    calls += [_ours(zoo.layer(port.model, port.ours), keep) for zoo in zoos]
    taken: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 1):
        for call, seconds in zip(calls, taken, strict=True):
            found = _seconds(call, x, gradient)
            if number:  # the first one warms up
                seconds.append(found)
    theirs, ours, *before = (1000 * median(seconds) for seconds in taken)
    return Row(port=port, name=name, ours=ours, theirs=theirs, before=before[0] if before else None)


def _ours(layer: nn.Module, keep: Tensor | None) -> Callable[[Tensor], Any]:
    return lambda x: layer(x, keep)


def _theirs(port: Port, keep: Tensor | None) -> Callable[[Tensor], Any]:
    make: Callable[..., nn.Module]
    if isinstance(port.make, str):
        module, _, kind = port.make.partition(":")
        make = getattr(importlib.import_module(module), kind)
    else:
        make = port.make
    layer = make(**port.arguments).train()
    masks = {port.mask: keep} if port.mask else {}
    return lambda x: layer(x, **masks)


def _seconds(call: Callable[[Tensor], Any], x: Tensor, gradient: Tensor) -> float:
    """CPU seconds of a forward and a backward pass."""
    x = x.clone().requires_grad_()
    began = process_time()
    found = call(x)
    (found[0] if isinstance(found, tuple) else found).backward(gradient)
    return process_time() - began
