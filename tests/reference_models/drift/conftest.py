"""Small models that learned listops/mini, and a set that they know."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs

from reference_models.drift import fingerprint
from reference_models.model.checkpoint import load_model, save_model
from reference_models.model.classifier import Classifier
from reference_models.model.presets import preset
from reference_models.model.train_config import TrainConfig
from reference_models.training.runs import Source
from reference_models.training.splits import Splits
from reference_models.training.trainer import train
from tests.support.checked_sets import FRESH, MINI, RECORDED, SIZES, rewrite
from tests.support.faulty_sets import (
    built,
)


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained `linear` and an untrained `local`, both with complete cards. Tests must not change it."""
    folder = tmp_path_factory.mktemp("zoo")
    small: dict[str, Any] = {"dim": 32, "qkv_dim": 32, "mlp_dim": 32, "heads": 2, "num_layers": 1}
    config = replace(preset("mini", task="listops", attention="linear"), **small)
    recipe = TrainConfig(steps=300, learning_rate=1e-2, warmup=20)
    source = Source(target=MINI)
    splits = Splits(
        train=source.open("train"), validation=source.open("validation[:500]"), test=source.open("test[:500]")
    )
    card = train(config, recipe, splits, folder / MINI / "linear", device="cpu")
    assert card.test.accuracy > 0.2, "the model has not learned the outermost operator"
    torch.manual_seed(0)
    other = Classifier(replace(preset("mini", task="listops", attention="local"), **small))
    save_model(folder / MINI / "local", other, structs.replace(card, attention="local"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "RECORDED", RECORDED)
        for name in ("linear", "local"):
            model, _ = load_model(folder / MINI / name)
            recorded, fresh = fingerprint.record(model, source.open, source.open_other(f"train[:{FRESH}]", 1))
            rewrite(folder / MINI / name, recorded=recorded, fresh=fresh, trivial={})
    return folder


@pytest.fixture
def own_zoo(zoo: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(zoo, tmp_path / "zoo"))


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("sound"), sizes=SIZES)
