"""The contenders: this package, three other loaders over the same files, and a floor.

Each is an endless stream of shuffled batches of BATCH examples in one process: int32 inputs padded to the longest of
the batch, labels, indices. Peers have favourable settings: they read only the needed columns, and convert to int32 once
a batch instead of once a row. Streams continue over rounds, so that starting an epoch or filling a shuffle buffer
hardly counts.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import grain
import numpy as np
import torch
import webdataset
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

import lra_data
from benchmarks.loading.arrow_rows import ArrowRows
from lra_data.arrow_columns import webdataset_members
from lra_data.loading.dataset import Dataset
from lra_data.loading.frameworks.hf_datasets import to_hf
from lra_data.loading.frameworks.torch_batches import TorchLoader

BATCH = 32
BUFFER = 1000
COLUMNS = ("inputs", "label", "index")


class Given(NamedTuple):
    """A batch of a peer."""

    inputs: Any
    labels: Any
    indices: Any


def ours(dataset: Dataset) -> Iterator[Any]:
    """`TorchLoader`, epoch after epoch."""
    loader = TorchLoader(dataset.batches(BATCH, shuffle=True))
    while True:
        yield from loader


def hugging_face(dataset: Dataset) -> Iterator[Given]:
    """`datasets` with torch format in a torch DataLoader, which reads whole batches with `__getitems__`.

    Without dtype the format would first convert everything to int64.
    """
    data = to_hf(dataset).with_format("torch", columns=list(COLUMNS), dtype=torch.int32)
    loader: DataLoader[Any] = DataLoader(data, batch_size=BATCH, shuffle=True, collate_fn=_collate)
    while True:
        yield from loader


def _collate(examples: Sequence[dict[str, Tensor]]) -> Given:
    rest = (torch.stack([example[name] for example in examples]) for name in COLUMNS[1:])
    return Given(_padded([example["inputs"] for example in examples]), *rest)


def _padded(rows: Sequence[Tensor]) -> Tensor:
    if all(len(row) == len(rows[0]) for row in rows):
        return torch.stack(list(rows)).to(torch.int32)
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True).to(torch.int32)


def tar_files(dataset: Dataset) -> Iterator[Given]:
    """`webdataset` over the tar files; shards are shuffled, and examples in a buffer.

    The index is read from the key, so that the JSON of the other columns need not be parsed. Raw members are shuffled
    before they are decoded.
    """
    member = webdataset_members(dataset.task.schema)["inputs"]
    urls = [str(path) for path in dataset.files()]

    def columns(sample: dict[str, Any]) -> tuple[NDArray[Any], int, int]:
        return sample[member].reshape(-1), sample["cls"], int(sample["__key__"].rpartition("-")[2])

    def collate(samples: Sequence[tuple[NDArray[Any], int, int]]) -> Given:
        inputs, labels, indices = zip(*samples, strict=True)
        return Given(torch.from_numpy(_padded_arrays(inputs)), torch.tensor(labels), torch.tensor(indices))

    files = webdataset.WebDataset(urls, shardshuffle=len(urls), select_files=lambda name: not name.endswith(".json"))
    pipeline = files.shuffle(BUFFER).decode("l8").map(columns).batched(BATCH, collation_fn=collate, partial=True)
    while True:
        yield from pipeline


def _padded_arrays(rows: Sequence[NDArray[Any]]) -> NDArray[np.int32]:
    lengths = [len(row) for row in rows]
    if min(lengths) == max(lengths):
        return np.stack(rows).astype(np.int32)
    inputs = np.zeros((len(rows), max(lengths)), dtype=np.int32)
    for place, row in enumerate(rows):
        inputs[place, : lengths[place]] = row
    return inputs


def grain_rows(dataset: Dataset) -> Iterator[Given]:
    """`grain` over the mapped Arrow rows.

    A MapDataset read in this thread (num_threads=0) is faster than one with reading threads, and than grain.DataLoader
    with worker_count=0.
    """

    def collate(rows: Sequence[tuple[NDArray[Any], int, int]]) -> Given:
        inputs, labels, indices = zip(*rows, strict=True)
        return Given(_padded_arrays(inputs), np.array(labels), np.array(indices))

    data = grain.MapDataset.source(ArrowRows(dataset)).seed(0).shuffle().repeat(None)
    return iter(data.batch(BATCH, batch_fn=collate).to_iter_dataset(grain.ReadOptions(num_threads=0)))


def floor(dataset: Dataset) -> Iterator[Given]:
    """For each batch, one `take` of random rows from an array of all rows, and its conversion to int32."""
    rows = ArrowRows(dataset)
    table = np.stack([rows[place][0] for place in range(len(rows))])
    random = np.random.default_rng(0)
    while True:
        order = random.permutation(len(table))
        for first in range(0, len(table), BATCH):
            places = order[first : first + BATCH]
            yield Given(table.take(places, axis=0).astype(np.int32), None, places)


def streams(name: str, root: Any) -> dict[str, Iterator[Any]]:
    """All contenders over the train split of a set."""
    dataset = lra_data.load(name, split="train", root=root)
    tars = lra_data.load(name, split="train", root=root, format_name="webdataset")
    found: dict[str, Iterator[Any]] = {
        "ours": ours(dataset),
        "datasets": hugging_face(dataset),
        "webdataset": tar_files(tars),
        "grain": grain_rows(dataset),
    }
    if name.startswith("pathfinder"):  # rows of one length
        found["floor"] = floor(dataset)
    return found
