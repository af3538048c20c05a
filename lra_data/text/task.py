"""The Text task: Arrow rows from the reviews, and the other members of a task."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa

from lra_data.arrow_columns import class_label, column, list_column, make_schema, numbers, text_column
from lra_data.corpora.corpus_task import CorpusTask, Origin, ReadCorpus
from lra_data.corpora.fetch import Archive
from lra_data.corpora.hash_order import keyed_order
from lra_data.corpora.tfds_order import tfds_order
from lra_data.family import Makers
from lra_data.task import Preset
from lra_data.task_parts import Statistics, TaskCard, Viewer
from lra_data.text.config import PRESETS, REVIEWS_A_FOLDER, Config
from lra_data.text.near_duplicates import train_groups
from lra_data.text.reviews import RATINGS, Reviews, is_review, label_and_rating, name_of, read_reviews

_ORIGIN = Origin(
    name="aclImdb, the Large Movie Review Dataset v1.0",
    archives=(
        Archive(
            name="aclImdb_v1.tar.gz",
            urls=(
                "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
                "https://dataset.bj.bcebos.com/imdb%2FaclImdb_v1.tar.gz",  # Paddle's copy
            ),
            bytes=84_125_825,
            digest="sha256:c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
        ),
    ),
)


class Text(CorpusTask):
    """IMDb reviews as bytes; the label says whether the reviewer liked the film. See `config.Config`."""

    family: ClassVar[str] = "text"
    version: ClassVar[int] = 1
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    vocabulary: ClassVar[tuple[str, ...] | None] = None
    vocab_size: ClassVar[int] = 256
    num_classes: ClassVar[int] = 2
    origin: ClassVar[Origin] = _ORIGIN
    family_card: ClassVar[TaskCard] = TaskCard(
        title="Text",
        description=(
            "Reviews of films, byte by byte as their authors left them: UTF-8, with `<br />` for line breaks, whole. A "
            "model says whether the review is favourable."
        ),
        label_meaning="1 for a favourable review (7 to 10 stars), 0 for an unfavourable one (1 to 4).",
        label_names=("neg", "pos"),
        source=(
            "Converted by lra-data from aclImdb (ai.stanford.edu/~amaas/data/sentiment), in the order of TensorFlow "
            "Datasets, from which LRA reads it."
        ),
        citation=(
            "Y. Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020, arXiv:2011.04006; "
            "A. L. Maas et al., Learning Word Vectors for Sentiment Analysis, ACL 2011, aclanthology.org/P11-1015"
        ),
        license="other",
        license_page="https://ai.stanford.edu/~amaas/data/sentiment/",
        published="2026-11-24",
        columns={
            "inputs": "the review's bytes, 0 to 255, whole: cutting it is the loader's business",
            "label": "whether the review is favourable",
            "index": "number of the example in its split",
            "rating": "stars, 1 to 10",
            "source": "path of the review in aclImdb_v1.tar.gz",
        },
        history={1: "first release"},
    )

    config: Config

    @cached_property
    def schema(self) -> pa.Schema:
        """inputs list<uint8>, label and index int64, rating int8, source string."""
        return make_schema(
            [
                pa.field("inputs", pa.list_(pa.uint8())),
                class_label("label", self.family_card.label_names),
                pa.field("index", pa.int64()),
                pa.field("rating", pa.int8()),
                pa.field("source", pa.string()),
            ]
        )

    @property
    def viewer(self) -> Viewer:
        """See Task."""
        from lra_data.text.viewer import TextViewer

        return TextViewer(self.family_card.label_names)

    @property
    def statistics(self) -> Statistics:
        """See Task."""
        from lra_data.text.measures import TextStatistics

        return TextStatistics()

    @property
    def max_length(self) -> int:
        """Bytes of the longest review."""
        return 13_704

    @property
    def row_bytes(self) -> int:
        """A mean review has 1,310 bytes."""
        return 1_400

    @property
    def draws_anything(self) -> bool:
        """The rows depend on the seed only with a held-out split."""
        return self.config.holdout > 0

    def read_corpus(self, path: Path) -> ReadCorpus:
        """See CorpusTask."""
        return read_reviews(path)

    def rows(self, split: str, seed: int) -> Sequence[str]:
        """The paths of the split's reviews."""
        return _paths(self.copy, split, self.config.holdout, self.key(seed))

    def take(self, split: str, indices: Sequence[int], *, seed: int = 0) -> pa.RecordBatch:
        """Rows of any indices of the split, in their order."""
        paths = self.chosen(split, indices, seed)
        texts = [self.copy.texts[path] for path in paths]
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        named = [label_and_rating(path) for path in paths]
        return pa.RecordBatch.from_arrays(
            [
                list_column(offsets, np.frombuffer(b"".join(texts), dtype=np.uint8)),
                column(np.array([label for label, _ in named], dtype=np.int64)),
                column(np.fromiter(indices, dtype=np.int64, count=len(paths))),
                column(np.array([rating for _, rating in named], dtype=np.int8)),
                text_column(paths),
            ],
            schema=self.schema,
        )

    def held_out(self, seed: int) -> frozenset[str]:
        """Names such as `neg/609` of the training reviews that are the validation split."""
        return _held_out(self.config.holdout, self.key(seed))

    @property
    def remark(self) -> str:
        """A remark about the splits."""
        if self.config.holdout:
            text = f"Validation is {self.config.holdout:,} reviews cut out of train, near-duplicates kept on one side."
        else:
            text = (
                "**Validation and test are the same 25,000 reviews, as in LRA.** Whoever chooses a model or its "
                "training length by validation has chosen it by test; the preset `holdout` has a validation split of "
                "its own."
            )
        return text

    def problems(self, batch: pa.RecordBatch, *, split: str, seed: int) -> list[tuple[int, str]]:
        """Rows whose text, rating, label or split do not fit the review's path, or whose order is not TFDS's."""
        found = []
        held_out = self.held_out(seed)
        upstream = "train" if split == "train" or (split == "validation" and self.config.holdout) else "test"
        order = {path: place for place, path in enumerate(tfds_order(upstream, batch["source"].to_pylist()))}
        texts = [bytes(memoryview(numbers(row.values))) for row in batch["inputs"]]  # type: ignore[arg-type]
        columns = (batch[name].to_pylist() for name in ("source", "label", "rating", "index"))
        for place, (path, label, rating, index) in enumerate(zip(*columns, strict=True)):
            if not is_review(path):
                found.append((index, f"expected the path of a review as source, got {path!r}"))
                continue
            if label_and_rating(path) != (label, rating):
                found.append((index, f"expected label and rating of {path}, got {label} and {rating}"))
            if rating not in RATINGS[self.family_card.label_names[label]]:
                found.append(
                    (index, f"expected a rating of a {self.family_card.label_names[label]} review, got {rating}")
                )
            if split not in _splits_of(path, held_out):
                found.append((index, f"expected {path} in {' and '.join(_splits_of(path, held_out))}, got {split}"))
            if order[path] != place:
                found.append((index, f"expected the order of TensorFlow Datasets, got {path} at another place"))
            try:
                texts[place].decode()
            except UnicodeDecodeError:
                found.append((index, f"expected UTF-8 text, got other bytes ({path})"))
        return found


