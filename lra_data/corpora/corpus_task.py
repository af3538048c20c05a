"""The base of the tasks that convert a corpus: the copy of the corpus that they read, and the facts about that copy.

Such a task is made in two steps. A task made from a configuration only describes itself; `over` reads a copy of the
corpus and returns the task that makes rows. The facts about the copy are part of the set's record, so a set can be
repaired only from a copy with the same content.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from lra_data.corpora import ignored_files
from lra_data.corpora.fetch import Archive, cached_archive, fetch_archive
from lra_data.corpus import ALLOW_PARTIAL, Corpus, Transfer
from lra_data.errors import SetError, UsageError
from lra_data.splits import SPLITS
from lra_data.stream_key import stream_bytes
from lra_data.task import Task, check_request, check_seed
from lra_data.task_parts import TaskCard


class ReadCorpus(Protocol):
    """A copy of a corpus, read. Compared by identity."""

    @property
    def facts(self) -> dict[str, Any]:
        """JSON values: `content`, a digest of everything that can become a row; `missing`, in words, empty for a whole
        corpus; `source`, the form of the copy; and counts.
        """


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The origin of a corpus. archives: the official archives, which are alternatives."""

    name: str
    archives: tuple[Archive, ...]


class CorpusTask(Task):
    """A task with the rows of a corpus. Subclasses set `origin` and read the parts that they need."""

    origin: ClassVar[Origin]
    family_card: ClassVar[TaskCard]
    converted: ClassVar[bool] = True

    def __init__(self, config: Any, facts: Mapping[str, Any] | None = None, *, corpus: Corpus | None = None) -> None:
        super().__init__(config, corpus=corpus)
        self.facts = dict(facts) if facts is not None else None

    @abstractmethod
    def read_corpus(self, path: Path) -> ReadCorpus:
        """The copy at `path`, kept in memory for the life of the process."""

    @abstractmethod
    def rows(self, split: str, seed: int) -> Sequence[Any]:
        """The source of each row of the split, in row order."""

    @property
    def variant(self) -> str:
        """The preset's name or `custom-…`, followed by `-partial` if the corpus is incomplete."""
        return f"{super().variant}-partial" if self.is_partial else super().variant

    @property
    def is_partial(self) -> bool:
        """Whether parts of the corpus are missing in the copy."""
        return bool(self.facts and self.facts["missing"])

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples by split with seed 0, in the copy, or in the whole corpus if there is no copy."""
        return super().sizes if self.corpus is None else self.split_sizes(0)

    def split_sizes(self, seed: int) -> dict[str, int]:
        """Number of examples by split in the copy."""
        self.checked_seed(seed)
        return super().sizes if self.corpus is None else {split: len(self.rows(split, seed)) for split in SPLITS}

    def record(self) -> dict[str, Any]:
        """The configuration, and under `corpus` the facts."""
        return super().record() | ({"corpus": self.facts} if self.facts is not None else {})

    @classmethod
    def from_record(cls, record: Mapping[str, Any], *, corpus: Corpus | None = None) -> Self:
        """See Task. Without a corpus the task can check and describe rows; to make rows it needs the same content."""
        facts = record.get("corpus")
        plain = {"content": str, "missing": str, "source": dict}
        if not isinstance(facts, dict) or not all(isinstance(facts.get(name), kind) for name, kind in plain.items()):
            raise UsageError(f"expected the facts about the corpus in the record of a converted set, got {facts!r}")
        task = super().from_record({name: value for name, value in record.items() if name != "corpus"})
        made = cls(task.config, facts)
        if corpus is not None:
            made._check_pairs(corpus)
        return cls(task.config, facts, corpus=corpus)

    def over(self, corpus: Corpus, *, fetch: Transfer | None = None) -> Self:
        """See Task. Without a path the rows are those of the cached archive.

        Raises SetError for a corpus with faults, and for an incomplete corpus unless `allow_partial` is set.
        """
        self._check_pairs(corpus)
        found = self.located(corpus, fetch=fetch)
        facts = self.read_corpus(found.known_path).facts
        if facts["missing"] and not corpus.allow_partial:
            raise SetError(
                f"{found.path}: expected the whole of {self.origin.name}, {facts['missing']}: {self._advice}; "
                f"or accept an incomplete corpus with {ALLOW_PARTIAL}, which marks the set"
            )
        return type(self)(self.config, facts, corpus=found)

    def _check_pairs(self, corpus: Corpus) -> None:
        """Raise UsageError for id lists if the task does not use them."""
        if corpus.pairs is not None and "pairs" not in (self.facts or {}):
            raise UsageError(f"expected no pairs for {self.name}, got {str(corpus.pairs)!r}")

    def check_corpus(self) -> None:
        """See Task. Another copy with the same content is accepted."""
        self.rows("train", 0)

    def located(self, corpus: Corpus | None, *, fetch: Transfer | None = None) -> Corpus:
        """The corpus with its path, by default that of the cached archive; SetError if the cache has no archive."""
        path = (corpus and corpus.path) or cached_archive(self.origin.archives)
        if path is None and fetch is not None:
            path = fetch_archive(self.origin.archives, fetch)
        if path is None:
            raise SetError(f"{self.name}: expected {self.origin.name}, got none: {self._advice}")
        return replace(corpus or Corpus(), path=path)

    @property
    def _advice(self) -> str:
        first = self.origin.archives[0]
        return f"name {first.name} or the unpacked folder with --corpus; the archive is at {first.urls[0]}"

    @cached_property
    def copy(self) -> Any:
        """The copy of the corpus; raises SetError if there is no corpus, or if its content differs."""
        found = self.located(self.corpus)
        copy = self.read_corpus(found.known_path)
        if self.facts is None and copy.facts["missing"]:
            raise SetError(
                f"{found.path}: expected the whole of {self.origin.name}, {copy.facts['missing']}: "
                f"{self._advice}; or allow a partial copy"
            )
        if self.facts is not None and copy.facts["content"] != self.facts["content"]:
            raise SetError(
                f"{found.path}: expected a corpus with content {self.facts['content']}, got "
                f"{copy.facts['content']}: name the copy that the set was built from"
            )
        return copy

    def chosen(self, split: str, indices: Sequence[int], seed: int) -> list[Any]:
        """The sources of the rows with these indices; raises UsageError for an invalid seed or index."""
        rows = self.rows(check_request(split, indices, self.checked_seed(seed)), seed)
        if len(indices) and max(indices) >= len(rows):
            raise UsageError(
                f"expected an index from 0 to {len(rows) - 1} in {split} of {self.name}, got {max(indices)}"
            )
        return [rows[index] for index in indices]

    def key(self, seed: int) -> bytes:
        """The key for the digests of names (`hash_order.py`): one key for all splits, since it decides the split."""
        return stream_bytes(self.family, self.version, self.keyed_config(), seed, "")

    def checked_seed(self, seed: int) -> int:
        """The seed; raises UsageError for a seed other than 0 if the task draws nothing."""
        if seed and not self.draws_anything:
            raise UsageError(f"expected seed 0 for {self.name}, in which nothing is drawn, got {seed}")
        return check_seed(seed)

    @property
    def draws_anything(self) -> bool:
        """Whether the rows depend on the seed."""
        return False

    def check_buildable(self, sizes: Mapping[str, int], *, seed: int = 0) -> None:
        """Reject splits larger than the corpus's; a smaller split has its first rows."""
        self.checked_seed(seed)
        for split, most in self.split_sizes(seed).items():
            if sizes[split] > most:
                raise UsageError(f"{self.name}: expected at most {most} examples in {split}, got {sizes[split]}")

    @property
    def _archives(self) -> dict[str, str]:
        """Addresses of each official archive, with size and digest if known."""
        return {
            archive.name: ", ".join(
                [
                    " or ".join(archive.urls),
                    *([f"{archive.bytes:,} bytes"] if archive.bytes is not None else []),
                    archive.digest or "no digest known",
                ]
            )
            for archive in self.origin.archives
        }

    @cached_property
    def card(self) -> TaskCard:
        """See Task: the family's card, with the missing parts and the ignored items of the copy."""
        shortfall, ignored = "", ""
        if self.facts is not None:
            ignored = ignored_files.sentence(self.facts["source"])
            if self.is_partial:
                shortfall = f"This is not the whole of {self.origin.name}: {self.facts['missing']}."
        remarks = (self.remark, f"**{shortfall}**" if shortfall else "", ignored)
        return replace(
            self.family_card,
            archives=self._archives,
            remark=" ".join(filter(None, remarks)),
            shortfall=shortfall,
            notices=tuple(filter(None, (shortfall, ignored))),
        )

    @property
    def remark(self) -> str:
        """The card's remark about this configuration, the same for every copy."""
        return ""
