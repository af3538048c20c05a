"""Which trainings in a folder are not finished, and how far they are, from their files alone."""

from collections.abc import Iterable
from pathlib import Path

from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import CARD, STATE, read_card
from reference_models.pretraining.pretrained import RECORD
from reference_models.training.run_log import LOG
from reference_models.training.state import saved_step


def unfinished(folders: Iterable[Path]) -> dict[Path, str]:
    """How far each unfinished training is, by its folder, sorted."""
    found: dict[Path, str] = {}
    for folder in folders:
        for name in (LOG, STATE, CARD):
            for path in Path(folder).rglob(name):
                far = _how_far(path.parent)
                if far is not None:
                    found[path.parent.resolve()] = far
    return dict(sorted(found.items()))


def _how_far(run: Path) -> str | None:
    """How far a training is; None if it is finished, and if its card is broken, since that is reported elsewhere."""
    if (run / RECORD).exists():
        return None
    if not (run / CARD).exists():
        step = saved_step(run / STATE)
        return "no step is saved" if step is None else f"step {step:,} is saved"
    try:
        card = read_card(run)
    except CheckpointError:
        return None
    return None if card.recorded is not None else "its weights are final, its card is not complete"
