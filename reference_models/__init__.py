"""X-formers as their papers define them, in one encoder, with trained weights that check `lra_data`'s datasets.

    from reference_models import Classifier, preset
    model = Classifier(preset("mini", task="listops", attention="performer"))

    from reference_models import bundled_model, evaluate
    model, card = bundled_model("listops/mini/linear")
    evaluate(model, lra_data.load("listops/mini", split="test")).accuracy

Importing this package does not import torch; each name imports its module, and with it torch, when it is first used.
The modules are called `training` and `evaluation` because `train` and `evaluate` are functions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reference_models.attention.base import Attention, Shape
    from reference_models.attention.catalogue import attention_names
    from reference_models.attention.registration import register
    from reference_models.evaluation.scoring import evaluate
    from reference_models.model.bundled import bundled_model
    from reference_models.model.card import Card
    from reference_models.model.checkpoint import load_model
    from reference_models.model.classifier import Classifier
    from reference_models.model.config import ModelConfig
    from reference_models.model.presets import preset
    from reference_models.model.train_config import TrainConfig
    from reference_models.training.recipes import recipe
    from reference_models.training.splits import Splits
    from reference_models.training.trainer import train

__all__ = [
    "Attention",
    "Card",
    "Classifier",
    "ModelConfig",
    "Shape",
    "Splits",
    "TrainConfig",
    "attention_names",
    "bundled_model",
    "evaluate",
    "load_model",
    "preset",
    "recipe",
    "register",
    "train",
]

_HOMES = {
    "Attention": "attention.base",
    "Card": "model.card",
    "Classifier": "model.classifier",
    "ModelConfig": "model.config",
    "Shape": "attention.base",
    "Splits": "training.splits",
    "TrainConfig": "model.train_config",
    "attention_names": "attention.catalogue",
    "bundled_model": "model.bundled",
    "evaluate": "evaluation.scoring",
    "load_model": "model.checkpoint",
    "preset": "model.presets",
    "recipe": "training.recipes",
    "register": "attention.registration",
    "train": "training.trainer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)
