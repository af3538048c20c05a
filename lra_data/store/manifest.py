"""manifest.json: the description and the content of a finished set. It is written last, so a folder with it is whole.

`Description` holds the request, which is enough to make every row again; `Shard` describes one file with its digests.
During a build, `lra_data/building` stores both in SET/.build. From COLUMNS_FROM shards on, the shards are in a file of
columns next to manifest.json (`shard_table.py`), which names the file and its digest.

`row_access.py` reads rows, `lra_data/building/plan.py` decides shard bounds, `strict_json.py` decodes JSON.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct, structs

from lra_data.errors import SetError
from lra_data.shown import Shown
from lra_data.splits import SPLITS
from lra_data.store.shard_entry import SHARD_PATTERN, Shard
from lra_data.store.shard_table import SHARD_TABLE, ShardTable, numbers_of, open_table, table_bytes
from lra_data.store.strict_json import Count, PositiveCount, bytes_of, parse_record

MANIFEST = "manifest.json"
BUILD_FOLDER = ".build"

# The format version with the shards in manifest.json, and the one with a file of columns.
FORMAT_VERSION = 1
COLUMNS_VERSION = 2
COLUMNS_FROM = 10_000

SHARD_NAME = re.compile(SHARD_PATTERN)

_WHAT = "a manifest"
_ADVICE = "build the set again with --overwrite"


class Description(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The description of a set.

    task: the family's name.
    variant: the preset's name or custom-<hash>.
    version: the task's version.
    config: every parameter, and the facts about a corpus.
    seed: the seed of the examples.
    sizes: number of examples in each split.
    formats: the formats of the shards.
    libraries: the library versions on which the bytes of the formats depend.
    """

    task: str
    variant: str
    version: Count
    config: Mapping[str, Any]
    seed: Count
    sizes: Mapping[str, PositiveCount]
    formats: Annotated[tuple[str, ...], Meta(min_length=1)]
    libraries: Mapping[str, str]

    def __post_init__(self) -> None:
        if set(self.sizes) != set(SPLITS):
            raise ValueError(f"expected sizes of {', '.join(SPLITS)}, got sizes of {', '.join(self.sizes)}")


@dataclass(frozen=True, kw_only=True, repr=False)
class Manifest(Shown):
    """A finished set.

    duplicates: number of rows of each split that repeat an earlier row of the same split.
    overlaps: number of distinct examples that appear in two splits, by the pair of splits, such as
        `validation and test`; only corpora have overlaps.
    """

    description: Description
    duplicates: Mapping[str, int]
    overlaps: Mapping[str, int]
    shards: Sequence[Shard]

    def shown_facts(self) -> dict[str, Any]:
        """See Shown."""
        described = self.description
        return {
            "task": f"{described.task}/{described.variant}",
            "version": described.version,
            "seed": str(described.seed),
            **described.sizes,
            "shards": f"{len(self.shards):,} {' '.join(described.formats)}",
        }

    def shards_of(self, split: str, format_name: str | None = None) -> Sequence[Shard]:
        """The shards of one split in row order, in one format (by default the first format of the set)."""
        wanted = format_name or self.description.formats[0]
        if isinstance(self.shards, ShardTable):
            return self.shards.of(split, wanted)
        return [shard for shard in self.shards if shard.split == split and shard.format == wanted]


class _Version(Struct):
    """The version of the file's format, which is read first."""

    format_version: Any = None


class _Content(Description, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """manifest.json without its shards: the entries of the description, and the other entries of the manifest."""

    format_version: int
    duplicates: Mapping[str, Count]
    overlaps: Mapping[str, Count]


class _Entries(_Content, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """manifest.json with its shards."""

    shards: tuple[Shard, ...]


class ShardsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file of columns that holds the shards."""

    file: Literal["shards.arrow"]
    sha256: str
    bytes: Count


class _EntriesOfColumns(_Content, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """manifest.json, with its shards in another file."""

    shards: ShardsFile


def manifest_files(manifest: Manifest) -> dict[str, bytes]:
    """The files that hold the manifest, in the order in which they are written: the same for equal manifests."""
    head = {
        "format_version": FORMAT_VERSION,
        **structs.asdict(manifest.description),
        "duplicates": dict(manifest.duplicates),
        "overlaps": dict(manifest.overlaps),
    }
    files = {}
    if len(manifest.shards) >= COLUMNS_FROM:
        head["format_version"] = COLUMNS_VERSION
        data = files[SHARD_TABLE] = table_bytes(manifest.shards)
        entry = ShardsFile(file="shards.arrow", sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        shards = json.dumps(structs.asdict(entry))
    else:
        # One shard per line.
        shards = "[\n" + ",\n".join(f"  {json.dumps(structs.asdict(shard))}" for shard in manifest.shards) + "\n ]"
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    files[MANIFEST] = ("{\n" + ",\n".join(lines) + f',\n "shards": {shards}\n}}\n').encode()
    return files


def read_manifest(set_folder: Path) -> Manifest:
    """The manifest of a finished set; raises SetError if it is missing or damaged."""
    path = set_folder / MANIFEST
    if not path.exists():
        if (set_folder / BUILD_FOLDER).is_dir():
            raise SetError(f"{set_folder}: the build is not finished: run the same `lra-data build` again")
        raise SetError(f"{set_folder}: expected a built set, found no {MANIFEST}: name the folder ROOT/TASK/PRESET")
    return parse_manifest(
        bytes_of(path), str(path), lambda entry: open_table((set_folder / entry.file).absolute(), entry.sha256)
    )


def parse_manifest(text: bytes, where: str, open_shards: Callable[[ShardsFile], ShardTable]) -> Manifest:
    """The manifest with this text; raises SetError, naming its origin `where`, for a damaged text.

    open_shards: gives the shards that are in another file.
    """
    version = parse_record(text, _Version, where, what=_WHAT, advice=_ADVICE).format_version
    entries: _Entries | _EntriesOfColumns
    shards: Sequence[Shard]
    if version == FORMAT_VERSION:
        entries = parse_record(text, _Entries, where, what=_WHAT, advice=_ADVICE)
        shards = entries.shards
    elif version == COLUMNS_VERSION:
        entries = parse_record(text, _EntriesOfColumns, where, what=_WHAT, advice=_ADVICE)
        shards = open_shards(entries.shards)
    else:
        raise SetError(f"{where}: expected format_version {FORMAT_VERSION} or {COLUMNS_VERSION}, got {version!r}")
    manifest = Manifest(
        description=description_in(entries),
        duplicates=entries.duplicates,
        overlaps=entries.overlaps,
        shards=shards,
    )
    _check_cover(where, manifest)
    return manifest


def description_in(entries: Description) -> Description:
    """The description in a file with further entries."""
    return Description(**{name: getattr(entries, name) for name in Description.__struct_fields__})


def _check_cover(where: str, manifest: Manifest) -> None:
    """The shards of each split and format must follow one another from row 0 to the split's size."""
    for format_name in manifest.description.formats:
        for split, size in manifest.description.sizes.items():
            shards = manifest.shards_of(split, format_name)
            starts, stops = numbers_of(shards, "start"), numbers_of(shards, "stop")
            gaps = np.flatnonzero(starts != np.concatenate([[0], stops])[:-1])
            followed = stops[: gaps[0]] if len(gaps) else stops
            reached = int(followed[-1]) if len(followed) else 0
            if reached != size:
                raise SetError(
                    f"{where}: expected {format_name} shards of {split} for rows 0 to {size}, "
                    f"got rows 0 to {reached}: {_ADVICE}"
                )
