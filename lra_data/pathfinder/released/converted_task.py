"""Pathfinder as released: the pictures of a user's copy of the original, in LRA's splits and order.

Labels come from the release's metadata. The metadata of a released picture do not contain its contours, so rows have no
geometry; `lra-data audit` measures how far the pictures confirm their labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from lra_data.arrow_columns import class_label, column, fixed_list_column, make_schema, numbers, picture, rows_of
from lra_data.corpus import Corpus, Transfer
from lra_data.errors import SetError, UsageError, unknown_name
from lra_data.pathfinder.config import DIFFICULTIES, standard_config
from lra_data.pathfinder.generated_task import Pathfinder
from lra_data.pathfinder.released.layout import RELEASED, find_release, in_splits
from lra_data.pathfinder.released.layout_metadata import ReleasedPicture, load_metadata, metadata_digest
from lra_data.pathfinder.released.left_out import (
    absent,
    at_fault,
    common_difficulty,
    copy_counts,
    left_out_text,
    read_picture,
)
from lra_data.task import Task, check_request
from lra_data.task_parts import Statistics, TaskCard, Viewer

# The columns that the generated task's sheet does not describe.
_COLUMNS = {
    "batch": "folder of the picture in the release, imgs/<batch>",
    "sample": "number of the picture in its folder, sample_<sample>.png",
    "line": "line of the picture in its folder's metadata, from 1",
    "margin": "margin of the picture's paddles, as its metadata says",
}


class ReleasedPathfinder(Pathfinder):
    """One difficulty of one resolution of the release.

    facts: resolution, difficulty, pictures (lines of metadata), metadata (SHA-256 of all lines), left_out (files with
    faults), partial (whether pictures are fewer than, or differ from, the whole release's), sizes by split. If there
    are any: lost_lines (unreadable lines of metadata), and source (counts that describe the copy but do not identify
    it).
    """

    derives_labels: ClassVar[bool] = False
    converted: ClassVar[bool] = True

    def __init__(self, facts: Mapping[str, Any], *, corpus: Corpus | None = None) -> None:
        super().__init__(standard_config(facts["resolution"], facts["difficulty"]), corpus=corpus)
        self.facts = facts
        self.preset = None

    @cached_property
    def card(self) -> TaskCard:
        """See Task."""
        columns = {
            name: text for name, text in self.family_card.columns.items() if name in ("inputs", "label", "index")
        }
        return replace(
            self.family_card,
            source=_source(self.facts),
            columns=columns | _COLUMNS,
            notices=tuple(left_out_text(self.facts)),
        )

    @property
    def viewer(self) -> Viewer:
        """See Task."""
        from lra_data.pathfinder.released.viewer import ReleasedViewer

        return ReleasedViewer(self.config, self.name, self.family_card.label_names)

    @property
    def statistics(self) -> Statistics:
        """See Task."""
        from lra_data.pathfinder.measures import PictureStatistics

        return PictureStatistics()

    @property
    def variant(self) -> str:
        """`release-128-hard`."""
        return f"release-{self.facts['resolution']}-{self.facts['difficulty']}"

    @property
    def sizes(self) -> dict[str, int]:
        """Number of pictures by split, without pictures left out."""
        return dict(self.facts["sizes"])

    def keyed_config(self) -> dict[str, Any]:
        """The source of the rows."""
        return {"release": {name: value for name, value in self.facts.items() if name != "source"}}

    def identity(self) -> dict[str, Any]:
        """The record without the counts that describe the copy."""
        return self.keyed_config()

    def record(self) -> dict[str, Any]:
        """See Task."""
        return {"release": dict(self.facts)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], *, corpus: Corpus | None = None) -> Task:
        """See Task. Without a copy of the release the task can check and describe rows, but not make them."""
        facts = record["release"]
        known = isinstance(facts, dict) and _FACTS <= set(facts) <= _FACTS | _FURTHER_FACTS
        if not known or facts["difficulty"] not in DIFFICULTIES:
            raise UsageError(f"expected a record of a release with {', '.join(sorted(_FACTS))}, got {facts!r}")
        return cls(facts) if corpus is None else cls(facts).over(corpus)

    def over(self, corpus: Corpus, *, fetch: Transfer | None = None) -> Task:
        """The same set from another copy of the release."""
        if corpus.path is None or corpus.pairs is not None:
            raise UsageError(f"expected a copy of the release for {self.name}, got {corpus}: name its folder")
        found = find_release(corpus.path, self.facts["resolution"], self.facts["difficulty"])
        return ReleasedPathfinder(self.facts, corpus=replace(corpus, path=found))

    def check_corpus(self) -> None:
        """See Task."""
        self._splits  # noqa: B018 - read and compared with the record

    @cached_property
    def schema(self) -> pa.Schema:
        """inputs fixed_size_list<uint8>, label and index int64, batch, sample and line int32, margin int8."""
        side = self.config.resolution
        return make_schema(
            [
                picture("inputs", side, side),
                class_label("label", self.family_card.label_names),
                pa.field("index", pa.int64()),
                pa.field("batch", pa.int32()),
                pa.field("sample", pa.int32()),
                pa.field("line", pa.int32()),
                pa.field("margin", pa.int8()),
            ]
        )

    def check_buildable(self, sizes: Mapping[str, int], *, seed: int = 0) -> None:
        """Reject sizes that differ from the copy's."""
        if dict(sizes) != self.sizes:
            raise UsageError(f"expected the sizes of the release, {self.sizes}, got {dict(sizes)}")

    def take(self, split: str, indices: Sequence[int], *, seed: int = 0) -> pa.RecordBatch:
        """Rows of any indices of the split, in their order; raises SetError for a picture that cannot be read."""
        split = check_request(split, indices, seed)
        if self.corpus is None:
            raise SetError(
                f"{self.name}: expected the copy of the release of the build, got none: name it with --corpus"
            )
        rows = self._splits[split]
        chosen = [rows[index] for index in indices]
        side = self.config.resolution
        inputs = np.zeros((len(chosen), side * side), dtype=np.uint8)
        for row, entry in enumerate(chosen):
            inputs[row] = read_picture(self.corpus.known_path / entry.file, side).ravel()
        columns = {
            "inputs": fixed_list_column(inputs),
            "label": column(np.array([entry.label for entry in chosen], dtype=np.int64)),
            "index": column(np.fromiter(indices, dtype=np.int64, count=len(chosen))),
            "batch": column(np.array([entry.batch for entry in chosen], dtype=np.int32)),
            "sample": column(np.array([entry.sample for entry in chosen], dtype=np.int32)),
            "line": column(np.array([entry.line for entry in chosen], dtype=np.int32)),
            "margin": column(np.array([entry.margin for entry in chosen], dtype=np.int8)),
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in self.schema.names], schema=self.schema)

    @cached_property
    def _splits(self) -> dict[str, list[ReleasedPicture]]:
        """The metadata's pictures by split, without pictures left out; raises SetError for a copy unlike the record."""
        if self.corpus is None:
            raise AssertionError("take asks for the corpus first")
        folder = self.corpus.known_path
        pictures = load_metadata(folder).pictures
        found = metadata_digest(pictures)
        if found != self.facts["metadata"]:
            raise SetError(
                f"{folder}: expected metadata with digest {self.facts['metadata']}, got {found}: name the "
                "copy that the set was converted from"
            )
        splits = in_splits(pictures, self.facts["difficulty"], self.facts.get("lost_lines", 0))
        return _without(splits, set(self.facts["left_out"]))

    def problems(self, batch: pa.RecordBatch, *, split: str, seed: int) -> list[tuple[int, str]]:
        """Pictures of one grey value. Labels cannot be derived: see the module's docstring."""
        pictures = rows_of(batch["inputs"])
        blank = pictures.max(axis=1) == pictures.min(axis=1)
        return [(int(index), "expected a picture, got one grey value") for index in numbers(batch["index"])[blank]]


