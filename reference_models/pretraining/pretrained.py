"""A pre-trained encoder on the disk: `encoder.safetensors`, and `pretraining.json`, which is written last.

The record has the digest of the weights, so a folder that has it is whole.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import replace
from torch import Tensor

from reference_models.attention.catalogue import source_digest
from reference_models.model.card import CheckpointError, OfSplits, Score
from reference_models.model.checkpoint import load_weights, read_tensors, tensors_bytes, write_whole
from reference_models.model.config import ModelConfig
from reference_models.model.encoder import Encoder
from reference_models.model.train_config import TrainConfig
from reference_models.strict_json import Record, RecordError, builtins, decoded, without_added

ENCODER, RECORD = "encoder.safetensors", "pretraining.json"
# Fields of a model's configuration that an encoder does not depend on.
_OF_HEADS = ("num_classes", "head", "standardised", "dropout", "attention_dropout", "seed", "note")


class Pretraining(Record, frozen=True, kw_only=True):
    """How an encoder was pre-trained.

    attention, attention_sha256, task, recipe, model, device, processes, threads, wall_seconds, date, torch, python,
        lra_data: as in the card of a trained model.
    ratio: share of vectors that were hidden.
    identities: `Dataset.identity` of the splits that were read; that of test is validation's, since test is not read.
    selected_step: step of the kept weights, of the least loss on validation.
    validation: of the hidden elements: their number, those told right, and the mean loss of an example.
    guess: share of them that the best constant answer tells right.
    sha256: digest of the weights' file.
    """

    format: Literal[1] = 1
    attention: str
    attention_sha256: str | None = None
    task: str
    recipe: TrainConfig
    model: ModelConfig
    ratio: Annotated[float, Meta(gt=0, lt=1)]
    identities: OfSplits[str]
    selected_step: int
    validation: Score
    guess: Annotated[float, Meta(ge=0, le=1)]
    device: str
    processes: int
    threads: int
    wall_seconds: float
    date: str
    torch: str
    python: str
    lra_data: str
    sha256: str


@dataclass(frozen=True)
class Pretrained:
    """A pre-trained encoder: its record, its weights, and the folder that they are from."""

    record: Pretraining
    tensors: Mapping[str, Tensor]
    folder: Path

    def put_into(self, encoder: Encoder) -> None:
        """Copy the weights into an encoder; raises CheckpointError for one of another configuration."""
        own, other = (
            {name: value for name, value in asdict(config).items() if name not in _OF_HEADS}
            for config in (encoder.config, self.record.model)
        )
        for name, value in own.items():
            if json.loads(json.dumps(other[name])) != json.loads(json.dumps(value)):
                raise CheckpointError(
                    f"{self.folder}: expected an encoder with {name} = {value!r}, got one with {other[name]!r}: "
                    "pre-train with the same task, model and preset"
                )
        load_weights(encoder, self.tensors, self.folder / ENCODER)


def save_pretrained(folder: Path, encoder: Encoder, record: Pretraining) -> Pretraining:
    """Write an encoder and then its record, with the digest of the weights; returns the record."""
    data = tensors_bytes(encoder.state_dict())
    full = replace(record, sha256=hashlib.sha256(data).hexdigest())
    write_whole(folder / ENCODER, data)
    values = builtins(full)
    values["model"] = without_added(full.model, values["model"])
    write_whole(folder / RECORD, (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode())
    return full


def read_record(folder: Path) -> Pretraining:
    """The record of a pre-trained encoder; raises CheckpointError if it is missing or not readable."""
    path = folder / RECORD
    try:
        return decoded(path.read_bytes(), Pretraining)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: expected the record of a pre-trained encoder, found none: run `lra-zoo pretrain` first"
        ) from None
    except (OSError, RecordError) as error:
        raise CheckpointError(f"{path}: expected the record of a pre-trained encoder, got: {error}") from error


def read_pretrained(folder: Path) -> Pretrained:
    """A pre-trained encoder.

    Raises CheckpointError if it is not whole, or if the file of an attention from elsewhere is another.
    """
    record, path = read_record(folder), folder / ENCODER
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: expected the record's weights, got {error.strerror}") from error
    if found != record.sha256:
        raise CheckpointError(f"{path}: expected weights with sha256 {record.sha256}, got {found}")
    own = source_digest(record.attention) if record.attention_sha256 is not None else None
    if own != record.attention_sha256:
        raise CheckpointError(
            f"{folder / RECORD}: expected the file of {record.attention} with sha256 {record.attention_sha256}, got "
            f"{own or 'none'}: name that file with --attention FILE.py:{record.attention}"
        )
    return Pretrained(record, read_tensors(path)[0], folder)
