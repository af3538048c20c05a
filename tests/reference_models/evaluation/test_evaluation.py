"""A score counts every example once, however it is cut into batches, workers and ranks."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import lra_data
from lra_data import UsageError
from lra_data.corpus import Corpus
from lra_data.loading.dataset import Dataset
from reference_models.attention.catalogue import attention_names
from reference_models.commands.main import cli
from reference_models.evaluation.model_inputs import read, reading
from reference_models.evaluation.scoring import Evaluation, evaluate
from reference_models.model.checkpoint import save_model
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig
from reference_models.model.presets import preset
from tests.support.model_cards import made_card
from tests.support.training_process import small_config

EXAMPLES = 43


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return lra_data.load("listops/mini", split=f"test[:{EXAMPLES}]")


@pytest.fixture(scope="module")
def texts(corpora: dict[str, Path]) -> Dataset:
    """160 reviews of 60 to 900 bytes."""
    return lra_data.load("text/lra", split="test", corpus=Corpus(corpora["text"], allow_partial=True))


def new_model(config: ModelConfig, sharpness: float = 30.0) -> Classifier:
    """A model whose answers differ from row to row, and leave no ties to rounding."""
    torch.manual_seed(2)
    model = Classifier(config).eval()
    with torch.no_grad():
        model.head[-1].weight.mul_(sharpness)  # type: ignore[operator]
    return model


def one_by_one(model: Classifier, dataset: Dataset, length: int) -> tuple[int, int, float]:
    """Examples, right answers, summed loss, from the rows themselves."""
    examples, correct, loss = 0, 0, 0.0
    for row in dataset:
        tokens = row["inputs"][:length].astype(np.int32) + (dataset.task.family == "text")  # a byte's id is one more
        inputs = torch.zeros(1, 1, length, dtype=torch.int32)
        inputs[0, 0, : len(tokens)] = torch.from_numpy(tokens)
        with torch.no_grad():
            logits = model(inputs, torch.tensor([[len(tokens)]]))[0].double()
        examples += 1
        correct += int(logits.argmax()) == row["label"]
        loss += float(logits.logsumexp(0) - logits[row["label"]])
    return examples, correct, loss


def test_each_example_counts_once(dataset: Dataset) -> None:
    model = new_model(small_config("local"))
    examples, correct, loss = one_by_one(model, dataset, 127)
    found = evaluate(model, dataset)
    assert (found.examples, found.correct) == (examples, correct) == (EXAMPLES, correct)
    assert found.loss == pytest.approx(loss / examples, abs=1e-5)
    assert found.accuracy == correct / EXAMPLES
    assert 0 < correct < EXAMPLES


@pytest.mark.parametrize("batch_size", [1, 7, 42, 43, 44, 1000])
@pytest.mark.parametrize("attention", ["reformer", "routing"])
def test_the_size_of_a_batch_changes_nothing(batch_size: int, attention: str, dataset: Dataset) -> None:
    model = new_model(small_config(attention))
    told: list[int] = []
    found = evaluate(model, dataset, batch_size=batch_size, progress=told.append)
    expected = evaluate(model, dataset, batch_size=10)
    assert (found.examples, found.correct) == (expected.examples, expected.correct)
    assert found.loss == pytest.approx(expected.loss, abs=1e-5)
    whole, rest = divmod(EXAMPLES, batch_size)
    assert told == [batch_size] * whole + [rest] * (rest > 0)


def test_workers_change_nothing(dataset: Dataset) -> None:
    model = new_model(small_config("linear"))
    expected = evaluate(model, dataset, batch_size=9)
    for num_workers in (1, 2):
        assert evaluate(model, dataset, batch_size=9, num_workers=num_workers) == expected


@pytest.mark.parametrize(("ranks", "num_workers"), [(2, 0), (2, 2), (3, 0), (50, 0)])
def test_ranks_share_a_split(ranks: int, num_workers: int, dataset: Dataset) -> None:
    """Each example is read by one of them; test_training_ranks.py has real ranks that add up their scores."""
    config = small_config("linear")
    seen: list[int] = []
    for rank in range(ranks):
        for batch in read(config, dataset, 4, rank=rank, world_size=ranks, num_workers=num_workers):
            seen += batch.indices.tolist()
    assert sorted(seen) == list(range(EXAMPLES))


def test_environment_of_torchrun_does_not_share_it(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not told to share, such as a card's record by the first rank, sees all."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert evaluate(new_model(small_config("linear")), dataset).examples == EXAMPLES


@pytest.mark.parametrize("attention", attention_names())
def test_a_model_stays_as_it_was(attention: str, dataset: Dataset) -> None:
    """No dropout, no learning, and the mode that it came in."""
    model = new_model(small_config(attention))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = evaluate(model, dataset)
    assert not model.training
    model.train()
    assert evaluate(model, dataset) == expected
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bfloat16_is_near(dataset: Dataset) -> None:
    model = new_model(small_config("full"), sharpness=1.0)
    found, expected = (evaluate(model, dataset, precision=precision) for precision in ("bfloat16", "float32"))
    assert found.loss != expected.loss
    assert found.loss == pytest.approx(expected.loss, abs=0.02)


# What a model reads


def test_texts_are_cut(texts: Dataset) -> None:
    config = small_config("local", vocab_size=257, num_classes=2, max_length=200)
    lengths = [len(row["inputs"]) for row in texts]
    assert min(lengths) < 200 < max(lengths)
    model = new_model(config)
    examples, correct, loss = one_by_one(model, texts, 200)
    for batch_size in (16, 100):
        found = evaluate(model, texts, batch_size=batch_size)
        assert (found.examples, found.correct) == (examples, correct) == (len(texts), correct)
        assert found.loss == pytest.approx(loss / examples, abs=1e-5)
    batches = list(read(config, texts, 16))
    assert {batch.inputs.shape[1:] for batch in batches} == {(1, 200)}
    assert [length for batch in batches for length in batch.lengths[:, 0].tolist()] == [
        min(length, 200) for length in lengths
    ]


def test_expressions_and_pictures_are_not_cut(dataset: Dataset) -> None:
    shorter = small_config("local", max_length=126)
    with pytest.raises(UsageError) as error:
        evaluate(new_model(shorter), dataset)
    assert str(error.value) == (
        "expected a model for listops/mini's 127 elements, got one of max_length 126: choose a larger preset (or a "
        "smaller set)"
    )
    pictures = lra_data.load("pathfinder/32-easy-clean", split="test[:3]")
    with pytest.raises(
        UsageError, match=r"^expected a model for pathfinder/32-easy-clean's 1,024 elements, got one of"
    ):
        reading(small_config("full", vocab_size=256, num_classes=2, max_length=1000), pictures)
    assert reading(preset("mini", task="pathfinder", attention="full"), pictures) == {
        "max_length": 1024,
        "pad_to": 1024,
    }


def test_longer_models_pad_no_more_than_the_task(dataset: Dataset) -> None:
    assert reading(small_config("full", max_length=5000), dataset) == {"max_length": 127, "pad_to": 127}
    assert reading(small_config("full", max_length=127), dataset) == {"max_length": 127, "pad_to": 127}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_classes": 11}, "expected a model of listops/mini's 10 labels, got one of 11"),
        ({"head": "four-way"}, "expected a model of listops/mini's 1 sequences an example, got one of 2"),
        ({"vocab_size": 10}, "expected a model with a vocabulary of 16 ids for listops/mini, got one of 10"),
    ],
)
def test_datasets_of_another_kind(changes: dict[str, Any], expected: str, dataset: Dataset) -> None:
    with pytest.raises(UsageError) as error:
        evaluate(new_model(small_config("full", **changes)), dataset)
    assert str(error.value) == expected


def test_the_command_asks_for_the_family(tmp_path: Path) -> None:
    """Bytes and pixels have as many ids, and both have two labels here."""
    model = new_model(replace(preset("mini", task="text", attention="linear"), max_length=1024))
    save_model(tmp_path, model, made_card(task="text/lra"))
    found = CliRunner().invoke(cli, ["evaluate", str(tmp_path), "pathfinder/32-easy-clean", "--split", "test[:3]"])
    assert isinstance(found.exception, UsageError)
    assert str(found.exception) == (
        f"expected a dataset of the task that {tmp_path} learned, text/lra, got pathfinder/32-easy-clean"
    )


# Numbers


def test_record() -> None:
    found = Evaluation(examples=200, correct=150, loss=0.12345678).record()
    z = 1.959963984540054
    for limit in (found["low"], found["high"]):
        assert abs(limit - 0.75) == pytest.approx(z * math.sqrt(limit * (1 - limit) / 200))
    assert found["low"] < found["accuracy"] == 0.75 < found["high"]
    assert (found["examples"], found["correct"], found["loss"]) == (200, 150, 0.123457)
