"""manifest.json: what a finished set is and holds. It is written last, so a folder that has one is whole.

`Description` says what was asked for, enough to make every row again; `Shard` is one file with its digests. The
building room keeps the same two in SET/.build while it works.

Not here: reading rows (`row_access.py`), deciding shard bounds (`lra_data/building/plan.py`).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from lra_data.errors import SetError
from lra_data.splits import SPLITS

MANIFEST = "manifest.json"
BUILD_FOLDER = ".build"
FORMAT_VERSION = 1

Decoded = TypeVar("Decoded")

SHARD_NAME = re.compile(rf"({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.[a-z]+")


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a set is: task, version, configuration, seed, sizes, and the form its shards take.

    variant: the preset's name or custom-<hash>. libraries: versions on which the bytes of the formats depend.
    """

    task: str
    variant: str
    version: int
    config: Mapping[str, Any]
    seed: int
    sizes: Mapping[str, int]
    formats: tuple[str, ...]
    libraries: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file: rows start .. stop - 1 of `split`, its digests, and counts for the dataset card.

    logical: digest over the decoded rows, the same in every format. batch_rows: rows a batch, the last one may have
    fewer. batch_offsets: byte positions of the record batches of an Arrow stream, empty for other formats.
    label_counts: rows a label. shortest, longest, elements: of `inputs`.
    """

    file: str
    format: str
    split: str
    start: int
    stop: int
    bytes: int
    sha256: str
    logical: str
    batch_rows: int
    batch_offsets: tuple[int, ...]
    label_counts: tuple[int, ...]
    shortest: int
    longest: int
    elements: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A finished set. duplicates: rows of each split that repeat an earlier row of the same split. overlaps: distinct
    examples that stand in two splits, by those, such as `validation and test`; only corpora have any.
    """

    description: Description
    duplicates: Mapping[str, int]
    overlaps: Mapping[str, int]
    shards: tuple[Shard, ...]

    def shards_of(self, split: str, format_name: str | None = None) -> list[Shard]:
        """The shards of one split in row order, in one format (the first of the set if none is named)."""
        wanted = format_name or self.description.formats[0]
        return [shard for shard in self.shards if shard.split == split and shard.format == wanted]


def manifest_text(manifest: Manifest) -> str:
    """manifest.json: the same text for equal manifests, one shard a line."""
    head = {
        "format_version": FORMAT_VERSION,
        **asdict(manifest.description),
        "duplicates": dict(manifest.duplicates),
        "overlaps": dict(manifest.overlaps),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    shards = ",\n".join(f"  {json.dumps(asdict(shard))}" for shard in manifest.shards)
    return "{\n" + ",\n".join(lines) + f',\n "shards": [\n{shards}\n ]\n}}\n'


def read_manifest(set_folder: Path) -> Manifest:
    """The manifest of a finished set; raises SetError for a folder that has none or a damaged one."""
    path = set_folder / MANIFEST
    if not path.exists():
        if (set_folder / BUILD_FOLDER).is_dir():
            raise SetError(f"{set_folder}: the build is not finished: run the same `lra-data build` again")
        raise SetError(f"{set_folder}: expected a built set, found no {MANIFEST}: name the folder ROOT/TASK/PRESET")
    return parse_manifest(_bytes_of(path), str(path))


def parse_manifest(text: bytes, where: str) -> Manifest:
    """The manifest with this text; raises SetError, which names `where` it came from, for a damaged one."""
    data = _json_object(text, where)
    if data.get("format_version") != FORMAT_VERSION:
        raise SetError(f"{where}: expected format_version {FORMAT_VERSION}, got {data.get('format_version')!r}")
    try:
        manifest = Manifest(
            description=description_from(data),
            duplicates=_counts("duplicates", data["duplicates"]),
            overlaps=_counts("overlaps", data["overlaps"]),
            shards=tuple(shard_from(shard) for shard in data["shards"]),
        )
    except (KeyError, TypeError) as error:
        raise SetError(
            f"{where}: expected a manifest, got one with a wrong or missing entry ({error}): {_AGAIN}"
        ) from error
    _check_cover(where, manifest)
    return manifest


def description_from(data: Mapping[str, Any]) -> Description:
    """The description among the entries of a plan or manifest; raises TypeError for a wrong or missing one."""
    description = decode(Description, {field.name: data.get(field.name) for field in fields(Description)})
    if set(description.sizes) != set(SPLITS) or not all(description.sizes.values()) or not description.formats:
        raise TypeError(f"sizes {description.sizes!r} and formats {description.formats!r} are not those of a set")
    return description


def shard_from(data: Any) -> Shard:
    """A shard from its JSON object; raises TypeError for a wrong one."""
    shard = decode(Shard, data)
    if not SHARD_NAME.fullmatch(shard.file) or shard.batch_rows < 1:
        raise TypeError(f"{shard.file!r} with batches of {shard.batch_rows} rows is no shard")
    return shard


def decode(kind: type[Decoded], data: Any) -> Decoded:
    """An instance of a dataclass from its JSON object, every entry of the type the class says; raises TypeError."""
    if not isinstance(data, dict):
        raise TypeError(f"{data!r} is no object")
    for field in fields(kind):  # type: ignore[arg-type]
        if not _fits(data.get(field.name), field.type):
            raise TypeError(f"{field.name} is {data.get(field.name)!r}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})


def _counts(name: str, value: Any) -> dict[str, int]:
    if not _fits(value, Mapping[str, int]):
        raise TypeError(f"{name} is {value!r}")
    return dict(value)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a JSON value has a type of the dataclasses here; whole numbers are counts and never negative."""
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if get_origin(kind) is Mapping:
        return isinstance(value, dict) and all(_fits(item, get_args(kind)[1]) for item in value.values())
    return kind is Any or isinstance(value, kind)


def load_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises SetError where there is none."""
    return _json_object(_bytes_of(path), str(path))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetError(f"{path}: expected a readable file, got: {error.strerror}") from error


def _json_object(text: bytes, where: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SetError(f"{where}: expected JSON, got damaged text ({error}): {_AGAIN}") from error
    if not isinstance(data, dict):
        raise SetError(f"{where}: expected a JSON object, got {type(data).__name__}: {_AGAIN}")
    return data


_AGAIN = "build the set again with --overwrite"


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
                    f"got them to {reached}: {_AGAIN}"
                )
