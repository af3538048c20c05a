"""Cards of models that were never trained, for tests of what reads them."""

from dataclasses import replace
from typing import Any

from msgspec import structs

from reference_models.model.card import Card, OfSplits, Score, TrainingData
from reference_models.model.config import ModelConfig
from reference_models.model.presets import preset
from reference_models.training.recipes import recipe


def score(correct: int = 703, examples: int = 2000, loss: float = 1.71) -> Score:
    return Score(examples=examples, correct=correct, loss=loss, accuracy=correct / examples, low=0.0, high=1.0)


def made_card(model: ModelConfig | None = None, **changes: Any) -> Card:
    """The card of a model, by default of the mini preset. `changes` are entries of the card."""
    task = changes.get("task", "listops/mini")
    attention = changes.get("attention", "linear" if model is None else model.attention)
    family = task.partition("/")[0]
    card = Card(
        attention=attention,
        task=task,
        parameters=77_194,
        recipe=replace(recipe("mini", task=family), steps=4000),
        selected_step=4000,
        validation=score(700),
        test=score(),
        data=TrainingData(
            version=1,
            config={"operators": ["MIN", "MAX"]},
            seed=0,
            identities=OfSplits(train="a", validation="b", test="c"),
            examples=OfSplits(train=96_000, validation=2000, test=2000),
            cut_to=127,
        ),
        device="A CPU",
        processes=1,
        threads=1,
        wall_seconds=201.3,
        date="2026-11-24",
        torch="2.13.0",
        python="3.11.7",
        lra_data="0.1.0",
        preset="mini",
        model=model or preset("mini", task=family, attention=attention),
        sha256="0" * 64,
        recorded={},
        trivial={"majority": 0.123, "root_operator": 0.241},
    )
    return structs.replace(card, **changes)
