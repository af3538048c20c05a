"""What a shell completes the arguments and options of `lra-zoo` to; none of it loads torch."""

from collections.abc import Iterator
from pathlib import Path

from lra_data import command_line

_ZOO = Path(__file__).parents[1]
# As in attention/catalogue.py, which loads torch.
_NOT_MODELS = {"__init__", "base", "catalogue", "convolutions", "operations", "registration", "windows"}
PRESETS = ("lra-paper", "lra-release", "xiong", "mini", "mini-pixels", "mini-bytes", "published")


def model_names() -> Iterator[str]:
    """The zoo's models."""
    yield from sorted({path.stem for path in (_ZOO / "attention").glob("*.py")} - _NOT_MODELS)


def bundled_names() -> Iterator[str]:
    """The bundled models, as TASK/PRESET/MODEL."""
    folder = _ZOO / "checkpoints"
    yield from sorted(card.parent.relative_to(folder).as_posix() for card in folder.glob("*/*/*/card.json"))


MODEL, PRESET = command_line.Named(model_names), command_line.Named(lambda: PRESETS)
CHECKPOINT = command_line.Named(bundled_names, folders=True)
