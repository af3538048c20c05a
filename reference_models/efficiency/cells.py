"""Which cells a run measures, and the settings that all of them share."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

import lra_data
from lra_data import UsageError, checks
from reference_models.attention.catalogue import attention_class
from reference_models.devices import device_name
from reference_models.efficiency.cell import DTYPES
from reference_models.efficiency.child_process import MALLOC

SHORT = (1024, 2048, 3072, 4096)
LONG = (8192, 16384)
QUICK = (1024, 2048)
# A model with this in its cost takes too long at the lengths of LONG.
_QUADRATIC = "L²"
# Batch, warm-up rounds, timed rounds.
_PROTOCOLS = {"cpu": (1, 1, 5), "cuda": (32, 10, 50)}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings that all cells of a run share. An earlier row with equal settings counts as the same measurement."""

    device: str
    device_name: str
    batch: int
    dtype: str
    threads: int
    warm_up: int
    steps: int
    malloc: str = " ".join(f"{name}={value}" for name, value in MALLOC.items())
    torch: str = str(torch.__version__)
    lra_data: str = lra_data.__version__


def lengths_of(model: str) -> tuple[int, ...]:
    """The lengths at which a model is measured by default."""
    return SHORT if _QUADRATIC in attention_class(model).cost else SHORT + LONG


def settings_for(device: str, dtype: str, threads: int) -> Settings:
    """The settings of a run; raises UsageError for invalid values."""
    if device not in _PROTOCOLS:
        raise UsageError(f"device must be one of {', '.join(_PROTOCOLS)}, got {device!r}")
    if dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    if threads < 1:
        raise UsageError(f"expected threads >= 1, got {threads}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("expected a CUDA device, got none that torch can use: measure with device cpu")
    name = device_name(torch.device(device))
    batch, warm_up, steps = _PROTOCOLS[device]
    return Settings(
        device=device, device_name=name, batch=batch, dtype=dtype, threads=threads, warm_up=warm_up, steps=steps
    )


def chosen_cells(models: Sequence[str], lengths: Sequence[int] | None, quick: bool) -> list[tuple[str, int]]:
    """(model, length) of each cell, short lengths first, so that an interrupted run has compared all models.

    Raises UsageError for an unknown model and an invalid length.
    """
    if quick and lengths is not None:
        raise UsageError("expected either quick or lengths, got both: leave one out")
    if not models:
        raise UsageError("expected at least one model, got none")
    for model in models:
        attention_class(model)  # raises for an unknown name
    asked: list[int] = []
    for length in lengths or ():
        number = checks.plain_int(length)
        if number is None or number < 1:
            raise UsageError(f"expected lengths >= 1, got {length}")
        asked.append(number)
    chosen = QUICK if quick else None if lengths is None else asked
    pairs = [(length, model) for model in models for length in (lengths_of(model) if chosen is None else chosen)]
    return [(model, length) for length, model in sorted(dict.fromkeys(pairs), key=lambda pair: pair[0])]
