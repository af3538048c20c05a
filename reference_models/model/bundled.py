"""The trained models that come with the package. A checkpoint is named by a folder, or as TASK/PRESET/MODEL."""

from pathlib import Path

from lra_data import errors, paths
from reference_models.model.card import Card, CheckpointError
from reference_models.model.checkpoint import CARD, load_model
from reference_models.model.classifier import Classifier

BUNDLED = Path(__file__).parents[1] / "checkpoints"
_LISTED = 8  # an error names more of them by task and preset


def bundled_names() -> list[str]:
    """Names of the bundled models, such as "listops/mini/linear", sorted."""
    return sorted(card.parent.relative_to(BUNDLED).as_posix() for card in BUNDLED.glob(f"*/*/*/{CARD}"))


def checkpoint_folder(name: str) -> Path:
    """The folder of a checkpoint: one with a card, or a bundled one; raises CheckpointError with the bundled names."""
    folder = paths.local_path(name, f"a folder with {CARD}, or a bundled checkpoint")
    if (folder / CARD).is_file():
        return folder
    names = bundled_names()
    if name in names:
        return BUNDLED / name
    shown = names if len(names) <= _LISTED else sorted({f"{found.rpartition('/')[0]}/MODEL" for found in names})
    hint = errors.did_you_mean(name, names)
    known = f"bundled: {', '.join(shown)}" if names else "none is bundled"
    raise CheckpointError(
        f"expected a folder with {CARD}, or a bundled checkpoint, got {name!r}"
        + (f".{hint} {known[0].upper()}{known[1:]}" if hint else f"; {known}")
    )


def bundled_model(name: str) -> tuple[Classifier, Card]:
    """A bundled model such as "listops/mini/linear", in evaluation mode, and its card."""
    return load_model(checkpoint_folder(name))
