"""The recipe of each preset and task. The fields of a recipe are in `model/train_config.py`.

Sources, in addition to those of `model/presets.py`: the release's `lra_benchmarks/utils/train_utils.py` for its
schedule and optimiser; `LRA/code/lra_config.py` of mlpen/Nystromformer for `xiong`. `mini` is ours.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lra_data import UsageError
from lra_data.task import Task
from reference_models.model.presets import PIXELS, PUBLISHED, check_preset
from reference_models.model.published import changes_of_xiong, published_recipe
from reference_models.model.train_config import TrainConfig

_RELEASE: dict[str, dict[str, Any]] = {
    "listops": {"steps": 5000, "learning_rate": 0.05, "schedule": "inverse-sqrt", "warmup": 1000},
    "text": {"steps": 20_000, "learning_rate": 0.05, "schedule": "inverse-sqrt", "warmup": 8000},
    "retrieval": {"steps": 5000, "learning_rate": 0.05, "schedule": "inverse-sqrt", "warmup": 8000},
    "image": {"steps": 35_000, "batch_size": 256, "learning_rate": 5e-4, "warmup": 175, "weight_decay": 0.0},
    "pathfinder": {"steps": 62_400, "batch_size": 512, "learning_rate": 1e-3, "warmup": 312},
}

# The appendix gives other rates for three tasks. It gives no warm-up, so the warm-up is the release's.
_PAPER_RATES = {"retrieval": 0.5, "image": 0.01, "pathfinder": 0.01}

# Its schedule, OneCycleLR, also moves beta1 between 0.85 and 0.95; here beta1 is constant.
_XIONG: dict[str, dict[str, Any]] = {
    "listops": {"steps": 5000, "warmup": 1000, "evaluate_every": 50},
    "text": {"steps": 20_000, "warmup": 8000},
    "retrieval": {"steps": 30_000, "warmup": 800, "evaluate_every": 300},
    "image": {"steps": 35_000, "warmup": 175, "batch_size": 256, "evaluate_every": 175},
    "pathfinder": {"steps": 62_400, "warmup": 312, "batch_size": 256, "evaluate_every": 312},
}
_XIONG_ALL: dict[str, Any] = {
    "learning_rate": 1e-4,
    "schedule": "linear",
    "beta2": 0.999,
    "epsilon": 1e-6,
    "weight_decay": 0.0,
}

# At most ten minutes of a core a model, from `benchmarks/recipes`, on validation. How many steps Pathfinder takes on
# easier rows was not searched (docs/baselines.md).
_MINI: dict[str, dict[str, Any]] = {
    "listops": {"steps": 4000, "learning_rate": 2e-3, "warmup": 200},
    "text": {"steps": 1000, "evaluate_every": 250},
    "retrieval": {"steps": 1500, "evaluate_every": 250},
    "image": {"steps": 1000, "batch_size": 64, "learning_rate": 2e-3, "evaluate_every": 250},
    "pathfinder": {
        "steps": 4000,
        "batch_size": 64,
        "evaluate_every": 500,
        "easier": {"contour_length": 2},
        "easier_steps": 1500,
    },
}
# Longer contours are learned rung after rung, each one paddle longer, the first without distractors; then come steps on
# the set's own rows. Trained on 32-easy alone (docs/baselines.md).
_SHORT, _RUNG_STEPS, _OWN_STEPS = 3, 250, 2000
# A token a pixel takes a Transformer more than a second a step on one core. Not searched yet.
_PIXELS: dict[str, Any] = {"steps": 1500}


def recipe(name: str, *, task: str, attention: str | None = None, contour_length: int | None = None) -> TrainConfig:
    """A preset's recipe for a task (a family of `lra_data`); raises UsageError as `preset` does.

    attention: only the preset `published` needs it, where each model has a recipe of its own.
    contour_length: paddles of a contour of Pathfinder, on which the rungs of `mini` depend.
    """
    check_preset(name, task)
    if name == PUBLISHED:
        if attention is None:
            raise UsageError(f"expected the model's name with the preset {PUBLISHED}, got none")
        if changes_of_xiong(attention, task) is not None:
            return recipe("xiong", task=task)
        return TrainConfig(**published_recipe(attention, task))
    if name.startswith("mini"):
        chosen: dict[str, Any] = {"warmup": 50, **(_PIXELS if name == PIXELS else _MINI[task])}
        if name != PIXELS and contour_length is not None and contour_length > _SHORT:
            chosen |= _ladder(contour_length)
        return TrainConfig(**chosen, clip_norm=1.0, weight_decay=0.01, beta2=0.99)
    if name == "xiong":
        return TrainConfig(**_XIONG_ALL, **_XIONG[task])
    settings = dict(_RELEASE[task])
    if name == "lra-paper":
        settings["learning_rate"] = _PAPER_RATES.get(task, settings["learning_rate"])
    return TrainConfig(**settings)


def recipe_for(name: str, data: Task, attention: str | None = None) -> TrainConfig:
    """`recipe` for a task as it is configured."""
    length = getattr(data.config, "contour_length", None)
    return recipe(name, task=data.family, attention=attention, contour_length=length)


def _ladder(contour_length: int) -> dict[str, Any]:
    lengths = range(_SHORT, contour_length)
    rungs = ({"contour_length": _SHORT, "num_distractor_snakes": 0}, *({"contour_length": each} for each in lengths))
    easier_steps = _RUNG_STEPS * len(rungs)
    return {"easier": rungs, "easier_steps": easier_steps, "steps": easier_steps + _OWN_STEPS}


def with_changes(given: TrainConfig, changes: Mapping[str, Any], *, generated: bool = True) -> TrainConfig:
    """A recipe with changed fields; raises UsageError for values that no recipe may have.

    With another number of steps, easier rows keep their share of them; with fewer easier steps than rungs, the first
    rungs have a step each. A task that is not generated has none.
    """
    if given.easier and not generated:
        given = replace(given, easier=None, easier_steps=0)
    if given.easier and "steps" in changes and not {"easier", "easier_steps"} & changes.keys():
        share = max(1, given.easier_steps * changes["steps"] // given.steps)
        changes = {**changes, "easier": given.rungs[:share], "easier_steps": share}
    return replace(given, **changes)


def written(rung: Mapping[str, Any]) -> str:
    """Easier fields as the option `--easier` takes them: NAME=VALUE,NAME=VALUE."""
    return ",".join(f"{name}={json.dumps(value)}" for name, value in rung.items())
