"""The ListOps task: Arrow rows from the kernel, and the other members of a task."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import class_label, column, list_column, make_schema, numbers
from lra_data.errors import BuildError, UsageError
from lra_data.family import Makers
from lra_data.listops.config import OPERATORS, PRESETS, Config
from lra_data.listops.law import Law, exact_law
from lra_data.listops.vocabulary import VOCABULARY
from lra_data.task import Preset, Task, check_request
from lra_data.task_parts import Statistics, TaskCard, Viewer

# After this many attempts an example ends with an error. At the benchmark's acceptance of 8 %, the chance of needing a
# thousandth of them is below 1e-39. A window that is hit once in a million draws fails within seconds.
MAX_ATTEMPTS = 2**20

# Limits of one kernel call, so that interrupts are handled soon: bytes of its token buffer, and number of attempts.
# Further rows are drawn in further calls.
KERNEL_BUFFER = 2**21
ATTEMPTS_A_CALL = 2**17


class ListOps(Task):
    """Nested list expressions; the label is the value, 0 to 9. See `config.Config` for the parameters."""

    family: ClassVar[str] = "listops"
    version: ClassVar[int] = 1
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    vocabulary: ClassVar[tuple[str, ...] | None] = VOCABULARY
    vocab_size: ClassVar[int] = len(VOCABULARY) + 1
    num_classes: ClassVar[int] = 10
    family_card: ClassVar[TaskCard] = TaskCard(
        title="ListOps",
        description=(
            "Expressions of nested list operators over single digits, given as token ids in prefix order. A model must "
            "find the value of the whole expression, which is again a digit, and so has to use the tree that the "
            "brackets describe."
        ),
        label_meaning=(
            "The value of the expression: MIN and MAX of the arguments, MED their median (the mean of the two middle "
            "ones rounded down), SM their sum modulo 10."
        ),
        label_names=tuple(str(digit) for digit in range(10)),
        source=(
            "Drawn by lra-data from the distribution of the Long Range Arena's generator "
            "(google-research/long-range-arena, lra_benchmarks/data/listops.py), itself after Nangia and Bowman 2018."
        ),
        citation=(
            "Y. Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020, arXiv:2011.04006; "
            "N. Nangia and S. R. Bowman, ListOps: A Diagnostic Dataset for Latent Tree Learning, 2018, arXiv:1804.06028"
        ),
        license="apache-2.0",
        published="2026-11-24",
        columns={
            "inputs": "token ids 1 to 15, in prefix order, without padding: " + " ".join(VOCABULARY),
            "label": "the value of the expression",
            "index": "number of the example in its split",
            "length": "number of tokens",
            "depth": "greatest number of operators open at once",
            "root_operator": "the outermost operator",
        },
        history={1: "first release"},
    )

    config: Config

    @cached_property
    def schema(self) -> pa.Schema:
        """inputs list<uint8>, label and index int64, length int32, depth int8, root_operator int64 (a class label)."""
        return make_schema(
            [
                pa.field("inputs", pa.list_(pa.uint8())),
                class_label("label", self.family_card.label_names),
                pa.field("index", pa.int64()),
                pa.field("length", pa.int32()),
                pa.field("depth", pa.int8()),
                class_label("root_operator", OPERATORS),
            ]
        )

    @property
    def max_length(self) -> int:
        """The longest expression in the window, in tokens."""
        return self.config.max_length - 1

    @property
    def card(self) -> TaskCard:
        """See Task."""
        return self.family_card

    @property
    def viewer(self) -> Viewer:
        """See Task."""
        from lra_data.listops.viewer import ListOpsViewer

        return ListOpsViewer()

    @property
    def statistics(self) -> Statistics:
        """See Task."""
        from lra_data.listops.measures import ListOpsStatistics

        return ListOpsStatistics()

    @cached_property
    def law(self) -> Law:
        """The exact acceptance and collision probability of this configuration."""
        return exact_law(self.config)

    def check_buildable(self, sizes: Mapping[str, int], *, seed: int = 0) -> None:
        """Reject a window that is hit too rarely, or so narrow that an example is expected to appear in two splits."""
        failures = sum(sizes.values()) * float(np.exp(-MAX_ATTEMPTS * self.law.acceptance))
        if failures > 0.01:
            raise UsageError(
                f"{self.name}: a draw has between {self.config.min_length} and {self.config.max_length} tokens with "
                f"probability {max(self.law.acceptance, 1e-12):.1e}, too rarely for {MAX_ATTEMPTS:,} attempts per "
                "example: widen the window or change depth and arguments"
            )
        counts = list(sizes.values())
        pairs = (sum(counts) ** 2 - sum(count**2 for count in counts)) / 2
        expected = pairs * self.law.collision
        if expected >= 1:
            raise UsageError(
                f"{self.name}: expected fewer than 1 example in two splits by chance, got {expected:,.1f} for splits "
                f"of {', '.join(f'{count:,}' for count in counts)}: "
                "ask for longer expressions or smaller splits"
            )

    def take(self, split: str, indices: Sequence[int], *, seed: int = 0) -> pa.RecordBatch:
        """Rows of any indices, in their order. Raises BuildError if an example's attempts all miss the window."""
        split = check_request(split, indices, seed)
        wanted = np.fromiter(indices, dtype=np.int64, count=len(indices))
        rows_a_call = max(1, KERNEL_BUFFER // self.max_length)
        parts = [self._draw(split, wanted[:rows_a_call], seed)]
        drawn = len(parts[0])
        while drawn < len(wanted):
            parts.append(self._draw(split, wanted[drawn : drawn + rows_a_call], seed))
            drawn += len(parts[-1])
        return parts[0] if len(parts) == 1 else pa.concat_batches(parts)

    def _draw(self, split: str, indices: NDArray[np.int64], seed: int) -> pa.RecordBatch:
        """The rows of the first indices, as many as one kernel call draws."""
        # Numba is loaded here, when the first example is drawn, not when a schema or a manifest is read.
        from lra_data.listops.kernel import RUN, draw_examples
        from lra_data.listops.records import chunk_limit, operator_records
        from lra_data.random_bits import stream_key

        key_0, key_1 = stream_key(self.family, self.version, self.keyed_config(), seed, split)
        records = operator_records(self.config)
        tokens = np.empty(len(indices) * self.max_length + RUN, dtype=np.uint8)
        offsets = np.empty(len(indices) + 1, dtype=np.int32)
        labels = np.empty(len(indices), dtype=np.int64)
        depths = np.empty(len(indices), dtype=np.int64)
        count = draw_examples(
            indices,
            key_0,
            key_1,
            np.uint64(self.config.max_depth),
            np.uint64(self.config.min_length),
            np.uint64(self.config.max_length),
            np.uint16(chunk_limit(len(records))),
            records,
            np.int64(MAX_ATTEMPTS),
            np.int64(ATTEMPTS_A_CALL),
            tokens,
            offsets,
            labels,
            depths,
        )
        if count < 0:
            raise BuildError(
                f"{self.name}: expected a length between {self.config.min_length} and {self.config.max_length}, got "
                f"none in {MAX_ATTEMPTS:,} attempts at {split} {indices[-1 - count]} (measured acceptance 0, exact "
                f"{self.law.acceptance:.1e}): widen the window or change depth and arguments"
            )
        indices, labels, depths, offsets = indices[:count], labels[:count], depths[:count], offsets[: count + 1]
        values = tokens[: offsets[-1]].copy()  # the buffer is sized for the longest rows, and would be kept whole
        roots = values[offsets[:-1]].astype(np.int64) - 1  # operators have the ids 1 to 4
        return pa.RecordBatch.from_arrays(
            [
                list_column(offsets, values),
                column(labels),
                column(indices),
                column(np.diff(offsets)),
                column(depths.astype(np.int8)),
                column(roots),
            ],
            schema=self.schema,
        )

    def problems(self, batch: pa.RecordBatch, *, split: str, seed: int) -> list[tuple[int, str]]:
        """Solve each row again with the stack machine, and compare its result with columns and configuration."""
        from lra_data.listops.solver import FAULTS, SOUND, solve

        offsets = numbers(batch["inputs"].offsets)
        tokens = numbers(batch["inputs"].values)
        found = np.zeros((len(batch), 6), dtype=np.int64)
        solve(tokens, offsets, found)
        fault, value, depth, fewest, most, used = found.T
        problems = [(row, FAULTS[fault[row]]) for row in np.flatnonzero(fault != SOUND)]

        config = self.config
        sound = fault == SOUND
        length = np.diff(offsets)
        derived = {
            "label": value,
            "length": length,
            "depth": depth,
            "root_operator": tokens[offsets[:-1]].astype(np.int64) - 1,
        }
        for name, expected in derived.items():
            stored = numbers(batch[name])
            for row in np.flatnonzero(sound & (stored != expected)):
                problems.append((row, f"expected {name} {expected[row]}, found from the tokens, got {stored[row]}"))
        allowed = sum(1 << OPERATORS.index(name) for name in config.operators)
        forms = {
            f"expected {config.min_args} to {config.max_args} arguments an operator": (fewest < config.min_args)
            | (most > config.max_args),
            f"expected at most {config.max_depth - 1} open operators": depth >= config.max_depth,
            f"expected only the operators {', '.join(config.operators)}": (used & ~allowed) != 0,
            f"expected more than {config.min_length} and fewer than {config.max_length} tokens": (
                (length <= config.min_length) | (length >= config.max_length)
            ),
        }
        for text, broken in forms.items():
            problems += [(row, text) for row in np.flatnonzero(sound & broken)]
        indices = numbers(batch["index"])
        return sorted((int(indices[row]), text) for row, text in problems)


MAKERS = Makers(from_config=ListOps)
