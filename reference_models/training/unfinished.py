"""Which trainings beneath a folder are not finished, and how far they are, from their files alone."""

import json
from collections.abc import Iterable
from pathlib import Path

from reference_models.model.checkpoint import CARD, STATE
from reference_models.training.state import saved_step
from reference_models.training.trainer import LOG

# What `experiment.complete_card` adds last.
_COMPLETES = ("recorded", "trivial")


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
    try:
        card = json.loads((run / CARD).read_bytes())
    except FileNotFoundError:
        step = saved_step(run / STATE)
        return "no step is saved" if step is None else f"step {step:,} is saved"
    except (OSError, ValueError):
        return None
    # A card without a result is broken, and one with either entry was completed and then damaged.
    if not isinstance(card, dict) or "test" not in card or any(name in card for name in _COMPLETES):
        return None
    return "its weights are final, its card is not complete"
