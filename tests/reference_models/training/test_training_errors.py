"""Data and options that cannot be trained on, and losses that are not finite: one clear line."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import lra_data
from lra_data import LraDataError, UsageError
from lra_data.corpus import Corpus
from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import (
    CARD,
)
from reference_models.model.presets import preset
from reference_models.training.result import TrainingError
from reference_models.training.run_log import LOG
from reference_models.training.splits import Splits
from reference_models.training.trainer import train
from tests.support.training_process import (
    small_config,
    small_recipe,
    small_splits,
)


def refused(error: type[Exception], run: Path, **changes: Any) -> str:
    """The line with which a training is refused, before it writes anything."""
    given: dict[str, Any] = {"config": small_config("full"), "recipe": small_recipe(), "splits": small_splits()}
    words = {"device": "cpu"} | {name: changes.pop(name) for name in ("device", "window") if name in changes}
    given |= changes
    with pytest.raises(error) as found:
        train(given["config"], given["recipe"], given["splits"], run, **words)
    assert not run.exists()
    return str(found.value)


def one_split(task: str, **words: Any) -> Splits:
    """The first rows of each split of a task."""
    train, validation, test = (
        lra_data.load(task, split=f"{split}[:40]", **words) for split in ("train", "validation", "test")
    )
    return Splits(train=train, validation=validation, test=test)


def test_a_model_that_cannot_read_the_data(tmp_path: Path, corpora: dict[str, Path]) -> None:
    run = tmp_path / "run"
    expected = (
        "expected a model for listops/mini's 127 elements, got one of max_length 100: choose a larger preset (or a "
        "smaller set)"
    )
    assert refused(UsageError, run, config=small_config("full", max_length=100)) == expected
    expected = "expected a model with a vocabulary of 16 ids for listops/mini, got one of 15"
    assert refused(UsageError, run, config=small_config("full", vocab_size=15)) == expected
    expected = "expected a model of listops/mini's 10 labels, got one of 2"
    assert refused(UsageError, run, config=small_config("full", num_classes=2)) == expected
    expected = "expected a model of listops/mini's 1 sequences an example, got one of 2"
    assert refused(UsageError, run, config=small_config("full", head="concat")) == expected
    pairs = one_split("retrieval/by-paper", corpus=Corpus(corpora["retrieval"], allow_partial=True))
    expected = f"expected a model of {pairs.train.task.name}'s 2 sequences an example, got one of 1"
    assert refused(UsageError, run, config=preset("mini", task="text", attention="full"), splits=pairs) == expected
    pictures = one_split("pathfinder/32-easy-clean")
    expected = "expected a model of pathfinder/32-easy-clean's 2 labels, got one of 10"
    assert refused(UsageError, run, splits=pictures) == expected
    for name in ("validation", "test"):
        mixed = replace(small_splits(), **{name: getattr(pictures, name)})
        assert refused(UsageError, run, splits=mixed) == expected


def test_splits_of_other_families(tmp_path: Path, corpora: dict[str, Path]) -> None:
    """A model of bytes can read pixels, which have as many ids and as many labels: only the family tells them apart."""
    model = replace(preset("mini", task="text", attention="linear"), max_length=1024)
    texts = one_split("text/lra", corpus=Corpus(corpora["text"], allow_partial=True))
    for name in ("validation", "test"):
        pictures = lra_data.load("pathfinder/32-easy-clean", split=f"{name}[:40]")
        text = refused(UsageError, tmp_path / "run", config=model, splits=replace(texts, **{name: pictures}))
        assert text.startswith("expected splits of one ")
        assert "pathfinder" in text
        assert "text" in text


def test_other_early_errors(tmp_path: Path) -> None:
    run = tmp_path / "run"
    expected = "expected at least one batch of 71, got 70 examples"
    assert refused(UsageError, run, recipe=small_recipe(batch_size=71)) == expected
    assert "window=5" in refused(UsageError, run, window=5)
    expected = "expected a device such as auto, cpu or cuda:0, got 'gpu'"
    assert refused(UsageError, run, device="gpu") == expected
    if not torch.cuda.is_available():
        expected = "expected a CUDA device for 'cuda:0', torch sees none: use --device cpu"
        assert refused(UsageError, run, device="cuda:0") == expected
    with pytest.raises(
        ValueError, match=r"^unknown preset 'nano'; known: lra-paper, .*, mini, mini-pixels, mini-bytes, published.$"
    ):
        preset("nano", task="listops", attention="full")


@pytest.mark.parametrize("name", ["validation", "test"])
def test_a_split_without_examples(name: str, tmp_path: Path) -> None:
    """Found before the training, not after it."""
    splits = replace(small_splits(), **{name: lra_data.load("listops/mini", split=f"{name}[:0]")})
    text = refused(UsageError, tmp_path / "run", splits=splits)
    assert text.startswith("expected at least one example ")
    assert name in text


def test_fresh_examples_of_a_built_set(small_root: Path, tmp_path: Path) -> None:
    train, validation, test = (
        lra_data.load("listops/mini", split=split, root=small_root) for split in ("train", "validation", "test")
    )
    splits = Splits(train=train, validation=validation, test=test)
    text = refused(UsageError, tmp_path / "run", recipe=small_recipe(fresh=True), splits=splits)
    assert text == "expected a virtual set for fresh examples, got a built one: leave out root"


@pytest.mark.parametrize("evaluate_every", [5, 50])
def test_a_loss_that_is_not_finite(evaluate_every: int, tmp_path: Path) -> None:
    recipe = small_recipe(
        learning_rate=1e6, schedule="constant", weight_decay=0.1, batch_size=4, evaluate_every=evaluate_every
    )
    with pytest.raises(TrainingError) as error:
        train(small_config("full"), recipe, small_splits(), tmp_path, device="cpu")
    where = "in steps 1 to 12" if evaluate_every == 50 else "on validation at step 5"
    assert re.fullmatch(
        rf"expected a finite loss {where}, got (nan|inf): lower the learning rate or set clip_norm", str(error.value)
    )
    assert_log_is_json(tmp_path)


def test_a_last_step_that_ruins_the_weights(tmp_path: Path) -> None:
    """Its loss is from before it; only validation sees what it made."""
    recipe = small_recipe(steps=1, learning_rate=1e30, schedule="constant", warmup=0)
    with pytest.raises(TrainingError) as error:
        train(small_config("full"), recipe, small_splits(), tmp_path, device="cpu")
    expected = "expected a finite loss on validation at step 1, got nan: lower the learning rate or set clip_norm"
    assert str(error.value) == expected
    assert_log_is_json(tmp_path)


def assert_log_is_json(run: Path) -> None:
    """What stands there any JSON reader can read: NaN and Infinity are none; and there is no card."""
    for line in (run / LOG).read_text().splitlines():
        json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert not (run / CARD).exists()


def test_errors_are_of_the_family_that_programs_catch() -> None:
    assert issubclass(TrainingError, LraDataError)
    assert issubclass(CheckpointError, LraDataError)
