"""Checkpoints: safetensors files with a JSON record in their metadata, written completely or not at all.

A finished model is a folder with `model.safetensors` (weights and buffers) and `card.json`. The card is written last
and holds the SHA-256 of the weights: if the card exists, the model is complete. A training that may be interrupted
keeps its state in `state.safetensors`: weights, optimiser, the best weights so far, and in the file's metadata the
numbers that belong to them. It is one file because one file can be replaced in one step.

Not here: the meaning of the numbers in a state (`training/state.py`), the entries of a card (`card.py`).
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from msgspec.structs import replace
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from reference_models.attention.catalogue import source_digest
from reference_models.attention.registration import registered_names
from reference_models.model.card import Card, CheckpointError, decode
from reference_models.model.classifier import Classifier

WEIGHTS, CARD, STATE = "model.safetensors", "card.json", "state.safetensors"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, and rename it to `path`."""
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
    """A safetensors file: tensors by name, each copied, and a record as JSON in its metadata."""
    own = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return save(own, None if record is None else {"record": json.dumps(record, sort_keys=True)})


def read_tensors(path: Path, names: Sequence[str] | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file (all, or those in `names`) and its record.

    Raises CheckpointError for a file that is missing or cut off.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            chosen = list(file.keys()) if names is None else names
            return {name: file.get_tensor(name) for name in chosen}, json.loads(metadata.get("record", "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path}: expected a whole safetensors file, got: {error}") from error


def save_model(folder: Path, model: Classifier, card: Card) -> Card:
    """Write a finished model; returns its card, with the model's configuration and the weights' digest."""
    data = tensors_bytes(model.state_dict())
    full = replace(card, model=model.config, sha256=hashlib.sha256(data).hexdigest())
    write_whole(folder / WEIGHTS, data)
    write_card(folder, full)
    return full


def write_card(folder: Path, card: Card) -> None:
    """Write the card of a model. Its weights must be written first."""
    write_whole(folder / CARD, card.encode())


def read_card(folder: Path) -> Card:
    """The card of a finished model; raises CheckpointError if it is missing or not readable."""
    path = folder / CARD
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path}: expected the card of a trained model, found none: train one first") from None
    except OSError as error:
        raise CheckpointError(f"{path}: expected a card in JSON, got: {error}") from error
    return decode(data, path)


def load_model(folder: Path) -> tuple[Classifier, Card]:
    """A finished model in evaluation mode, on the CPU, and its card.

    Raises CheckpointError if the digest of the weights differs from the card's, or that of the file of an attention
    from elsewhere. The card has no code: such an attention is named first (`register`, `--attention`).
    """
    card = read_card(folder)
    own = source_digest(card.attention) if card.attention_sha256 is not None else None
    if own is None and card.attention_sha256 is not None and registered_names():
        raise CheckpointError(
            f"{folder / CARD}: expected the class {card.attention} from elsewhere, got "
            f"{', '.join(registered_names())}: name it with --attention FILE.py:{card.attention}"
        )
    if own != card.attention_sha256:
        raise CheckpointError(
            f"{folder / CARD}: expected the file of {card.attention} with sha256 {card.attention_sha256}, got "
            f"{'none' if own is None else own}: name that file with --attention FILE.py:{card.attention}"
        )
    path = folder / WEIGHTS
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: expected the card's weights, got {error.strerror}") from error
    if found != card.sha256:
        raise CheckpointError(f"{path}: expected weights with sha256 {card.sha256}, got {found}")
    model = Classifier(card.model)
    load_weights(model, read_tensors(path)[0], path)
    return model.eval(), card


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a model; raises CheckpointError if a name or a shape differs."""
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
