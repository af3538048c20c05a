"""The plan of a build: the description of the set and the row ranges of its shards.

A plan depends only on the request. It does not contain workers, engine or time, so the files do not depend on them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from lra_data.checks import plain_int
from lra_data.errors import SetError, UsageError
from lra_data.splits import SPLITS, split_name
from lra_data.store.formats.shard_format import get_format, library_versions
from lra_data.store.manifest import Description, Manifest, description_in
from lra_data.store.strict_json import Count, PositiveCount, read_record
from lra_data.task import Task, check_seed

PLAN = "plan.json"

# Largest nominal size of a shard without --num-shards, in bytes: efficient to read, and enough shards to distribute.
SHARD_BYTES = 32 * 2**20
MOST_SHARDS = 99_999


class RowRange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows start .. stop - 1 of a split, the `number`-th of its `count` ranges. Each format has one file per range."""

    split: str
    number: Count
    count: PositiveCount
    start: Count
    stop: Count

    def file_name(self, format_name: str) -> str:
        """`train-00003-of-00016.arrow`."""
        return f"{self.split}-{self.number:05d}-of-{self.count:05d}.{get_format(format_name).extension}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The set and its row ranges, in the order train, validation, test."""

    description: Description
    ranges: tuple[RowRange, ...]


class _Entries(Description, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """plan.json: the entries of the description, and the ranges as `shards`."""

    shards: tuple[RowRange, ...]


def make_plan(
    task: Task,
    *,
    formats: Sequence[str],
    num_shards: int | None,
    seed: int,
    sizes: Mapping[str, int] | None,
) -> Plan:
    """The plan of a request; raises UsageError for an invalid request."""
    if not isinstance(formats, Iterable):
        raise UsageError(f"expected formats such as ('arrow', 'parquet'), got {formats!r}")
    formats = tuple(dict.fromkeys([formats] if isinstance(formats, str) else formats))
    if not formats:
        raise UsageError("expected at least one format, got an empty list")
    seed = check_seed(seed)
    if sizes is not None and not isinstance(sizes, Mapping):
        raise UsageError(f"expected sizes such as {{'train': 1000}}, got {sizes!r}")
    full_sizes = task.split_sizes(seed) | {split_name(split): size for split, size in (sizes or {}).items()}
    empty = [split for split, size in task.split_sizes(seed).items() if size == 0]
    if empty:
        raise SetError(
            f"{task.name}: expected examples in every split, got none for {empty[0]}: take more of the corpus"
        )
    for split, size in full_sizes.items():
        number = plain_int(size)
        if number is None or number < 1:
            raise UsageError(f"expected at least 1 example in {split}, got {size!r}")
        full_sizes[split] = number
    counts = shard_counts(full_sizes, task.row_bytes, num_shards)
    task.check_buildable(full_sizes, seed=seed)
    description = Description(
        task=task.family,
        variant=task.variant,
        version=task.version,
        config=task.record(),
        seed=seed,
        sizes={split: full_sizes[split] for split in SPLITS},
        formats=formats,
        libraries=library_versions(formats, task.schema),
    )
    ranges = tuple(
        RowRange(
            split=split,
            number=number,
            count=counts[split],
            start=full_sizes[split] * number // counts[split],
            stop=full_sizes[split] * (number + 1) // counts[split],
        )
        for split in SPLITS
        for number in range(counts[split])
    )
    return Plan(description=description, ranges=ranges)


def shard_counts(sizes: Mapping[str, int], row_bytes: int, num_shards: int | None) -> dict[str, int]:
    """Number of shards by split: from size and row width, or `num_shards` for train and the others in proportion."""
    if num_shards is None:
        # A larger number would not fit the five digits of the names, so shards become larger instead.
        return {split: min(MOST_SHARDS, -(-size * row_bytes // SHARD_BYTES)) for split, size in sizes.items()}
    number = plain_int(num_shards)
    if number is None or not 1 <= number <= min(sizes["train"], MOST_SHARDS):
        raise UsageError(
            f"expected a number of shards from 1 to {min(sizes['train'], MOST_SHARDS)} for {sizes['train']} training "
            f"examples, got {num_shards!r}"
        )
    return {
        split: number if split == "train" else min(size, max(1, round(number * size / sizes["train"])))
        for split, size in sizes.items()
    }


def plan_text(plan: Plan) -> str:
    """plan.json."""
    return (
        json.dumps(
            {**structs.asdict(plan.description), "shards": [structs.asdict(rows) for rows in plan.ranges]}, indent=1
        )
        + "\n"
    )


def check_same(set_folder: Path, what: str, there: Plan, asked: Plan) -> None:
    """Raise SetError, naming the first difference, if the plan in a folder differs from the requested plan."""
    old, new = (json.loads(plan_text(plan)) for plan in (there, asked))
    for plan in (old, new):
        # The same corpus, or release, may have been given in another form.
        for given in ("corpus", "release"):
            plan["config"].get(given, {}).pop("source", None)
    for name, value in new.items():
        if old[name] != value:
            shown = "row ranges" if name == "shards" else _difference(name, old[name], value)
            raise SetError(
                f"{set_folder} holds {what} with {'other ' if name == 'shards' else ''}{shown}: "
                "request the same set, choose another --out, or add --overwrite to start again"
            )


def _difference(name: str, old: Any, new: Any) -> str:
    """The first entry that differs between two values, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for entry in {**old, **new}:
            if old.get(entry) != new.get(entry):
                return _difference(f"{name}: {entry}", old.get(entry), new.get(entry))
    return f"{name} {json.dumps(old)}, asked for {json.dumps(new)}"


def read_plan(path: Path) -> Plan:
    """The plan of an unfinished build; raises SetError for a damaged file."""
    entries = read_record(path, _Entries, what="a plan", advice="add --overwrite")
    return Plan(description=description_in(entries), ranges=entries.shards)


def plan_of(manifest: Manifest) -> Plan:
    """The plan that a finished set fulfilled."""
    first = manifest.description.formats[0]
    ranges = []
    for split in manifest.description.sizes:
        shards = manifest.shards_of(split, first)
        ranges += [
            RowRange(split=split, number=number, count=len(shards), start=shard.start, stop=shard.stop)
            for number, shard in enumerate(shards)
        ]
    return Plan(description=manifest.description, ranges=tuple(ranges))
