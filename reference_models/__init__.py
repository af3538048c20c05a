"""Sixteen X-formers, each computing what its paper says, in one encoder, trained, to check the datasets of `lra_data`.

    from reference_models import Classifier, preset
    model = Classifier(preset("mini", task="listops", attention="performer"))

    from reference_models import bundled_model, evaluate
    model, card = bundled_model("listops/mini/linear")
    evaluate(model, lra_data.load("listops/mini", split="test")).accuracy

Importing this package loads nothing heavy; each name loads its module, and so torch, when it is first used. The modules
are called `training` and `evaluation` because `train` and `evaluate` are functions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reference_models.attention.catalogue import attention_names
    from reference_models.bundled import bundled_model
    from reference_models.checkpoint import load_model
    from reference_models.classifier import Classifier
    from reference_models.config import ModelConfig
    from reference_models.evaluation import evaluate
    from reference_models.presets import preset
    from reference_models.recipes import TrainConfig, recipe
    from reference_models.training import Splits, train

__all__ = [
    "Classifier",
    "ModelConfig",
    "Splits",
    "TrainConfig",
    "attention_names",
    "bundled_model",
    "evaluate",
    "load_model",
    "preset",
    "recipe",
    "train",
]

_HOMES = {
    "Classifier": "classifier",
    "ModelConfig": "config",
    "Splits": "training",
    "TrainConfig": "recipes",
    "attention_names": "attention.catalogue",
    "bundled_model": "bundled",
    "evaluate": "evaluation",
    "load_model": "checkpoint",
    "preset": "presets",
    "recipe": "recipes",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
