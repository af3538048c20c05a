"""The Retrieval task: Arrow rows from pairs of papers, and the other members of a task."""

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from lra_data.arrow_columns import class_label, column, list_column, make_schema, text_column
from lra_data.corpora.corpus_task import CorpusTask, Origin, ReadCorpus
from lra_data.corpora.fetch import Archive
from lra_data.corpora.ignored_files import described
from lra_data.corpus import ALLOW_PARTIAL, Corpus, Transfer
from lra_data.errors import SetError, UsageError
from lra_data.family import Makers
from lra_data.retrieval.config import LRA_SIZES, PRESETS, Config
from lra_data.retrieval.draw import draw_pairs
from lra_data.retrieval.network import LIMITS, PAPER, Network, read_network, year_of
from lra_data.retrieval.pairs import IdLists, Pair, Splits, read_id_lists, shown_papers
from lra_data.splits import split_name
from lra_data.task import Preset
from lra_data.task_parts import Statistics, TaskCard, Viewer

# Arrow lists of one batch count their bytes with 31 bits.
_MOST_BYTES = 2**31 - 1

_ORIGIN = Origin(
    name="the AAN release",
    archives=(
        Archive(
            name="aanrelease2013.tar.gz",
            urls=("http://clair.eecs.umich.edu/aan/downloads/aanrelease2013.tar.gz",),
            bytes=None,
            digest="md5:7d10b490e75b8a22b673173e10fbcc18",
        ),
        Archive(
            name="aanrelease2014.tar.gz",
            urls=(
                "http://clair.eecs.umich.edu/aan/downloads/aanrelease2014.tar.gz",
                "http://tangra.cs.yale.edu/newaan/data/releases/2014/aanrelease2014.tar.gz",
            ),
            bytes=None,
            digest=None,
        ),
    ),
)


