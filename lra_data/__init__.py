"""The Long Range Arena datasets, done right: exact, reproducible, verified, in your own framework.

    import lra_data
    lra_data.build("listops/lra", "data")                       # data/listops/lra
    train = lra_data.load("listops/lra", split="train", root="data")
    train[0]["inputs"], train[0]["label"]

Importing this package loads nothing heavy; each function loads what it needs when it is called.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lra_data.corpus import Corpus
from lra_data.errors import BuildError, LraDataError, SetError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from lra_data.building.build_set import Progress
    from lra_data.building.engines.local import Engine
    from lra_data.checking.verify import Fault
    from lra_data.loading.dataset import Dataset
    from lra_data.loading.protocol_dataset import ProtocolDataset
    from lra_data.store.manifest import Manifest
    from lra_data.task import Task

__version__ = "0.1.0"

__all__ = [
    "BuildError",
    "Corpus",
    "LraDataError",
    "SetError",
    "UsageError",
    "__version__",
    "build",
    "generate",
    "get_task",
    "load",
    "load_as",
    "take",
    "task_names",
    "trivial_predictors",
    "verify",
]


def task_names() -> list[str]:
    """Every task with its presets, such as "listops/lra"."""
    from lra_data import catalogue

    return catalogue.task_names()


def get_task(task: Any) -> "Task":
    """The task for a name ("listops/lra", or "listops" for its default preset) or a configuration.

    It has `.schema .sizes .vocabulary .vocab_size .num_classes .max_length .version`. Raises UsageError for an unknown
    name.
    """
    from lra_data import catalogue

    return catalogue.get_task(task)


def generate(
    task: Any, split: str, start: int, stop: int, *, seed: int = 0, corpus: Corpus | Path | str | None = None
) -> "pa.RecordBatch":
    """Rows start .. stop - 1 of a split, made now: a pyarrow.RecordBatch with the task's schema.

    corpus: for tasks that convert one. Without it the downloaded archive is used; if there is none, SetError names it.
    """
    from lra_data.checks import whole_number

    rows = range(whole_number("start", start, 0), whole_number("stop", stop, 0))
    return take(task, split, rows, seed=seed, corpus=corpus)


def take(
    task: Any, split: str, indices: Sequence[int], *, seed: int = 0, corpus: Corpus | Path | str | None = None
) -> "pa.RecordBatch":
    """The rows with these indices, in this order, made now. A generated task makes any index >= 0."""
    return _over(task, corpus).take(split, indices, seed=seed)


def build(
    task: Any,
    root: Path | str,
    *,
    corpus: Corpus | Path | str | None = None,
    formats: Sequence[str] = ("arrow",),
    num_shards: int | None = None,
    workers: int = 1,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    overwrite: bool = False,
    engine: "Engine | None" = None,
    progress: "Callable[[Progress], None] | None" = None,
) -> "Manifest":
    """Write the set ROOT/<task>/<preset>, or finish what an earlier run left. See `lra_data.building.build_set.build`.

    corpus: for tasks that convert one; without it the official archive is downloaded.
    formats: any of "arrow", "parquet", "webdataset".
    num_shards: files of train; by default it follows from the size.
    sizes: examples a split, if not the preset's.

    The files are the same bytes for any `workers` and `engine`.
    """
    from lra_data.building.build_set import build
    from lra_data.corpus import as_corpus

    chosen, given = get_task(task), as_corpus(corpus)
    if given is not None or (chosen.converted and chosen.corpus is None):
        chosen = chosen.over(given or Corpus(), fetch=lambda name, there, total: None)
    return build(
        chosen,
        root,
        formats=formats,
        num_shards=num_shards,
        workers=workers,
        seed=seed,
        sizes=sizes,
        overwrite=overwrite,
        engine=engine,
        progress=progress,
    )


def load(
    task: Any,
    *,
    split: str,
    root: Path | str | None = None,
    seed: int = 0,
    corpus: Corpus | Path | str | None = None,
    format_name: str | None = None,
    check_digests: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> "Dataset":
    """One split of a set under `root`, or without `root` the virtual set, whose rows are made when asked for.

    task: a name, a configuration, or the folder of a built set, ROOT/TASK/PRESET, which needs no `root`.
    split: train, validation or test (val, valid, dev and eval are understood), or a slice such as "train[:10%]".
    root: a folder, or an address such as https://… or s3://…, whose files come into the local cache.
    corpus: for tasks that convert one.
    format_name: which of the set's formats.
    check_digests: False trusts local files; otherwise each is compared with its digest once a process.
    storage_options: given to fsspec.
    """
    from lra_data.loading.load import load

    return load(
        _over(task, corpus, keep=True),
        split=split,
        root=root,
        seed=seed,
        format_name=format_name,
        check_digests=check_digests,
        storage_options=storage_options,
    )


def load_as(
    protocol: str,
    task: Any,
    *,
    split: str,
    root: Path | str | None = None,
    seed: int = 0,
    corpus: Corpus | Path | str | None = None,
    format_name: str | None = None,
    check_digests: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> "ProtocolDataset":
    """One split as another code base reads it: its splits, order and ids (docs/protocols.md).

    protocol: "lra-2020", "s4", "mega" or "nystromformer". The rest as in `load`. Raises UsageError for a task that the
    protocol does not read exactly.
    """
    from lra_data.loading.load import load_as

    return load_as(
        protocol,
        _over(task, corpus, keep=True),
        split=split,
        root=root,
        seed=seed,
        format_name=format_name,
        check_digests=check_digests,
        storage_options=storage_options,
    )


def verify(set_folder: Path | str, *, corpus: Corpus | Path | str | None = None) -> "list[Fault]":
    """Everything wrong with the shards of a built set: their digests, and the label of every row derived again.

    corpus: of a converted set; every row is then also compared with it.
    """
    from lra_data.checking.verify import verify

    return verify(set_folder, corpus=corpus)


def trivial_predictors(dataset: "Dataset") -> dict[str, dict[str, float]]:
    """How far one gets by looking at one trivial thing, such as the root operator: by name, `accuracy`, its 95 %
    interval `low` and `high`, and `examples`.

    Learned from train and measured on validation and test of the whole set that the dataset is a split of.
    """
    from lra_data.checking.set_statistics import trivial_predictors
    from lra_data.loading.dataset import Dataset

    if not isinstance(dataset, Dataset):
        raise UsageError(f"expected a dataset such as lra_data.load('listops/mini', split='test'), got {dataset!r}")
    return trivial_predictors(dataset.rows)


def _over(task: Any, corpus: Any, *, keep: bool = False) -> Any:
    """The task over a corpus, if one is given; otherwise the task, or what stands for it if `keep`."""
    from lra_data.corpus import as_corpus

    given = as_corpus(corpus)
    if given is not None:
        return get_task(task).over(given)
    return task if keep else get_task(task)
