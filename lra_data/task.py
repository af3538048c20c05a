"""The interface of a task, which build, loading and checking rely on, and which each task folder implements.

A task is a frozen configuration with everything that follows from it. It knows nothing about files, shards, workers or
frameworks. `lra_data/catalogue.py` finds the tasks; `CONTRIBUTING.md` lists the steps to add one.
"""

import dataclasses
import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from lra_data.checks import plain_int
from lra_data.corpus import Corpus, Transfer
from lra_data.errors import UsageError, brief
from lra_data.shown import Shown
from lra_data.splits import split_name
from lra_data.task_parts import Statistics, TaskCard, Viewer

if TYPE_CHECKING:
    import pyarrow as pa

MAX_SEED = 2**64 - 1
MAX_INDEX = 2**63 - 1
# Arrow counts the rows of a batch, and the values of their lists, in 32 bits.
MAX_ROWS = 2**31 - 1

# Metadata of a configuration's field that decides how a row is stored, but no example: it is not hashed into the key.
NOT_KEYED = {"keyed": False}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """A named configuration with the sizes of its splits. Presets with the same group share a line of `lra-data list`,
    with the family's text for the group.
    """

    config: Any
    sizes: Mapping[str, int]
    summary: str
    group: str = ""


class Task(Shown):
    """One task under one configuration. Subclasses set the class attributes and the abstract members.

    family: the folder's name, such as "listops".
    version: changes whenever any example changes.
    corpus: the source of the rows, for a task that converts a corpus. It is not part of the task's identity or record.
    converted: whether the rows come from a corpus. They can be made again only from a copy of it. An example may appear
        in two splits if it does in the corpus.
    num_classes: number of labels.
    vocabulary: words in id order without padding, or None for bytes and pixels.
    vocab_size: number of distinct ids in `inputs`, including padding if ids are shifted for it.
    derives_labels: whether `problems` derives each label again.
    """

    family: ClassVar[str]
    version: ClassVar[int]
    presets: ClassVar[Mapping[str, Preset]]
    vocabulary: ClassVar[tuple[str, ...] | None]
    vocab_size: ClassVar[int]
    num_classes: ClassVar[int]
    derives_labels: ClassVar[bool] = True
    converted: ClassVar[bool] = False

    def __init__(self, config: Any, *, corpus: Corpus | None = None) -> None:
        self.config = config
        self.corpus = corpus
        same = [name for name, preset in self.presets.items() if _examples_of(preset.config) == _examples_of(config)]
        self.preset = same[0] if same else None

    def shown_facts(self) -> dict[str, Any]:
        """See Shown."""
        return {
            "task": self.name,
            "version": self.version,
            **self.sizes,
            "num_classes": self.num_classes,
            "vocab_size": self.vocab_size,
            "max_length": self.max_length,
        }

    @property
    def variant(self) -> str:
        """The preset's name, or `custom-<8 hex>` of the configuration's hash. Also the set's folder name."""
        if self.preset is not None:
            return self.preset
        identity = {"task": self.family, "version": self.version, "config": self.keyed_config()}
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return f"custom-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def name(self) -> str:
        """`family/variant`, such as `listops/lra`."""
        return f"{self.family}/{self.variant}"

    def keyed_config(self) -> dict[str, Any]:
        """The values that decide an example, as JSON values; they are hashed into the key."""
        return _examples_of(self.config)

    def record(self) -> dict[str, Any]:
        """The configuration as plan and manifest store it, enough for `from_record` to make this task again."""
        return self.keyed_config() | _json_values(self.config, keyed=False)

    def identity(self) -> dict[str, Any]:
        """The record without the form of the corpus: the same for its archive and its folder."""
        record = self.record()
        if "corpus" in record:
            record["corpus"] = {name: value for name, value in record["corpus"].items() if name != "source"}
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any], *, corpus: Corpus | None = None) -> "Task":
        """The task of a record, with its rows from `corpus`, which is read when the first row is needed.

        Raises UsageError if the record's entries differ from the configuration's fields.
        """
        kind = type(next(iter(cls.presets.values())).config)
        known = {field.name for field in dataclasses.fields(kind)}
        if set(record) != known:
            raise UsageError(
                f"expected a configuration of {cls.family} with {', '.join(sorted(known))}, got "
                f"{', '.join(sorted(record))}"
            )
        task = cls(kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}))
        return task if corpus is None else task.over(corpus)

    def over(self, corpus: Corpus, *, fetch: Transfer | None = None) -> "Task":
        """This task with the rows of a corpus, for tasks that convert one (`corpora/corpus_task.py`).

        fetch: if given, a corpus that is neither named nor cached is downloaded; the function receives the progress.

        Raises UsageError for a generated task.
        """
        raise UsageError(f"{self.name} is generated and takes no corpus, got {corpus}: leave it out")

    def check_corpus(self) -> None:
        """Raise SetError unless the corpus can be read and fits the record; does nothing for a generated task."""
        return

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples by split: the preset's, or the first preset's for a custom configuration."""
        chosen = self.preset if self.preset is not None else next(iter(self.presets))
        return dict(self.presets[chosen].sizes)

    def split_sizes(self, seed: int) -> dict[str, int]:
        """Number of examples by split under a seed; it depends on the seed only if a corpus limits the draws."""
        return self.sizes

    @property
    @abstractmethod
    def card(self) -> TaskCard:
        """The task's texts for a dataset card."""

    @property
    @abstractmethod
    def viewer(self) -> Viewer:
        """Shows rows to people."""

    @property
    @abstractmethod
    def statistics(self) -> Statistics:
        """The measures of `lra-data stats`."""

    @property
    def is_document(self) -> bool:
        """Whether an example is text as bytes, of any length, which readers cut; False for words and pixels."""
        return self.vocabulary is None and self.picture_shape is None

    @cached_property
    def picture_shape(self) -> tuple[int, ...] | None:
        """(height, width) or (height, width, channels) of the pictures in `inputs`; None for other tasks."""
        from lra_data.arrow_columns import picture_shapes

        return picture_shapes(self.schema).get("inputs")

    @property
    @abstractmethod
    def schema(self) -> "pa.Schema":
        """Columns of a row, with the metadata that Hugging Face `datasets` reads."""

    @property
    @abstractmethod
    def max_length(self) -> int:
        """The maximum number of elements in `inputs`."""

    @property
    def row_bytes(self) -> int:
        """Nominal bytes per row, from which default shard sizes follow; never measured."""
        return self.max_length

    @abstractmethod
    def take(self, split: str, indices: Sequence[int], *, seed: int = 0) -> "pa.RecordBatch":
        """The rows with these indices, in this order; any index >= 0, whatever the split's size."""

    def generate(self, split: str, start: int, stop: int, *, seed: int = 0) -> "pa.RecordBatch":
        """Rows start .. stop - 1: `take` of a range."""
        return self.take(split, range(start, stop), seed=seed)

    @abstractmethod
    def check_buildable(self, sizes: Mapping[str, int], *, seed: int = 0) -> None:
        """Raise UsageError early for a set that cannot be finished or that is expected to have a duplicate."""

    @abstractmethod
    def problems(self, batch: "pa.RecordBatch", *, split: str, seed: int) -> list[tuple[int, str]]:
        """(index, fault) for each row whose label or form an independent solver does not confirm."""