_FACTS = {"resolution", "difficulty", "pictures", "metadata", "left_out", "partial", "sizes"}
_FURTHER_FACTS = {"lost_lines", "source"}


def open_release(
    corpus: Corpus, *, res: int | None = None, difficulty: str | None = None, clean: bool | None = None
) -> ReleasedPathfinder:
    """The task that converts a copy of the release. res, difficulty: the choice, if the copy holds several.

    A copy with faults, or with fewer than 200,000 pictures, is rejected unless `allow_partial` is set. Then every
    picture that `audit` names is left out, except pictures that repeat another's pixels; record and card say so.
    """
    if difficulty is not None and difficulty not in DIFFICULTIES:
        raise unknown_name("pathfinder difficulty", difficulty, DIFFICULTIES)
    if clean:
        raise UsageError("expected no --clean with --from-release, which takes the copy as it is: leave it out")
    source, allow_partial = find_release(corpus.known_path, res, difficulty), corpus.allow_partial
    metadata = load_metadata(source)
    pictures, faults = metadata.pictures, metadata.faults
    if faults and not allow_partial:
        raise SetError(
            f"{source}: {faults[0]} ({len(faults)} such faults): `lra-data audit {source}` lists them; --allow-partial "
            "leaves those pictures out and marks the set"
        )
    if not pictures:
        raise SetError(f"{source}: expected metadata of pictures, found none" + (f": {faults[0]}" if faults else ""))
    difficulty = common_difficulty(source, pictures, difficulty, allow_partial=allow_partial)
    if allow_partial:
        left_out, resolution = at_fault(source, pictures, DIFFICULTIES[difficulty])
    else:
        left_out, resolution = absent(source, pictures)
    if res not in (None, resolution):
        raise SetError(f"{source}: expected pictures of {res} pixels, got {resolution}")
    partial = bool(left_out) or len(pictures) != RELEASED
    if partial and not allow_partial:
        what = f"{len(left_out)} missing or empty, such as {min(left_out)}" if left_out else "none of them damaged"
        raise SetError(
            f"{source}: expected the {RELEASED:,} pictures of the release, got {len(pictures):,}, {what}: "
            "`lra-data audit` lists every fault; --allow-partial converts the rest and marks the set"
        )
    splits = _without(in_splits(pictures, difficulty, metadata.lost_lines), set(left_out))
    empty = [split for split, rows in splits.items() if not rows]
    if empty:
        raise SetError(f"{source}: expected pictures in every split, got none in {empty[0]} of {len(pictures)} in all")
    counted = copy_counts(source, metadata, left_out)
    return ReleasedPathfinder(
        {
            "resolution": resolution,
            "difficulty": difficulty,
            "pictures": len(pictures),
            "metadata": metadata_digest(pictures),
            "left_out": sorted(left_out),
            "partial": partial,
            "sizes": {split: len(rows) for split, rows in splits.items()},
            **({"lost_lines": metadata.lost_lines} if metadata.lost_lines else {}),
            **({"source": counted} if counted else {}),
        },
        corpus=replace(corpus, path=source),
    )


def _without(splits: Mapping[str, list[ReleasedPicture]], left_out: set[str]) -> dict[str, list[ReleasedPicture]]:
    """The splits without some files: the others keep split and order."""
    return {split: [entry for entry in rows if entry.file not in left_out] for split, rows in splits.items()}


def _source(facts: Mapping[str, Any]) -> str:
    text = (
        "Converted by lra-data from a copy of the original release (storage.googleapis.com/long-range-arena, "
        f"lra_release.gz): {facts['pictures']:,} pictures in the order and splits of LRA's TensorFlow Datasets "
        "builder. Labels are the release's."
    )
    if facts["partial"]:
        text += f" **This is not the whole release of {RELEASED:,} pictures.**"
    return " ".join([text, *left_out_text(facts)])
