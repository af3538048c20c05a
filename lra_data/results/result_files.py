"""The user's result files, as `lra-data score --out` writes them: one model's scores on one task or several.

Not here: how they are made (`score.py`), whether they compare with published scores (`comparable.py`), and their rows
in the published table (`own_results.py`) and on the report's board.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lra_data.catalogue import families
from lra_data.errors import UsageError, brief, reason
from lra_data.paths import local_path

Share = Annotated[float, Meta(ge=0, le=1)]
Natural = Annotated[int, Meta(ge=0)]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of a result file that the page shows; `lra_data/results/score.py` says what each holds."""

    format: Literal[1]
    task: Annotated[str, Meta(pattern="^[a-z0-9]+/.+$")]
    version: Natural
    seed: Natural
    split: str
    rows: tuple[Natural, Natural]
    identity: str
    examples: Annotated[int, Meta(ge=1)]
    correct: Natural
    accuracy: Share
    low: Share
    high: Share
    versions: dict[str, str]
    command: str | None
    date: str


@dataclass(frozen=True, kw_only=True)
class ModelResults:
    """One model's results. name: of its file or folder. digests: SHA-256 of each file, by its name."""

    name: str
    results: tuple[Result, ...]
    digests: dict[str, str]


def read_results(places: Sequence[Any]) -> list[ModelResults]:
    """One entry for each place, in their order.

    places: a result file, whose stem names the model; or a folder of them, which is one model on several tasks.

    Raises UsageError for a file that is not a result, a folder without results, and a task of no known family.
    """
    return [_read_place(local_path(place, "a result file, or a folder of result files")) for place in places]


def _read_place(place: Path) -> ModelResults:
    files = sorted(place.glob("*.json")) if place.is_dir() else [place]
    if not files:
        raise UsageError(f"{place}: expected result files (*.json) of `lra-data score --out`, got a folder without any")
    results, digests = [], {}
    for file in files:
        result, digests[file.name] = _read(file)
        if result.task.partition("/")[0] not in families():
            raise UsageError(f"{file}: expected a task of {', '.join(families())}, got {brief(result.task)}")
        results.append(result)
    name = place.resolve().name if place.is_dir() else place.stem
    return ModelResults(name=name, results=tuple(results), digests=digests)


def read_result(file: Path) -> Result:
    """The result in a file; raises UsageError for another file."""
    return _read(local_path(file, "a result file"))[0]


def _read(file: Path) -> tuple[Result, str]:
    try:
        data = file.read_bytes()
        return msgspec.json.decode(data, type=Result), hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise UsageError(f"{file}: expected a result file, got: {reason(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: expected a result file of `lra-data score --out`, got: {reason(error)}") from error
