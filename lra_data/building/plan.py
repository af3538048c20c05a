"""The plan of a build: the description of the set and the row ranges of its shards.

A plan depends only on the request. It does not contain workers, engine or time, so the files do not depend on them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

from msgspec import Struct, structs

from lra_data.checks import plain_int
from lra_data.errors import SetError, UsageError
from lra_data.splits import SPLITS, split_name
from lra_data.store.formats.shard_format import get_format, library_versions
from lra_data.store.manifest import BUILD_FOLDER, Description, Manifest, description_in
from lra_data.store.strict_json import Count, PositiveCount, parse_record
from lra_data.task import Task, check_seed
from lra_data.version import VERSION

PLAN_FILE = f"{BUILD_FOLDER}/plan.json"

# Largest nominal size of a shard without --num-shards, in bytes: efficient to read, and enough shards to distribute.
SHARD_BYTES = 32 * 2**20
# Most files of a format, unless a number of shards is asked for: many file systems and the Hugging Face Hub slow down
# with more in a folder. Shards become larger instead.
MOST_FILES = 10_000
# The names have five digits.
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
    """The set, and how many row ranges each split is cut into.

    package: the version of lra-data, since another version may write other bytes.
    """

    description: Description
    counts: Mapping[str, int]
    package: str = VERSION

    @cached_property
    def ranges(self) -> tuple[RowRange, ...]:
        """All row ranges, in the order train, validation, test."""
        sizes = self.description.sizes
        return tuple(
            RowRange(
                split=split,
                number=number,
                count=count,
                start=sizes[split] * number // count,
                stop=sizes[split] * (number + 1) // count,
            )
            for split, count in self.counts.items()
            for number in range(count)
        )


class _Entries(Description, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """plan.json: the entries of the description, the number of ranges by split as `shards`, and the package."""

    shards: Mapping[str, PositiveCount]
    lra_data: str


class SetOptions(TypedDict, total=False):
    """What decides the files of a set, together with its task; see `build`."""

    formats: Sequence[str]
    num_shards: int | None
    seed: int
    sizes: Mapping[str, int] | None


def make_plan(
    task: Task,
    *,
    formats: Sequence[str] = ("arrow",),
    num_shards: int | None = None,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
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
    return Plan(description=description, counts={split: counts[split] for split in SPLITS})


def shard_counts(sizes: Mapping[str, int], row_bytes: int, num_shards: int | None) -> dict[str, int]:
    """Number of shards by split: from size and row width, or `num_shards` for train and the others in proportion."""
    if num_shards is None:
        counts = {split: -(-size * row_bytes // SHARD_BYTES) for split, size in sizes.items()}
        if sum(counts.values()) <= MOST_FILES:
            return counts
        # Rounding up adds less than one shard to each split.
        shard_bytes = -(-sum(sizes.values()) * row_bytes // (MOST_FILES - len(sizes)))
        return {split: -(-size * row_bytes // shard_bytes) for split, size in sizes.items()}
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
    entries = {**structs.asdict(plan.description), "shards": dict(plan.counts), "lra_data": plan.package}
    return json.dumps(entries, indent=1) + "\n"


def check_same(where: Path | str, what: str, there: Plan, asked: Plan) -> None:
    """Raise SetError, naming the first difference, if the plan in a folder differs from the requested plan."""
    old, new = (json.loads(plan_text(plan)) for plan in (there, asked))
    for plan in (old, new):
        # The same corpus, or release, may have been given in another form.
        for given in ("corpus", "release"):
            plan["config"].get(given, {}).pop("source", None)
    for name, value in new.items():
        if old[name] != value:
            shown = "other row ranges" if name == "shards" else _difference(name, old[name], value)
            raise SetError(
                f"{where} holds {what} with {shown}: "
                "request the same set, choose another --out, or add --overwrite to start again"
            )


def _difference(name: str, old: Any, new: Any) -> str:
    """The first entry that differs between two values, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for entry in {**old, **new}:
            if old.get(entry) != new.get(entry):
                return _difference(f"{name}: {entry}", old.get(entry), new.get(entry))
    return f"{name} {json.dumps(old)}, asked for {json.dumps(new)}"


def parse_plan(text: bytes, where: str) -> Plan:
    """The plan of an unfinished build; raises SetError, naming its origin `where`, for a damaged text."""
    entries = parse_record(text, _Entries, where, what="a plan", advice="add --overwrite")
    if set(entries.shards) != set(SPLITS):
        raise SetError(
            f"{where}: expected shards of {', '.join(SPLITS)}, got {', '.join(entries.shards)}: add --overwrite"
        )
    return Plan(description=description_in(entries), counts=entries.shards, package=entries.lra_data)


def plan_of(manifest: Manifest) -> Plan:
    """The plan that a finished set fulfilled."""
    first = manifest.description.formats[0]
    counts = {split: len(manifest.shards_of(split, first)) for split in manifest.description.sizes}
    return Plan(description=manifest.description, counts=counts)
