"""Checkpoints: whole or refused, with the field that is wrong, and the same answers in every process."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import structs
from torch import Tensor

from reference_models.attention.catalogue import attention_names
from reference_models.model.card import CheckpointError, FreshAnswers, RecordedAnswers, decode
from reference_models.model.checkpoint import (
    CARD,
    WEIGHTS,
    load_model,
    load_weights,
    read_card,
    read_tensors,
    save_model,
    tensors_bytes,
    write_card,
    write_whole,
)
from reference_models.model.classifier import Classifier
from reference_models.model.presets import PRESETS, TASKS, preset
from tests.support import training_process
from tests.support.model_cards import made_card
from tests.support.training_process import small_config, small_splits

SCRIPT = Path(training_process.__file__)

# Entries without which a card is refused, with some of the nested ones.
REQUIRED = [
    *("attention", "task", "parameters", "recipe", "selected_step", "validation", "test", "data", "device"),
    *("processes", "threads", "wall_seconds", "date", "torch", "python", "lra_data", "model", "sha256"),
    *("recipe.clip_norm", "model.heads", "model.note", "test.correct", "data.identities.validation"),
]


def new_model(attention: str) -> Classifier:
    """A model in the state after some steps: with buffers that were drawn anew."""
    torch.manual_seed(5)
    model = Classifier(small_config(attention)).eval()
    model.on_step(2000)
    return model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", new_model("linear"), made_card())
    return tmp_path / "model"


def refused(folder: Path) -> str:
    """The one line with which a model is refused."""
    with pytest.raises(CheckpointError) as error:
        load_model(folder)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_the_same_logits_in_another_process(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as there; sums of several threads have another order
    expected = {}
    batch = next(iter(small_splits().test.batches(20, pad_to=127)))
    for name in attention_names():
        model = new_model(name)
        save_model(tmp_path / name, model, made_card())
        with torch.no_grad():
            logits = model(torch.from_numpy(batch.inputs), torch.from_numpy(batch.lengths))
        assert logits.isfinite().all()
        expected[name] = hashlib.sha256(logits.numpy().tobytes()).hexdigest()
    torch.set_num_threads(threads)
    own = os.environ.get("PYTHONHASHSEED", "random")
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "1" if own != "1" else "2",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    found = subprocess.run(
        [sys.executable, str(SCRIPT), "logits", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=environment,
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert json.loads(found.stdout) == expected
    assert len(set(expected.values())) == len(attention_names())


def test_a_loaded_model(saved: Path) -> None:
    model, card = load_model(saved)
    assert not model.training
    expected = new_model("linear")
    assert model.config == expected.config
    own, other = model.state_dict(), expected.state_dict()
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)
    assert card.format == 1
    assert card.task == "listops/mini"
    assert card.model == expected.config
    assert card.sha256 == hashlib.sha256((saved / WEIGHTS).read_bytes()).hexdigest()
    assert sorted(path.name for path in saved.iterdir()) == [CARD, WEIGHTS]


@pytest.mark.parametrize("preset_name", PRESETS)
@pytest.mark.parametrize("attention", attention_names())
def test_every_configuration_comes_back(preset_name: str, attention: str) -> None:
    """JSON has lists for tuples; a model must not be another one for it."""
    for task in TASKS:
        config = preset(preset_name, task=task, attention=attention)
        card = made_card(config)
        assert decode(card.encode(), Path("card.json")) == card


@pytest.mark.parametrize("place", [0, 8, 100, 4000, -1])
def test_one_byte_of_the_weights(place: int, saved: Path) -> None:
    data = bytearray((saved / WEIGHTS).read_bytes())
    data[place] ^= 1
    (saved / WEIGHTS).write_bytes(data)
    expected = read_card(saved).sha256
    found = hashlib.sha256(data).hexdigest()
    assert refused(saved) == f"{saved / WEIGHTS}: expected weights with sha256 {expected}, got {found}"


def test_weights_that_are_cut_off_or_missing(saved: Path) -> None:
    data = (saved / WEIGHTS).read_bytes()
    (saved / WEIGHTS).write_bytes(data[:-1])
    assert refused(saved).startswith(f"{saved / WEIGHTS}: expected weights with sha256 ")
    (saved / WEIGHTS).unlink()
    assert refused(saved) == f"{saved / WEIGHTS}: expected the card's weights, got No such file or directory"


def test_a_missing_card(saved: Path) -> None:
    (saved / CARD).unlink()
    assert refused(saved) == f"{saved / CARD}: expected the card of a trained model, found none: train one first"
    assert refused(saved / "nowhere").endswith("found none: train one first")


@pytest.mark.parametrize("text", ["", "{", '{"format": 1', "\x00\x00"])
def test_a_card_that_is_no_json(text: str, saved: Path) -> None:
    (saved / CARD).write_text(text)
    assert refused(saved).startswith(f"{saved / CARD}: expected a card in JSON, got: ")


@pytest.mark.parametrize(
    ("card", "got"),
    [
        ({"format": 2}, "2"),
        ({"format": "1"}, "'1'"),
        ({}, "None"),
        ([1], "'list'"),
        ("format", "'str'"),
        (None, "'NoneType'"),
    ],
)
def test_a_card_of_another_format(card: Any, got: str, saved: Path) -> None:
    (saved / CARD).write_text(json.dumps(card))
    assert refused(saved) == f"{saved / CARD}: expected a card of format 1, got {got}: made by another version?"


def changed_card(folder: Path, place: str, value: Any) -> None:
    """Rewrite an entry of the card, named with dots; None takes it away."""
    card = json.loads((folder / CARD).read_text())
    *outer, last = place.split(".")
    into = card
    for name in outer:
        into = into[name]
    into[last] = value
    if value is None:
        del into[last]
    (folder / CARD).write_text(json.dumps(card))


@pytest.mark.parametrize("place", REQUIRED)
def test_a_card_without_an_entry(place: str, saved: Path) -> None:
    changed_card(saved, place, None)
    assert refused(saved) == f"{saved / CARD}: expected a card of format 1, got: missing entry {place}"


@pytest.mark.parametrize("place", ["rotary", "model.rotary", "recipe.rotary", "test.rotary", "data.examples.rotary"])
def test_a_card_with_an_unknown_entry(place: str, saved: Path) -> None:
    changed_card(saved, place, 1)
    assert refused(saved) == f"{saved / CARD}: expected a card of format 1, got: unknown entry {place}"


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        ("parameters", "9", "parameters: expected int, got str"),
        ("parameters", 0, "parameters: expected int >= 1"),
        ("test.correct", 703.0, "test.correct: expected int, got float"),
        ("test.correct", True, "test.correct: expected int, got bool"),
        ("test.correct", 2001, "test: expected correct <= examples = 2000, got 2001"),
        ("model", [], "model: expected object, got array"),
        ("model.heads", "2", "model.heads: expected int, got str"),
        ("recipe.steps", 0, "recipe: steps must be an integer >= 1, got 0"),
        ("recipe.schedule", "steps", "recipe.schedule: invalid enum value 'steps'"),
        ("trivial", {"majority": 12.3}, "trivial[...]: expected float <= 1.0"),
        ("data.seed", None, "missing entry data.seed"),
        ("trivial", None, "expected the entries recorded, fresh and trivial together, got some of them"),
        ("recorded", None, "expected the entries recorded, fresh and trivial together, got some of them"),
    ],
)
def test_a_card_with_a_wrong_entry(place: str, value: Any, fault: str, saved: Path) -> None:
    changed_card(saved, place, value)
    assert refused(saved) == f"{saved / CARD}: expected a card of format 1, got: {fault}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"attention": "full", "options": {}}, "expected a checkpoint of this model, the model has no "),
        ({"attention": "longformer", "options": {}}, "expected a checkpoint of this model, the checkpoint has no "),
        (
            {"mlp_dim": 8},
            "expected encoder.feed_forwards.0.narrow.weight with shape (16, 8), got (16, 32): another model",
        ),
        ({"num_layers": 1}, "expected a checkpoint of this model, the model has no encoder.attentions.1."),
        ({"num_layers": 3}, "expected a checkpoint of this model, the checkpoint has no encoder.attentions.2."),
        ({"num_classes": 2}, "with shape (2,), got (10,): another model"),
    ],
)
def test_weights_of_another_model(change: dict[str, Any], expected: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(folder, new_model("sinkhorn"), made_card())
    for name, value in change.items():
        changed_card(folder, f"model.{name}", value)
    text = refused(folder)
    assert text.startswith(f"{folder / WEIGHTS}: ")
    assert expected in text


def test_nothing_is_copied_from_another_model() -> None:
    model = new_model("linear")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors = {name: tensor + 1 for name, tensor in before.items()}
    last = sorted(tensors)[-1]
    tensors[last] = torch.zeros(1)
    with pytest.raises(CheckpointError):
        load_weights(model, tensors, Path("x"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_card_comes_back(saved: Path) -> None:
    first = made_card(recorded=None, trivial=None, preset=None)
    write_card(saved, first)
    assert read_card(saved) == first
    assert not {"recorded", "fresh", "trivial", "preset"} & json.loads((saved / CARD).read_text()).keys()
    answers = RecordedAnswers(examples=2, correct=1, rows=["a"], read=["b"], predictions=["01"])
    fresh = FreshAnswers(seed=1, examples=3, correct=2, errors={"[MED": (1, -2, 4)})
    complete = structs.replace(first, preset="é", recorded={"test": answers}, fresh=fresh, trivial={})
    write_card(saved, complete)
    assert read_card(saved) == complete
    write_card(saved, structs.replace(complete, fresh=None))  # a corpus
    assert json.loads((saved / CARD).read_text())["fresh"] is None


def test_the_first_cards_had_no_errors_of_groups(saved: Path) -> None:
    """Commit 9e770d7: `fresh` without `errors`."""
    write_card(saved, made_card(fresh=FreshAnswers(seed=1, examples=3, correct=2, errors={"all": (3, 1, 1)})))
    changed_card(saved, "fresh.errors", None)
    fresh = read_card(saved).fresh
    assert fresh is not None
    assert fresh.errors == {}


# Files


def test_tensors_and_record_come_back(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    tensors: dict[str, Tensor] = {
        "a": shared,
        "b": shared.view(2, 3).T,  # not contiguous, and the same memory
        "c": torch.tensor(7),
        "d": torch.zeros(0, 3, dtype=torch.bfloat16),
        "é": torch.tensor([float("nan"), float("-inf")], dtype=torch.float64),
    }
    record = {"step": 3, "best": {"loss": 0.1 + 0.2}, "text": "é"}
    write_whole(tmp_path / "new" / "x.safetensors", tensors_bytes(tensors, record))
    found, found_record = read_tensors(tmp_path / "new" / "x.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].nan_to_num(9.0), tensor.nan_to_num(9.0))
    assert found_record == record
    assert tensors_bytes(tensors, record) == tensors_bytes(dict(reversed(tensors.items())), record)


def test_tensors_are_not_those_of_the_model(tmp_path: Path) -> None:
    tensor = torch.zeros(3)
    data = tensors_bytes({"a": tensor})
    tensor += 1
    write_whole(tmp_path / "x", data)
    assert read_tensors(tmp_path / "x")[0]["a"].tolist() == [0, 0, 0]


def test_a_file_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"one")
    seen = []
    synced = os.fsync

    def looking(descriptor: int) -> None:
        seen.append((path.read_bytes(), os.fstat(descriptor).st_size))
        synced(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", looking)
        write_whole(path, b"three")
    assert seen == [(b"one", 5)]  # all of it is on its way to the disk before it has the name
    assert path.read_bytes() == b"three"

    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with pytest.raises(CheckpointError) as error:
            write_whole(path, b"fours")
    assert str(error.value) == (
        f"{path}: expected to write 5 bytes, got Input/output error: make room, or choose another folder"
    )
    assert path.read_bytes() == b"three"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="expected to write 3 bytes, got"):
        write_whole(tmp_path / "file" / "x", b"one")


def test_a_record_that_is_damaged(tmp_path: Path) -> None:
    data = tensors_bytes({"a": torch.zeros(1)}, {"step": 1})
    write_whole(tmp_path / "x", data.replace(b'{\\"step\\"', b'[\\"step\\"'))
    assert data != (tmp_path / "x").read_bytes()
    with pytest.raises(CheckpointError, match="x: expected a whole safetensors file, got: "):
        read_tensors(tmp_path / "x")