def _examples_of(config: Any) -> dict[str, Any]:
    return _json_values(config, keyed=True)


def _json_values(config: Any, *, keyed: bool) -> dict[str, Any]:
    """The keyed fields, or the fields that are not keyed (see NOT_KEYED)."""
    values = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.metadata.get("keyed", True) == keyed
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def check_seed(seed: int) -> int:
    """The seed as a plain int; raises UsageError unless it is an integer from 0 to MAX_SEED.

    bool is rejected: JSON, and so the key, writes True differently from 1.
    """
    number = plain_int(seed)
    if number is None or not 0 <= number <= MAX_SEED:
        raise UsageError(f"expected a seed from 0 to {MAX_SEED}, got {brief(seed)}")
    return number


def check_whole(indices: Sequence[int]) -> None:
    """Raise UsageError unless the indices are integers in a range, a list, a tuple or a one-dimensional array."""
    if isinstance(indices, range):
        return
    try:
        len(indices)
        found = list(indices)
    except TypeError:
        raise UsageError(f"expected several integers as indices, such as [0, 5], got {brief(indices)}") from None
    for index in found:
        if plain_int(index) is None:
            raise UsageError(f"expected integers as indices, got {brief(index)}")


def check_request(split: str, indices: Sequence[int], seed: int) -> str:
    """The canonical split name of a request for rows; raises UsageError for a bad split, index or seed."""
    check_seed(seed)
    check_whole(indices)
    # The length of a range may exceed the limit of len().
    if indices[:1] if isinstance(indices, range) else len(indices):
        ends = (indices[0], indices[-1]) if isinstance(indices, range) else indices
        lowest, highest = min(ends), max(ends)
        if lowest < 0 or highest > MAX_INDEX:
            raise UsageError(f"expected indices from 0 to {MAX_INDEX}, got {lowest if lowest < 0 else highest}")
        if len(indices) > MAX_ROWS:
            raise UsageError(f"expected at most {MAX_ROWS:,} rows at once, got {len(indices):,}: ask for fewer")
    return split_name(split)
