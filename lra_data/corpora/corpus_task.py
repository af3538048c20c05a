"""What the tasks have in common that convert a corpus: which copy of it they stand on, and what is said of that copy.

Such a task is made twice: from a configuration alone it describes itself; `over` lets it read a copy of the corpus and
gives the task that makes rows. What was found in the copy, its facts, is part of the set's record: a set can be
repaired from any copy with the same content, and from no other.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from lra_data.corpora import ignored_files
from lra_data.corpora.fetch import Archive, cached_archive, fetch_archive
from lra_data.corpus import Corpus, Transfer
from lra_data.errors import SetError, UsageError
from lra_data.splits import SPLITS
from lra_data.stream_key import stream_bytes
from lra_data.task import Task, check_request, check_seed
from lra_data.task_parts import TaskCard


class ReadCorpus(Protocol):
    """A copy of a corpus, read. Compared by identity."""

    @property
    def facts(self) -> dict[str, Any]:
        """JSON values: `content`, a digest of all that can become a row; `missing`, in words, empty for a whole corpus;
        `source`, how it was given; and counts.
        """


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a corpus comes from. archives: the official ones, any of which will do."""

    name: str
    archives: tuple[Archive, ...]


class CorpusTask(Task):
    """A task whose rows are those of a corpus. Subclasses set `origin` and read what they need."""

    origin: ClassVar[Origin]
    family_card: ClassVar[TaskCard]
    converted: ClassVar[bool] = True

    def __init__(self, config: Any, facts: Mapping[str, Any] | None = None, *, corpus: Corpus | None = None) -> None:
        super().__init__(config, corpus=corpus)
        self.facts = dict(facts) if facts is not None else None

    @abstractmethod
    def read_corpus(self, path: Path) -> ReadCorpus:
        """The copy at `path`, remembered while the process lives."""

    @abstractmethod
    def rows(self, split: str, seed: int) -> Sequence[Any]:
        """What each row of the split is made of, in their order."""

    @property
    def variant(self) -> str:
        """The preset's name or `custom-…`, with `-partial` behind it where the corpus is not whole."""
        return f"{super().variant}-partial" if self.is_partial else super().variant

    @property
    def is_partial(self) -> bool:
        """Whether parts of the corpus are missing in the copy that the rows come from."""
        return bool(self.facts and self.facts["missing"])

    @property
    def sizes(self) -> dict[str, int]:
        """Examples a split with seed 0: of the copy, or where none is at hand those of the whole corpus."""
        return super().sizes if self.corpus is None else self.split_sizes(0)

    def split_sizes(self, seed: int) -> dict[str, int]:
        """Examples a split of the copy."""
        self.checked_seed(seed)
        return super().sizes if self.corpus is None else {split: len(self.rows(split, seed)) for split in SPLITS}

    def record(self) -> dict[str, Any]:
        """The configuration, and under `corpus` the facts."""
        return super().record() | ({"corpus": self.facts} if self.facts is not None else {})

    @classmethod
    def from_record(cls, record: Mapping[str, Any], *, corpus: Corpus | None = None) -> Self:
        """See Task. Without a corpus the task can check and describe rows; to make them it needs the same content."""
        facts = record.get("corpus")
        plain = {"content": str, "missing": str, "source": dict}
        if not isinstance(facts, dict) or not all(isinstance(facts.get(name), kind) for name, kind in plain.items()):
            raise UsageError(f"expected of a converted set what its corpus was, got {facts!r}")
        task = super().from_record({name: value for name, value in record.items() if name != "corpus"})
        made = cls(task.config, facts)
        if corpus is not None:
            made._check_pairs(corpus)
        return cls(task.config, facts, corpus=corpus)

    def over(self, corpus: Corpus, *, fetch: Transfer | None = None) -> Self:
        """See Task. Without a path the rows are those of the cached archive.

        Raises SetError for a corpus with faults, and for one that is not whole unless it may be partial.
        """
        self._check_pairs(corpus)
        found = self.located(corpus, fetch=fetch)
        facts = self.read_corpus(found.known_path).facts
        if facts["missing"] and not corpus.allow_partial:
            raise SetError(
                f"{found.path}: expected the whole of {self.origin.name}, {facts['missing']}: {self._advice}; "
                "or build what is there with --allow-partial, which marks the set"
            )
        return type(self)(self.config, facts, corpus=found)

    def _check_pairs(self, corpus: Corpus) -> None:
        """Raise UsageError for id lists where the rows are not chosen by such lists."""
        if corpus.pairs is not None and "pairs" not in (self.facts or {}):
            raise UsageError(f"expected no pairs for {self.name}, got {str(corpus.pairs)!r}")

    def check_corpus(self) -> None:
        """See Task. The copy may be another one, if its content is the same."""
        self.rows("train", 0)

    def located(self, corpus: Corpus | None, *, fetch: Transfer | None = None) -> Corpus:
        """The corpus with its path, which is the cached archive's if none is named; SetError if there is none."""
        path = (corpus and corpus.path) or cached_archive(self.origin.archives)
        if path is None and fetch is not None:
            path = fetch_archive(self.origin.archives, fetch)
        if path is None:
            raise SetError(f"{self.name}: expected {self.origin.name}, got none: {self._advice}")
        return replace(corpus or Corpus(), path=path)

    @property
    def _advice(self) -> str:
        first = self.origin.archives[0]
        return f"name {first.name} or the folder it unpacks to with --corpus; it is at {first.urls[0]}"

    @cached_property
    def copy(self) -> Any:
        """What was read of the corpus; raises SetError where there is none, or one of other content."""
        found = self.located(self.corpus)
        copy = self.read_corpus(found.known_path)
        if self.facts is None and copy.facts["missing"]:
            raise SetError(
                f"{found.path}: expected the whole of {self.origin.name}, {copy.facts['missing']}: "
                f"{self._advice}; or allow a partial one"
            )
        if self.facts is not None and copy.facts["content"] != self.facts["content"]:
            raise SetError(
                f"{found.path}: expected a corpus with content {self.facts['content']}, got "
                f"{copy.facts['content']}: name the copy that the set was built from"
            )
        return copy

    def chosen(self, split: str, indices: Sequence[int], seed: int) -> list[Any]:
        """What the rows of these indices are made of; raises UsageError for a seed or an index that there is not."""
        rows = self.rows(check_request(split, indices, self.checked_seed(seed)), seed)
        if len(indices) and max(indices) >= len(rows):
            raise UsageError(
                f"expected an index from 0 to {len(rows) - 1} in {split} of {self.name}, got {max(indices)}"
            )
        return [rows[index] for index in indices]

    def key(self, seed: int) -> bytes:
        """Under which names have digests (`hash_order.py`): one key for all splits, which are chosen by it."""
        return stream_bytes(self.family, self.version, self.keyed_config(), seed, "")

    def checked_seed(self, seed: int) -> int:
        """The seed; raises UsageError for another than 0 where nothing is drawn."""
        if seed and not self.draws_anything:
            raise UsageError(f"expected seed 0 for {self.name}, in which nothing is drawn, got {seed}")
        return check_seed(seed)

    @property
    def draws_anything(self) -> bool:
        """Whether the seed decides anything."""
        return False

    def check_buildable(self, sizes: Mapping[str, int], *, seed: int = 0) -> None:
        """Refuse splits larger than the corpus's; smaller ones are their first rows."""
        self.checked_seed(seed)
        for split, most in self.split_sizes(seed).items():
            if sizes[split] > most:
                raise UsageError(f"{self.name}: expected at most {most} examples in {split}, got {sizes[split]}")

    @property
    def _archives(self) -> dict[str, str]:
        """Addresses, size and digest of each official archive, as far as they are known."""
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
        """See Task: the family's card, with what is missing in the copy and what was ignored in it."""
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
        """What the card should say of this configuration, whatever copy it reads."""
        return ""
