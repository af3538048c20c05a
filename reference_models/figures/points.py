"""The results that the figure of scores shows: bundled models, the user's trainings, and files of `lra-data score`.

    [NAME=]FOLDER       finished trainings in a folder, by their cards
    NAME=FILE.json      a result file of `lra-data score --out`, or FILE.json, whose stem is the name

Not here: the figure (`scores.py`), what a card is (`model/card.py`), how predictions are scored (`lra_data/results`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from lra_data import UsageError, paths
from reference_models.evaluation.significance import wilson
from reference_models.model.card import Card, Natural, Positive, Share, Text
from reference_models.results.rows import CONTROL, names, rows, same_rows
from reference_models.strict_json import Record, RecordError, decoded


@dataclass(frozen=True, kw_only=True)
class Point:
    """One model's score on one set.

    name: what the figure calls it.
    task: name of the set, such as "listops/mini".
    identity: of the rows that were scored.
    accuracy, low, high: shares; the 95 % Wilson interval.
    trivial: share of each trivial predictor.
    control: whether it is the model without attention.
    own: whether it is the user's.
    """

    name: str
    task: str
    identity: str
    accuracy: float
    low: float
    high: float
    trivial: Mapping[str, float]
    control: bool = False
    own: bool = False


class _Accuracy(Record, frozen=True, kw_only=True, forbid_unknown_fields=False):
    accuracy: Share


class _ResultFile(Record, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The entries of a result file that a figure needs (`lra_data/results/score.py`); it has more."""

    format: Literal[1]
    task: Text
    split: Text
    identity: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    examples: Positive
    correct: Natural
    trivial: dict[str, _Accuracy] | None


def of_cards(cards: Iterable[Card], *, name: str | None = None, own: bool = False) -> list[Point]:
    """A point for each card, sorted by task and accuracy.

    name: instead of the model's name, or in front of it if there are several models of a task.
    """
    found = []
    for task, of_task in groupby(rows(cards), key=lambda row: str(row["task"])):
        group = list(of_task)
        named = names(group)
        if name is not None:
            named = [name] if len(group) == 1 else [f"{name}, {each}" for each in named]
        found += [_point(row, each, task, own) for row, each in zip(group, named, strict=True)]
    return found


def _point(row: Mapping[str, Any], name: str, task: str, own: bool) -> Point:
    shared = {entry: row[entry] for entry in ("identity", "accuracy", "low", "high", "trivial")}
    return Point(name=name, task=task, control=row["model"] == CONTROL, own=own, **shared)


def of_result_file(path: Path, name: str) -> Point:
    """The point of a result file; raises UsageError for a file that is not one."""
    file = paths.local_path(path, "a result file of lra-data score")
    try:
        found = decoded(file.read_bytes(), _ResultFile)
        if found.correct > found.examples:
            raise RecordError(f"correct = {found.correct} of examples = {found.examples}")
    except OSError as error:
        raise UsageError(f"{file}: expected a result file of lra-data score, got: {error.strerror}") from error
    except RecordError as error:
        raise UsageError(f"{file}: expected a result file of lra-data score --out, got: {error}") from error
    low, high = wilson(found.correct, found.examples)
    return Point(
        name=name,
        task=found.task,
        identity=found.identity,
        accuracy=found.correct / found.examples,
        low=low,
        high=high,
        trivial={each: value.accuracy for each, value in (found.trivial or {}).items()},
        own=True,
    )


def named_path(text: str) -> tuple[str | None, Path]:
    """The name and the path in [NAME=]PATH. A text that is a path as a whole has no name."""
    name, equals, path = text.partition("=")
    if not equals or Path(text).expanduser().exists():
        return None, Path(text)
    if not name.strip() or not path:
        raise UsageError(f"expected NAME=PATH, got {text!r}")
    return name.strip(), Path(path)


def together(points: Sequence[Point], tasks: Sequence[str] = (), models: Sequence[str] | None = None) -> list[Point]:
    """The points of the asked sets in a figure, with different names.

    tasks: names of sets; all if empty.
    models: names of the points that are not the user's; None is all. The controls stay.

    Raises UsageError if a set or a model has no point, if points of a set are of different rows, and if two have one
    name.
    """
    _known("set", tasks, sorted({point.task for point in points}))
    chosen = [point for point in points if not tasks or point.task in tasks]
    if models is not None:
        _known("model", models, sorted({point.name for point in chosen if not point.own}))
        chosen = [point for point in chosen if point.own or point.control or point.name in models]
    if not chosen:
        raise UsageError("expected at least one result, got none: name trainings or result files")
    same_rows((point.name, point.task, point.identity) for point in chosen)
    zoo = {(point.task, point.name) for point in chosen if not point.own}
    found: dict[tuple[str, str], Point] = {}
    for point in chosen:
        taken = point.own and (point.task, point.name) in zoo
        name = f"{point.name} (own)" if taken else point.name
        if (point.task, name) in found:
            raise UsageError(
                f"expected different names of the results on {point.task}, got {name} twice: name them as NAME=PATH"
            )
        found[point.task, name] = Point(**{**point.__dict__, "name": name})
    return list(found.values())


def _known(what: str, asked: Iterable[str], known: Sequence[str]) -> None:
    for each in asked:
        if each not in known:
            raise UsageError(f"expected a {what} with results: {', '.join(known) or 'there are none'}; got {each!r}")
