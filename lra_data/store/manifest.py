"""manifest.json: the description and the content of a finished set. It is written last, so a folder with it is whole.

`Description` holds the request, which is enough to make every row again; `Shard` describes one file with its digests.
During a build, `lra_data/building` stores both in SET/.build.

`row_access.py` reads rows, `lra_data/building/plan.py` decides shard bounds, `strict_json.py` decodes JSON.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from lra_data.errors import SetError
from lra_data.splits import SPLITS
from lra_data.store.strict_json import Count, PositiveCount, bytes_of, parse_record

MANIFEST = "manifest.json"
BUILD_FOLDER = ".build"
FORMAT_VERSION = 1

_NAME = rf"({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.[a-z]+"
SHARD_NAME = re.compile(_NAME)

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


class Shard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: rows start .. stop - 1 of `split`, its digests, and counts for the dataset card.

    bytes: size of the file.
    logical: digest of the decoded rows, the same in every format.
    batch_rows: rows per batch; the last batch may have fewer.
    batch_offsets: byte positions of the record batches of an Arrow stream; empty for other formats.
    label_counts: number of rows with each label.
    shortest, longest, elements: smallest, largest and total length of `inputs`.
    """

    file: Annotated[str, Meta(pattern=rf"\A{_NAME}\Z")]
    format: str
    split: str
    start: Count
    stop: Count
    bytes: Count
    sha256: str
    logical: str
    batch_rows: PositiveCount
    batch_offsets: tuple[Count, ...]
    label_counts: tuple[Count, ...]
    shortest: Count
    longest: Count
    elements: Count


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A finished set.

    duplicates: number of rows of each split that repeat an earlier row of the same split.
    overlaps: number of distinct examples that appear in two splits, by the pair of splits, such as
        `validation and test`; only corpora have overlaps.
    """

    description: Description
    duplicates: Mapping[str, int]
    overlaps: Mapping[str, int]
    shards: tuple[Shard, ...]

    def shards_of(self, split: str, format_name: str | None = None) -> list[Shard]:
        """The shards of one split in row order, in one format (by default the first format of the set)."""
        wanted = format_name or self.description.formats[0]
        return [shard for shard in self.shards if shard.split == split and shard.format == wanted]


class _Version(Struct):
    """The version of the file's format, which is read first."""

    format_version: Any = None


class _Entries(Description, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """manifest.json: the entries of the description, and the other entries of the manifest."""

    format_version: int
    duplicates: Mapping[str, Count]
    overlaps: Mapping[str, Count]
    shards: tuple[Shard, ...]


def manifest_text(manifest: Manifest) -> str:
    """The text of manifest.json: the same for equal manifests, one shard per line."""
    head = {
        "format_version": FORMAT_VERSION,
        **structs.asdict(manifest.description),
        "duplicates": dict(manifest.duplicates),
        "overlaps": dict(manifest.overlaps),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    shards = ",\n".join(f"  {json.dumps(structs.asdict(shard))}" for shard in manifest.shards)
    return "{\n" + ",\n".join(lines) + f',\n "shards": [\n{shards}\n ]\n}}\n'


def read_manifest(set_folder: Path) -> Manifest:
    """The manifest of a finished set; raises SetError if it is missing or damaged."""
    path = set_folder / MANIFEST
    if not path.exists():
        if (set_folder / BUILD_FOLDER).is_dir():
            raise SetError(f"{set_folder}: the build is not finished: run the same `lra-data build` again")
        raise SetError(f"{set_folder}: expected a built set, found no {MANIFEST}: name the folder ROOT/TASK/PRESET")
    return parse_manifest(bytes_of(path), str(path))


def parse_manifest(text: bytes, where: str) -> Manifest:
    """The manifest with this text; raises SetError, naming its origin `where`, for a damaged text."""
    version = parse_record(text, _Version, where, what=_WHAT, advice=_ADVICE).format_version
    if version != FORMAT_VERSION:
        raise SetError(f"{where}: expected format_version {FORMAT_VERSION}, got {version!r}")
    entries = parse_record(text, _Entries, where, what=_WHAT, advice=_ADVICE)
    manifest = Manifest(
        description=description_in(entries),
        duplicates=entries.duplicates,
        overlaps=entries.overlaps,
        shards=entries.shards,
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
            reached = 0
            for shard in manifest.shards_of(split, format_name):
                if shard.start != reached:
                    break
                reached = shard.stop
            if reached != size:
                raise SetError(
                    f"{where}: expected {format_name} shards of {split} for rows 0 to {size}, "
                    f"got rows 0 to {reached}: {_ADVICE}"
                )
