"""Checkpoints: safetensors with a JSON record inside, that appear whole or not at all.

A finished model is a folder with `model.safetensors` (weights and buffers) and `card.json`, written last, which holds
the weights' SHA-256: if the card is there, the model is whole. A training that may be interrupted keeps its state in
one file, `state.safetensors`: weights, optimiser, the best weights so far, and in the file's metadata the numbers that
go with them. One file, because one file can be replaced in one step.

Not here: what the numbers mean (`trainer.py`), what a card says of data (`fingerprint.py`).
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lra_data import LraDataError
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig

WEIGHTS, CARD, STATE = "model.safetensors", "card.json", "state.safetensors"
FORMAT = 1


class CheckpointError(LraDataError):
    """A checkpoint is not there, not whole, or of another model."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a name of its own, make sure that it is on the disk, and give it its name."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{path}: expected to write {len(data):,} bytes, got {error.strerror}: make room, or choose another folder"
        ) from error


def tensors_bytes(tensors: Mapping[str, Tensor], record: Mapping[str, Any] | None = None) -> bytes:
    """A safetensors file: tensors by name, each with memory of its own, and a record as JSON in its metadata."""
    own = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return save(own, None if record is None else {"record": json.dumps(record, sort_keys=True)})


def read_tensors(path: Path, names: Sequence[str] | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, or those of some names, and the record of a file; raises CheckpointError for one that is missing or
    cut off.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            chosen = list(file.keys()) if names is None else names
            return {name: file.get_tensor(name) for name in chosen}, json.loads(metadata.get("record", "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path}: expected a whole safetensors file, got: {error}") from error


def save_model(folder: Path, model: Classifier, card: Mapping[str, Any]) -> None:
    """Write a finished model; `card` gets the model's configuration and the weights' digest."""
    data = tensors_bytes(model.state_dict())
    full = {"format": FORMAT, **card, "model": asdict(model.config), "sha256": hashlib.sha256(data).hexdigest()}
    write_whole(folder / WEIGHTS, data)
    write_whole(folder / CARD, card_bytes(full))


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a finished model; raises CheckpointError if there is none that we can read."""
    path = folder / CARD
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: expected the card of a trained model, found none: train one first") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected a card in JSON, got: {error}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else type(card).__name__
        raise CheckpointError(f"{path}: expected a card of format {FORMAT}, got {found!r}: made by another version?")
    return card


def load_model(folder: Path) -> tuple[Classifier, dict[str, Any]]:
    """A finished model in evaluation mode, on the CPU, and its card.

    Raises CheckpointError if the weights are not those that the card was written for.
    """
    card = read_card(folder)
    path = folder / WEIGHTS
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: expected the card's weights, got {error.strerror}") from error
    if found != card.get("sha256"):
        raise CheckpointError(f"{path}: expected weights with sha256 {card.get('sha256')}, got {found}")
    model = Classifier(config_of(card.get("model", {}), folder / CARD))
    load_weights(model, read_tensors(path)[0], path)
    return model.eval(), card


def config_of(record: Mapping[str, Any], path: Path) -> ModelConfig:
    """The configuration of a record, such as a card's."""
    known = {field.name for field in fields(ModelConfig)}
    if set(record) != known:
        odd = ", ".join(sorted(set(record) ^ known))
        raise CheckpointError(f"{path}: expected the fields of ModelConfig, got others or too few: {odd}")
    # JSON has no tuples.
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in record["options"].items()}
    return ModelConfig(**{**record, "options": options})


def load_weights(model: Classifier, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a model; raises CheckpointError unless they are exactly the model's."""
    own = model.state_dict()
    for name in sorted(set(own) | set(tensors)):
        if name not in own or name not in tensors:
            lacks = "checkpoint" if name in own else "model"
            raise CheckpointError(f"{path}: expected a checkpoint of this model, the {lacks} has no {name}")
        if own[name].shape != tensors[name].shape:
            expected, got = tuple(own[name].shape), tuple(tensors[name].shape)
            raise CheckpointError(f"{path}: expected {name} with shape {expected}, got {got}: another model")
    with torch.no_grad():
        model.load_state_dict(dict(tensors))


def amend_card(folder: Path, entries: Mapping[str, Any]) -> dict[str, Any]:
    """Add entries to a finished model's card; returns the card."""
    card = {**read_card(folder), **entries}
    write_whole(folder / CARD, card_bytes(card))
    return card


def card_bytes(card: Mapping[str, Any]) -> bytes:
    """A card as the file has it."""
    return (json.dumps(card, indent=1, ensure_ascii=False) + "\n").encode()
