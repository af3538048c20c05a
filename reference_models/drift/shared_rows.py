"""Finds the rows that a card recorded in another copy of their corpus, such as the whole one of a part.

A model that learned from a partial corpus knows only some rows of the whole corpus, and at other places. So its card
has for its first rows a key: a digest of who the row is (a picture's number, the names of the papers or of the review),
and one of what it holds. Of the rows that another copy also has, it can then be said whether they hold the same, come
in the same order, and get the same answers.

Pairs of papers that are drawn depend on which papers there are, so that two copies share few of them, in another order.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from reference_models.evaluation.model_inputs import read
from reference_models.evaluation.scoring import logits_of
from reference_models.model.card import RecordedAnswers
from reference_models.model.classifier import Classifier

if TYPE_CHECKING:
    from lra_data.loading.dataset import Dataset

# How the names of sets from partial corpora end.
PARTIAL = "-partial"
# Number of rows of a split that have keys in a card.
KEYED = 2000
# The columns that tell rows of a corpus apart; a picture's number counts in its half, train or test.
NAMES = {"image": ("number",), "text": ("source",), "retrieval": ("source_1", "source_2")}
_DRAWN = ("retrieval",)
_NAME_BYTES, _CONTENT_BYTES = 6, 3
_NAME_CHARACTERS = _NAME_BYTES * 4 // 3
_A_TIME = 100


@dataclass
class Shared:
    """The recorded rows of a split that another copy has.

    recorded: number of rows with keys.
    found: how many of them the copy has.
    changed: how many of those hold something else.
    in_order: whether they come in the recorded order.
    asked, different: for each model the number of unchanged rows that it answered, and of answers that changed.
    """

    recorded: int
    found: int = 0
    changed: int = 0
    in_order: bool = True
    asked: dict[str, int] = field(default_factory=dict)
    different: dict[str, int] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """What is wrong with the copy."""
        found = []
        if self.changed:
            found.append(
                f"expected {self.found:,} rows that both copies have to hold the same, got {self.changed:,} that differ"
            )
        if not self.in_order:
            found.append("expected the rows that both copies have in the recorded order, got another one")
        return found


def keys(dataset: "Dataset") -> str:
    """The keys of the first KEYED rows, one after another."""
    rows = dataset[: min(KEYED, len(dataset))]
    names = names_of(rows, dataset.task.family, dataset.split)
    return "".join(name + _content(rows, number) for number, name in enumerate(names))


def names_of(rows: pa.RecordBatch, family: str, split: str) -> list[str]:
    """A digest of who each row is: texts (N,)."""
    half = "test" if split.startswith("test") else "train"
    columns = [rows[name].to_pylist() for name in NAMES[family]]
    return [_digest("\n".join(map(str, (half, *words))).encode(), _NAME_BYTES) for words in zip(*columns, strict=True)]


def shared_rows(
    models: Mapping[str, Classifier],
    dataset: "Dataset",
    recorded: Mapping[str, RecordedAnswers],
    *,
    device: torch.device,
    divided: bool,
) -> Shared:
    """Look for recorded rows in a copy, whose whole split is read, and compare them.

    models: on the device, in evaluation mode; all read the dataset the same way.
    recorded: a split's entry of each model's card, all with the same keys.
    divided: whether each row is answered by one of the models; otherwise by all.
    """
    size = _NAME_CHARACTERS + _CONTENT_BYTES * 4 // 3
    text = next(iter(recorded.values())).keys or ""
    each = [text[start : start + size] for start in range(0, len(text), size)]
    predictions = {name: "".join(entry.predictions) for name, entry in recorded.items()}
    places = {key[:_NAME_CHARACTERS]: place for place, key in enumerate(each)}
    result = Shared(len(each), asked=dict.fromkeys(models, 0), different=dict.fromkeys(models, 0))
    last = -1
    config = next(iter(models.values())).config
    for start, batch in zip(range(0, len(dataset), _A_TIME), read(config, dataset, _A_TIME), strict=True):
        rows = dataset[start : start + _A_TIME]
        same: list[tuple[int, int]] = []
        for number, name in enumerate(names_of(rows, dataset.task.family, dataset.split)):
            place = places.get(name)
            if place is None:
                continue
            result.found += 1
            result.in_order &= place > last or dataset.task.family in _DRAWN
            last = place
            if name + _content(rows, number) == each[place]:
                same.append((number, place))
            else:
                result.changed += 1
        if not same:
            continue
        for turn, (model_name, model) in enumerate(models.items()):
            own = list(islice(same, turn, None, len(models))) if divided else same
            if not own:
                continue
            chosen = type(batch)(*(tensor[[number for number, _ in own]] for tensor in batch))
            answers = logits_of(model, chosen, device).argmax(dim=1).tolist()
            was = [int(predictions[model_name][place]) for _, place in own]
            result.asked[model_name] += len(own)
            result.different[model_name] += sum(now != then for now, then in zip(answers, was, strict=True))
    return result


def _content(rows: pa.RecordBatch, number: int) -> str:
    digest = hashlib.sha256()
    for name in rows.schema.names:
        if name.startswith("inputs"):
            digest.update(rows[name][number].values.to_numpy(zero_copy_only=False).tobytes())
    digest.update(str(rows["label"][number].as_py()).encode())
    return base64.b64encode(digest.digest()[:_CONTENT_BYTES]).decode()


def _digest(data: bytes, size: int) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()[:size]).decode()