MAKERS = Makers(from_config=Text)


@lru_cache(maxsize=8)
def _held_out(holdout: int, key: bytes) -> frozenset[str]:
    """Groups of near-duplicates in keyed order; a group is taken if there is room for its reviews of each label."""
    group_of = {name: group for group in train_groups() for name in group}
    names = [f"{label}/{number}" for label in ("neg", "pos") for number in range(REVIEWS_A_FOLDER)]
    groups = {group_of.get(name, (name,)): None for name in names}
    room = Counter({"neg": holdout // 2, "pos": holdout // 2})
    chosen: set[str] = set()
    order = keyed_order(key, "holdout", [group[0] for group in groups])
    by_first = {group[0]: group for group in groups}
    for first in order:
        wanted = Counter(name.partition("/")[0] for name in by_first[first])
        if all(room[label] >= count for label, count in wanted.items()):
            room -= wanted
            chosen.update(by_first[first])
    return frozenset(chosen)


@lru_cache(maxsize=8)
def _paths(corpus: Reviews, split: str, holdout: int, key: bytes) -> list[str]:
    """The paths of a split's reviews, in the order of TensorFlow Datasets."""
    held_out = _held_out(holdout, key)
    half = "train" if split == "train" or (split == "validation" and holdout) else "test"
    return tfds_order(half, [path for path in corpus.paths(half) if split in _splits_of(path, held_out)])


def _splits_of(path: str, held_out: frozenset[str]) -> tuple[str, ...]:
    """The splits that contain a review."""
    if path.startswith("aclImdb/test/"):
        return ("test",) if held_out else ("validation", "test")
    return ("validation",) if name_of(path) in held_out else ("train",)
