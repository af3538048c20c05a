"""The generated Pathfinder task: Arrow rows from the kernel, and the other members of a task."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import (
    class_label,
    column,
    fixed_list_column,
    list_column,
    make_schema,
    numbers,
    picture,
)
from lra_data.corpus import Corpus
from lra_data.errors import SetError, UsageError
from lra_data.pathfinder.checks.tracer_agreement import AGREEMENT
from lra_data.pathfinder.config import PRESETS, Config
from lra_data.pathfinder.generator.drawing_tables import drawing_tables, tables_digest
from lra_data.task import Preset, Task, check_request
from lra_data.task_parts import Statistics, TaskCard, Viewer

GEOMETRY = ("margin", "attempts", "origin", "tips", "contours", "distractors", "num_distractors")


class Pathfinder(Task):
    """Two contours among distractors; the label says whether both markers are on one contour. See `config.Config`."""

    family: ClassVar[str] = "pathfinder"
    version: ClassVar[int] = 1
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    vocabulary: ClassVar[tuple[str, ...] | None] = None
    vocab_size: ClassVar[int] = 256
    num_classes: ClassVar[int] = 2
    family_card: ClassVar[TaskCard] = TaskCard(
        title="Pathfinder",
        description=(
            "Pictures of two long dashed contours among shorter distractors; two discs mark contour ends. A model "
            "reads the grey values one after another and says whether the marked ends belong to the same contour. "
            "With 128 x 128 pixels, 16,384 steps, the task is known as Path-X."
        ),
        label_meaning="1 if both markers lie on the same contour, 0 if they lie on different ones.",
        label_names=("not connected", "connected"),
        source=(
            "Drawn by lra-data from the distribution of the generator behind the Long Range Arena's images "
            "(github.com/drewlinsley/pathfinder at ab9c130), its quirks included; variants named clean differ as "
            "docs/pathfinder_draws.md says."
        ),
        citation=(
            "Y. Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020, arXiv:2011.04006; "
            "D. Linsley et al., Learning long-range spatial dependencies with horizontal gated recurrent units, 2018, "
            "arXiv:1805.08315; J. Kim, D. Linsley et al., Disentangling neural mechanisms for perceptual grouping, "
            "2020, arXiv:1906.01558"
        ),
        license="apache-2.0",
        published="2026-11-24",
        columns={
            "inputs": "grey values 0 to 255, row by row; 0 is a dark pixel, never padding",
            "label": "whether both markers lie on the same contour",
            "index": "number of the example in its split",
            "margin": "room left around each paddle of this picture, in pixels",
            "attempts": "attempts at two contours until this one succeeded",
            "origin": "the contour whose first end carries a marker, 0 or 1",
            "tips": "y, x of first and last end of contour 0, then of contour 1",
            "contours": "for each paddle of contour 0, then 1: y, x, angle in hundredths of a degree, contrast number",
            "distractors": "the same four numbers for each paddle of the distractors, then of single paddles",
            "num_distractors": "distractors for which room was found",
        },
        history={1: "first release"},
    )

    config: Config

    @cached_property
    def schema(self) -> pa.Schema:
        """inputs fixed_size_list<uint8>, label and index int64; then geometry, small integers, unless left out."""
        side = self.config.resolution
        fields = [
            picture("inputs", side, side),
            class_label("label", self.family_card.label_names),
            pa.field("index", pa.int64()),
        ]
        if self.config.geometry:
            fields += [
                pa.field("margin", pa.int8()),
                pa.field("attempts", pa.int32()),
                pa.field("origin", pa.int8()),
                pa.field("tips", pa.list_(pa.int16(), 8)),
                pa.field("contours", pa.list_(pa.int16(), 2 * self.config.contour_length * 4)),
                pa.field("distractors", pa.list_(pa.int16())),
                pa.field("num_distractors", pa.int16()),
            ]
        return make_schema(fields)

    @cached_property
    def card(self) -> TaskCard:
        """See Task. The remark states the agreement of the tracer, which sees only the picture, if it was measured."""
        if self.preset not in AGREEMENT:
            return self.family_card
        return dataclasses.replace(
            self.family_card,
            remark=(
                "A tracer that sees the picture alone and follows dashes by good continuation gives "
                f"{AGREEMENT[self.preset]:.1%} of the labels of {self.preset} (2,000 pictures of the test split, seed "
                "0). Every label is exact, derived again from paddles and picture; where the tracer errs the picture "
                "is hard for it, and some are ambiguous to anyone, with contours that cross or run side by side."
            ),
        )

    @property
    def viewer(self) -> Viewer:
        """See Task."""
        from lra_data.pathfinder.viewer import PathfinderViewer

        return PathfinderViewer(self.config, self.name, self.family_card.label_names)

    @property
    def statistics(self) -> Statistics:
        """See Task."""
        from lra_data.pathfinder.measures import PathfinderStatistics

        return PathfinderStatistics(self.config)

    @property
    def max_length(self) -> int:
        """Number of pixels of a picture."""
        return self.config.resolution**2

    def keyed_config(self) -> dict[str, Any]:
        """The configuration's fields except `geometry`, and the digest of their drawing tables."""
        return super().keyed_config() | {"tables": tables_digest(self.config)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], *, corpus: Corpus | None = None) -> Task:
        """See Task. Raises SetError if the tables drawn here differ from the record's."""
        plain = {name: value for name, value in record.items() if name != "tables"}
        task = super().from_record(plain, corpus=corpus)
        here = tables_digest(task.config)
        if record.get("tables") != here:
            raise SetError(
                f"{task.name}: the set was drawn with tables {str(record.get('tables'))[:12]}…, the installed Pillow "
                f"and OpenCV draw {here[:12]}…: install the versions of the build, or build again with --overwrite"
            )
        return task

    def check_buildable(self, sizes: Mapping[str, int], *, seed: int = 0) -> None:
        """Reject a configuration that has no place for any first paddle."""
        config, tables = self.config, drawing_tables(self.config)
        middle = config.resolution - 4 * config.seed_distance
        for margin in config.paddle_margin_list:
            if not tables[f"starts_{margin}"][:, 2].any():
                raise UsageError(
                    f"{self.name}: expected room for a paddle of {config.paddle_length} pixels with margin {margin} in "
                    f"the {middle} pixels that are 2 x seed_distance from every edge, got none at any angle: lower "
                    "seed_distance, paddle_length or the margin"
                )

    def take(self, split: str, indices: Sequence[int], *, seed: int = 0) -> pa.RecordBatch:
        """Rows of any indices, in their order. Raises BuildError if every attempt at an example's contours fails."""
        split = check_request(split, indices, seed)
        wanted = np.fromiter(indices, dtype=np.int64, count=len(indices))
        drawn = self.draw(split, wanted, seed)
        names = self.schema.names
        arrays = {
            "inputs": fixed_list_column(drawn["inputs"]),
            "label": column(drawn["label"]),
            "index": column(wanted),
        }
        if self.config.geometry:
            arrays |= {name: column(drawn[name]) for name in ("margin", "attempts", "origin", "num_distractors")}
            arrays |= {name: fixed_list_column(drawn[name]) for name in ("tips", "contours")}
            arrays["distractors"] = list_column(drawn["offsets"], drawn["distractors"])
        return pa.RecordBatch.from_arrays([arrays[name] for name in names], schema=self.schema)

    def draw(self, split: str, indices: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
        """The columns of these rows by name, including geometry, with `offsets` and `counters`: see `draw_rows`."""
        # Numba is loaded here, when the first example is drawn, not when a schema or a manifest is read.
        from lra_data.pathfinder.generator.contours import MAX_ATTEMPTS
        from lra_data.pathfinder.generator.draw_rows import draw_rows
        from lra_data.random_bits import stream_key

        def failure(place: int, margin: int, attempts: NDArray[np.int32]) -> str:
            """The error text if all attempts at an example failed, with the acceptance measured so far."""
            successes = int(np.count_nonzero(attempts))
            total = int(attempts.sum()) + MAX_ATTEMPTS
            return (
                f"{self.name}: expected two contours of {self.config.contour_length} paddles in {MAX_ATTEMPTS:,} "
                f"attempts at {split} {indices[place]} (margin {margin}), got none; measured acceptance "
                f"{successes / total:.1e} ({successes} of {total:,} attempts in this batch): shorten the contours, "
                "lower margin or continuity, or enlarge the canvas"
            )

        key = stream_key(self.family, self.version, self.keyed_config(), seed, split)
        return draw_rows(self.config, key, indices, failure)

    def problems(self, batch: pa.RecordBatch, *, split: str, seed: int) -> list[tuple[int, str]]:
        """Derive each label from geometry and picture. Geometry that was left out is generated again by index."""
        from lra_data.pathfinder.checks.label_check import problem

        found = []
        for row in self.with_geometry(batch, split=split, seed=seed):
            text = problem(self.config, row)
            if text is not None:
                found.append((row["index"], text))
        return found

    def with_geometry(self, batch: pa.RecordBatch, *, split: str, seed: int) -> Iterator[dict[str, Any]]:
        """The rows as NumPy arrays and numbers, with their geometry, even if the batch does not hold it."""
        columns = {name: batch[name] for name in ("inputs", "label", "index")}
        source = batch
        if not self.config.geometry:
            source = Pathfinder(self._complete_config()).take(split, numbers(batch["index"]), seed=seed)  # type: ignore[arg-type]
        columns |= {name: source[name] for name in GEOMETRY}
        for i in range(len(batch)):
            yield {
                name: numbers(values[i].values) if pa.types.is_nested(values.type) else values[i].as_py()
                for name, values in columns.items()
            }

    def _complete_config(self) -> Config:
        return dataclasses.replace(self.config, geometry=True)
