"""README.md of a set: the dataset card. Its YAML header tells Hugging Face `datasets` where the splits are.

The card depends only on the manifest and the first rows, so it is the same wherever the set is built.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lra_data.store.formats.shard_format import get_format
from lra_data.store.manifest import MANIFEST, Description, Manifest
from lra_data.store.shard_entry import Shard
from lra_data.task import Task

CARD = "README.md"

_PREVIEW_CHARACTERS = 400

_GENERATED = "`lra-data verify .` checks them and solves every row; `lra-data repair .` makes damaged shards again."
_CONVERTED = (
    "`lra-data verify .` checks them; with `--corpus`, a copy of the corpus, it compares every row with it, and "
    "`lra-data repair . --corpus …` makes damaged shards again."
)

# Upper bounds of the Hub's size categories.
_SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def unfinished_card_text() -> str:
    """The card of an unfinished set: it names a file that does not exist, so that no reader loads a part."""
    missing = "this-set-is-unfinished--run-the-same-lra-data-build-again"
    header = {"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": missing}]}]}
    return f"{_front_matter(header)}\nThis set is unfinished. Run the same `lra-data build` again.\n"


def card_text(task: Task, manifest: Manifest, first_rows: Sequence[Mapping[str, Any]], preview: str | None) -> str:
    """The card of a finished set; it shows `first_rows` of train and, if given, the picture file `preview`."""
    description = manifest.description
    return "\n".join(
        [
            _front_matter(_header(task, manifest)),
            f"# {task.card.title}: {description.task}/{description.variant}",
            "",
            task.card.description,
            "",
            f"**Label.** {task.card.label_meaning}",
            "",
            *([task.card.remark, ""] if task.card.remark else []),
            "## Columns",
            "",
            *_table(
                ("column", "type", "meaning"), [(c.name, str(c.type), task.card.columns[c.name]) for c in task.schema]
            ),
            "",
            "## Preview",
            "",
            *([f"![The first examples of train]({preview})", ""] if preview is not None else []),
            *(line for row in first_rows for line in ("```text", _shortened(task.viewer.show(row)), "```", "")),
            "## Loading",
            "",
            *_loading_lines(description, {split: manifest.shards_of(split) for split in description.sizes}),
            "",
            "## Splits",
            "",
            *_table(
                ("split", "examples", "shortest", "longest", "mean length", "repeated rows"), _split_rows(manifest)
            ),
            "",
            _overlap_line(manifest),
            "",
            "## Labels",
            "",
            *_table(("split", *task.card.label_names), _label_rows(manifest)),
            "",
            "## How it was made",
            "",
            task.card.source,
            "",
            f"Task version {description.version}, seed {description.seed}, configuration:",
            "",
            *(line for name, value in sorted(description.config.items()) for line in _config_lines(name, value)),
            "",
            f"`{MANIFEST}` holds the digests of every shard. {_CONVERTED if task.converted else _GENERATED}",
            "",
            "## Citation",
            "",
            task.card.citation,
            "",
        ]
    )


def _header(task: Task, manifest: Manifest) -> dict[str, Any]:
    """One configuration, for the set's first format, since `datasets` uses one kind of reader per folder."""
    description = manifest.description
    splits = {split: manifest.shards_of(split) for split in description.sizes}
    features = get_format(description.formats[0]).features(task.schema)
    size = sum(_bytes(shards) for shards in splits.values())
    total = sum(description.sizes.values())
    return {
        "pretty_name": f"{task.card.title} ({description.variant}), Long Range Arena",
        "license": task.card.license,
        **({"license_link": task.card.license_page} if task.card.license_page else {}),
        "size_categories": [next((name for bound, name in _SIZE_CATEGORIES if total < bound), "1M<n<10M")],
        "tags": ["long-range-arena", description.task, "lra-data"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": _glob(description.formats[0], split, len(shards))}
                    for split, shards in splits.items()
                ],
            }
        ],
        "dataset_info": {
            "features": [{"name": name, **_yaml_feature(feature)} for name, feature in features.items()],
            "splits": [
                {"name": split, "num_bytes": _bytes(shards), "num_examples": description.sizes[split]}
                for split, shards in splits.items()
            ],
            "download_size": size,
            "dataset_size": size,
        },
    }


def _yaml_feature(feature: dict[str, Any]) -> dict[str, Any]:
    """A feature in the form of the Hub's YAML, which differs from the form in the Arrow metadata."""
    if "_type" not in feature:
        return {"struct": [{"name": name, **_yaml_feature(inner)} for name, inner in feature.items()]}
    if feature["_type"] == "ClassLabel":
        return {"dtype": {"class_label": {"names": {str(n): label for n, label in enumerate(feature["names"])}}}}
    if feature["_type"] == "List":
        length = {"length": feature["length"]} if "length" in feature else {}
        return {"list": feature["feature"]["dtype"], **length}
    if feature["_type"] == "Image":
        return {"dtype": "image"}
    return {"dtype": feature["dtype"]}


def _loading_lines(description: Description, splits: Mapping[str, Sequence[Shard]]) -> list[str]:
    """How to load each format with Hugging Face `datasets`."""
    first, *others = description.formats
    lines = [
        "```python",
        "from datasets import load_dataset",
        "",
        'folder = "."  # this one, as an absolute path',
        f"load_dataset(folder)  # the {first} files",
    ]
    for name in others:
        files = ", ".join(f'"{split}": "{_glob(name, split, len(shards))}"' for split, shards in splits.items())
        builder = get_format(name).datasets_builder
        lines.append(f'load_dataset("{builder}", data_dir=folder, data_files={{{files}}})')
    return [*lines, "```"]


def _glob(format_name: str, split: str, num_shards: int) -> str:
    return f"{split}-*-of-{num_shards:05d}.{get_format(format_name).extension}"


def _split_rows(manifest: Manifest) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for split, size in manifest.description.sizes.items():
        shards = manifest.shards_of(split)
        mean = sum(shard.elements for shard in shards) / size
        shortest, longest = min(shard.shortest for shard in shards), max(shard.longest for shard in shards)
        rows.append(
            (split, f"{size:,}", f"{shortest:,}", f"{longest:,}", f"{mean:,.1f}", str(manifest.duplicates[split]))
        )
    return rows


def _overlap_line(manifest: Manifest) -> str:
    if not manifest.overlaps:
        return "No example stands in two splits: the build compared the digests of all rows."
    counts = ", ".join(f"{count:,} in {splits}" for splits, count in manifest.overlaps.items())
    return f"**Examples that stand in two splits, as the build found by the digests of all rows: {counts}.**"


def _label_rows(manifest: Manifest) -> list[tuple[str, ...]]:
    rows = []
    for split, size in manifest.description.sizes.items():
        counts = [sum(column) for column in zip(*(s.label_counts for s in manifest.shards_of(split)), strict=True)]
        rows.append((split, *(f"{count / size:.2%}" for count in counts)))
    return rows


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _shortened(text: str) -> str:
    return text if len(text) <= _PREVIEW_CHARACTERS else f"{text[:_PREVIEW_CHARACTERS]} …"


def _config_lines(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"- {name}:", *(f"  {line}" for key, item in value.items() for line in _config_lines(key, item))]
    return [f"- {name}: {_shown(value)}"]


def _shown(value: Any) -> str:
    shown = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
    return shown or "nothing"


def _bytes(shards: Sequence[Shard]) -> int:
    return sum(shard.bytes for shard in shards)


def _front_matter(header: dict[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---\n"