class Retrieval(CorpusTask):
    """Pairs of papers as bytes; the label says whether one cites the other. See `config.Config`.

    The pairs are drawn here, or given by a user's id lists; then the facts of the set have an entry `pairs`.
    """

    family: ClassVar[str] = "retrieval"
    version: ClassVar[int] = 1
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    vocabulary: ClassVar[tuple[str, ...] | None] = None
    vocab_size: ClassVar[int] = 256
    num_classes: ClassVar[int] = 2
    derives_labels: ClassVar[bool] = False
    origin: ClassVar[Origin] = _ORIGIN
    family_card: ClassVar[TaskCard] = TaskCard(
        title="Retrieval",
        description=(
            "Two papers of computational linguistics, byte by byte and whole. A model reads each by itself and says "
            "whether one cites the other."
        ),
        label_meaning="1 if there is a citation between the two papers, 0 if there is none.",
        label_names=("not linked", "linked"),
        source=(
            "Converted by lra-data from the ACL Anthology Network (clair.eecs.umich.edu/aan): links of acl.txt, texts "
            "of papers_text."
        ),
        citation=(
            "Y. Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020, arXiv:2011.04006; "
            "D. R. Radev et al., The ACL Anthology Network Corpus, Language Resources and Evaluation 47, 2013"
        ),
        license="other",
        license_page="https://aclanthology.org/faq/copyright/",
        published="2026-11-24",
        columns={
            "inputs_1": "bytes of the first paper, whole; in pairs drawn here it is the citing one",
            "inputs_2": "bytes of the second paper, whole",
            "label": "whether there is a citation between them",
            "index": "number of the example in its split",
            "source_1": "id of the first paper in the ACL Anthology",
            "source_2": "id of the second paper",
            "year_1": "year of the first paper, from its id",
            "year_2": "year of the second paper",
            "times_1": "how often the first paper stands in this split, on either side",
            "times_2": "how often the second paper does",
        },
        history={1: "first release"},
    )

    config: Config

    @cached_property
    def schema(self) -> pa.Schema:
        """inputs_1, inputs_2 list<uint8>; label, index int64; source_1, source_2 string; years int16, times int32."""
        return make_schema(
            [
                pa.field("inputs_1", pa.list_(pa.uint8())),
                pa.field("inputs_2", pa.list_(pa.uint8())),
                class_label("label", self.family_card.label_names),
                pa.field("index", pa.int64()),
                pa.field("source_1", pa.string()),
                pa.field("source_2", pa.string()),
                pa.field("year_1", pa.int16()),
                pa.field("year_2", pa.int16()),
                pa.field("times_1", pa.int32()),
                pa.field("times_2", pa.int32()),
            ]
        )

    @property
    def viewer(self) -> Viewer:
        """See Task."""
        from lra_data.retrieval.viewer import RetrievalViewer

        return RetrievalViewer(self.family_card.label_names, "acl.txt" if self._listed is None else "the id list")

    @property
    def statistics(self) -> Statistics:
        """See Task."""
        from lra_data.retrieval.measures import RetrievalStatistics

        return RetrievalStatistics()

    @property
    def max_length(self) -> int:
        """Bytes of the longest paper; before a corpus is read, the largest allowed size."""
        return int(self.facts["longest"]) if self.facts is not None else LIMITS.largest

    @property
    def row_bytes(self) -> int:
        """A median paper has 27 kB."""
        return 54_000

    @property
    def draws_anything(self) -> bool:
        """Pairs are drawn unless id lists are given."""
        return self._listed is None

    @property
    def _listed(self) -> Mapping[str, Any] | None:
        """For a set with id lists: their digest, their counts, and the papers without text."""
        return self.facts.get("pairs") if self.facts is not None else None

    @property
    def variant(self) -> str:
        """The preset's name, or `lra-pairs` for id lists with LRA's counts, `pairs-<8 hex>` for other lists."""
        if self._listed is None:
            return super().variant
        name = "lra-pairs" if self._listed["counts"] == LRA_SIZES else f"pairs-{self._listed['digest'][:8]}"
        return f"{name}-partial" if self.is_partial else name

    def read_corpus(self, path: Path) -> ReadCorpus:
        """See CorpusTask."""
        return read_network(path)

    def over(self, corpus: Corpus, *, fetch: Transfer | None = None) -> Self:
        """See CorpusTask. With `pairs`, a folder of id lists, their pairs make the set."""
        if corpus.pairs is None:
            return super().over(corpus, fetch=fetch)
        found = self.located(corpus, fetch=fetch)
        if self.preset != next(iter(PRESETS)):
            raise UsageError(f"expected either --pairs or a preset other than {next(iter(PRESETS))}, got both")
        network, lists = read_network(found.known_path), read_id_lists(corpus.pairs)
        absent, count = lists.without_text(network.texts)
        if absent and not corpus.allow_partial:
            raise SetError(
                f"{corpus.pairs}: expected pairs of papers with a text, got {count:,} pairs with papers that have no "
                f"text in {found.path}, {shown_papers(absent)}: {ALLOW_PARTIAL} leaves them out and marks the set"
            )
        listed = {
            "digest": lists.digest,
            "counts": {split: len(rows) for split, rows in lists.pairs.items()},
            "papers without text": absent,
        }
        missing = f"{count:,} pairs of the id lists are left out" if count else ""
        given = described(network.facts["source"], lists.passed_over)
        facts = network.facts | {"missing": missing, "source": given, "pairs": listed}
        return type(self)(self.config, facts, corpus=found)

    def rows(self, split: str, seed: int) -> Sequence[Pair]:
        """The pairs of the split."""
        return self._splits(seed).pairs[split]

    def _splits(self, seed: int) -> Splits:
        network = self.copy
        if self._listed is None:
            return _drawn(network, self.config.splitting, self.key(seed))
        if self.corpus is None or self.corpus.pairs is None:
            raise SetError(f"{self.name}: expected the id lists of the build, got none: name their folder with --pairs")
        lists = read_id_lists(self.corpus.pairs)
        if lists.digest != self._listed["digest"]:
            raise SetError(
                f"{self.corpus.pairs}: expected id lists with digest {self._listed['digest']}, got {lists.digest}: "
                "name the lists that the set was built from"
            )
        return _readable(lists, network)

    def take(self, split: str, indices: Sequence[int], *, seed: int = 0) -> pa.RecordBatch:
        """Rows of any indices of the split, in their order; raises UsageError for more than 2 GiB of either column."""
        pairs = self.chosen(split, indices, seed)
        times = self._splits(seed).times[split_name(split)]
        columns: dict[str, pa.Array] = {
            "label": column(np.array([pair.label for pair in pairs], dtype=np.int64)),
            "index": column(np.fromiter(indices, dtype=np.int64, count=len(pairs))),
        }
        for number, papers in ((1, [pair.first for pair in pairs]), (2, [pair.second for pair in pairs])):
            texts = [self.copy.texts[paper] for paper in papers]
            offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
            if offsets[-1] > _MOST_BYTES:
                raise UsageError(f"expected rows of at most 2 GiB at a time, got {offsets[-1]:,} bytes: ask for fewer")
            values = np.frombuffer(b"".join(texts), dtype=np.uint8)
            columns[f"inputs_{number}"] = list_column(offsets.astype(np.int32), values)
            columns[f"source_{number}"] = text_column(papers)
            columns[f"year_{number}"] = column(np.array([year_of(paper) for paper in papers], dtype=np.int16))
            columns[f"times_{number}"] = column(np.array([times[paper] for paper in papers], dtype=np.int32))
        return pa.RecordBatch.from_arrays([columns[name] for name in self.schema.names], schema=self.schema)

    @property
    def remark(self) -> str:
        """The origin of the pairs."""
        if self._listed is None:
            text = (
                "The pairs are not LRA's, whose id lists are not published with the corpus: they are drawn by "
                "lra-data (docs/retrieval_draws.md), balanced, each paper as often in positives as in negatives on "
                "either side."
            )
        else:
            text = f"The pairs are those of id lists with digest {self._listed['digest'][:16]}…, in their order."
        return text

    def problems(self, batch: pa.RecordBatch, *, split: str, seed: int) -> list[tuple[int, str]]:
        """Rows without two different papers or with wrong years; over a corpus, also rows with wrong labels."""
        names = ("index", "label", "source_1", "source_2", "year_1", "year_2")
        found = []
        linked = self.copy.linked if self.corpus is not None else None
        for index, label, first, second, *years in zip(*(batch[name].to_pylist() for name in names), strict=True):
            strange = [paper for paper in (first, second) if PAPER.fullmatch(paper) is None]
            if strange:
                found.append((index, f"expected ids of the ACL Anthology, got {strange[0]!r}"))
                continue
            if first == second and self._listed is None:
                found.append((index, f"expected two papers, got {first} twice"))
            if years != [year_of(first), year_of(second)]:
                found.append((index, f"expected the years of {first} and {second}, got {years[0]} and {years[1]}"))
            if linked is not None and self._listed is None and label != (frozenset((first, second)) in linked):
                truth = "a link" if not label else "no link"
                found.append((index, f"expected label {1 - label}, acl.txt has {truth} of {first} and {second}"))
        return found


MAKERS = Makers(from_config=Retrieval)


@lru_cache(maxsize=4)
def _drawn(network: Network, splitting: str, key: bytes) -> Splits:
    return Splits(draw_pairs(network, splitting, key))


@lru_cache(maxsize=4)
def _readable(lists: IdLists, network: Network) -> Splits:
    """The pairs with both texts, in the lists' order."""
    return Splits(
        {
            split: [pair for pair in pairs if pair.first in network.texts and pair.second in network.texts]
            for split, pairs in lists.pairs.items()
        }
    )
