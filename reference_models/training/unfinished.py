"""Which trainings beneath a folder are not finished, and how far they are, from their files alone."""

from collections.abc import Iterable
from pathlib import Path

from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import CARD, STATE, read_card
from reference_models.training.run_log import LOG
from reference_models.training.state import saved_step


def unfinished(folders: Iterable[Path]) -> dict[Path, str]:
    """How far each training is that is begun and not finished, by its folder, sorted."""
    found: dict[Path, str] = {}
    for folder in folders:
        for name in (LOG, STATE, CARD):
            for path in Path(folder).rglob(name):
                far = _how_far(path.parent)
                if far is not None:
                    found[path.parent.resolve()] = far
    return dict(sorted(found.items()))


def _how_far(run: Path) -> str | None:
    """None for a training that is finished, or whose card is broken, which is another matter."""
    if not (run / CARD).exists():
        step = saved_step(run / STATE)
        return "no step is saved" if step is None else f"step {step:,} is saved"
    try:
        card = read_card(run)
    except CheckpointError:
        return None
    return None if card.recorded is not None else "its weights are final, its card is not complete"
