"""manifest.json: what a finished set is and holds. It is written last, so a folder that has one is whole.

`Description` says what was asked for, enough to make every row again; `Shard` is one file with its digests. The
building room keeps the same two in SET/.build while it works.

Not here: reading rows (`row_access.py`), deciding shard bounds (`lra_data/building/plan.py`), decoding JSON
(`strict_json.py`).
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
    """What a set is.

    task: the family's name.
    variant: the preset's name or custom-<hash>.
    version: of the task.
    config: every parameter, and what is known of a corpus.
    sizes: examples in each split.
    formats: of the shards.
    libraries: versions on which the bytes of the formats depend.
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
            raise ValueError(f"expected sizes of {', '.join(SPLITS)}, got those of {', '.join(self.sizes)}")


class Shard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: rows start .. stop - 1 of `split`, its digests, and counts for the dataset card.

    bytes: size of the file.
    logical: digest over the decoded rows, the same in every format.
    batch_rows: rows of a batch; the last one may have fewer.
    batch_offsets: byte positions of the record batches of an Arrow stream, empty for other formats.
    label_counts: rows with each label.
    shortest, longest, elements: of `inputs`.
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

    duplicates: rows of each split that repeat an earlier row of the same split.
    overlaps: distinct examples that appear in two splits, by those, such as `validation and test`; only corpora have
    any.
    """

    description: Description
    duplicates: Mapping[str, int]
    overlaps: Mapping[str, int]
    shards: tuple[Shard, ...]

    def shards_of(self, split: str, format_name: str | None = None) -> list[Shard]:
        """The shards of one split in row order, in one format (the first of the set if none is named)."""
        wanted = format_name or self.description.formats[0]
        return [shard for shard in self.shards if shard.split == split and shard.format == wanted]


class _Version(Struct):
    """The entry that says how to read the others."""

    format_version: Any = None


class _Entries(Description, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """manifest.json: the entries of the description, and the others."""

    format_version: int
    duplicates: Mapping[str, Count]
    overlaps: Mapping[str, Count]
    shards: tuple[Shard, ...]


def manifest_text(manifest: Manifest) -> str:
    """manifest.json: the same text for equal manifests, one shard a line."""
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
    """The manifest of a finished set; raises SetError for a folder that has none or a damaged one."""
    path = set_folder / MANIFEST
    if not path.exists():
        if (set_folder / BUILD_FOLDER).is_dir():
            raise SetError(f"{set_folder}: the build is not finished: run the same `lra-data build` again")
        raise SetError(f"{set_folder}: expected a built set, found no {MANIFEST}: name the folder ROOT/TASK/PRESET")
    return parse_manifest(bytes_of(path), str(path))


def parse_manifest(text: bytes, where: str) -> Manifest:
    """The manifest with this text; raises SetError, which names `where` it came from, for a damaged one."""
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
    """The description in a file that has further entries."""
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
                    f"got them to {reached}: {_ADVICE}"
                )
