"""The Long Range Arena datasets, done right: exact, reproducible, verified, in your own framework.

    import lra_data
    lra_data.build("listops/lra", "data")                       # data/listops/lra
    train = lra_data.load("listops/lra", split="train", root="data")
    train[0]["inputs"], train[0]["label"]

Importing this package loads nothing heavy; each function loads what it needs when it is called.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from lra_data.errors import BuildError, LraDataError, SetError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from lra_data.building.build_set import Progress
    from lra_data.building.engines.local import Engine
    from lra_data.checking.verify import Fault
    from lra_data.loading.dataset import Dataset
    from lra_data.loading.protocol_dataset import ReadDataset
    from lra_data.store.manifest import Manifest
    from lra_data.task import Task

__version__ = "0.1.0"

__all__ = [
    "BuildError",
    "LraDataError",
    "SetError",
    "UsageError",
    "__version__",
    "build",
    "generate",
    "get_task",
    "load",
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
    task: Any,
    split: str,
    start: int,
    stop: int,
    *,
    seed: int = 0,
    raw: Path | str | None = None,
    pairs: Path | str | None = None,
    allow_partial: bool = False,
) -> "pa.RecordBatch":
    """Rows start .. stop - 1 of a split, made now: a pyarrow.RecordBatch with the task's schema.

    raw: the archive or folder of a corpus, for tasks that convert one; without it a downloaded archive is used, and if
    there is none, SetError names it. Generated tasks take none. pairs: a folder of id lists, for Retrieval.
    allow_partial: also from a corpus that is not whole.
    """
    from lra_data.checks import whole_number

    rows = range(whole_number("start", start, 0), whole_number("stop", stop, 0))
    return take(task, split, rows, seed=seed, raw=raw, pairs=pairs, allow_partial=allow_partial)


def take(
    task: Any,
    split: str,
    indices: Sequence[int],
    *,
    seed: int = 0,
    raw: Path | str | None = None,
    pairs: Path | str | None = None,
    allow_partial: bool = False,
) -> "pa.RecordBatch":
    """The rows with these indices, in this order, made now. A generated task makes any index from 0 on."""
    return _over(get_task(task), raw, pairs, allow_partial).take(split, indices, seed=seed)


def build(
    task: Any,
    root: Path | str,
    *,
    formats: Sequence[str] = ("arrow",),
    num_shards: int | None = None,
    workers: int = 1,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    raw: Path | str | None = None,
    pairs: Path | str | None = None,
    allow_partial: bool = False,
    overwrite: bool = False,
    engine: "Engine | None" = None,
    progress: "Callable[[Progress], None] | None" = None,
) -> "Manifest":
    """Write the set ROOT/<task>/<preset>, or finish what an earlier run left. See `lra_data.building.build_set.build`.

    formats: any of "arrow", "parquet", "webdataset". num_shards: files of train. sizes: examples a split, if not the
    preset's. The files are the same bytes for any `workers` and `engine`.

    raw: the archive or folder of a corpus, for tasks that convert one; without it the official archive is downloaded.
    pairs: a folder of id lists, for Retrieval. allow_partial: build what is there of a corpus, and mark the set.
    """
    from lra_data.building.build_set import build

    chosen = get_task(task).with_raw(
        _path(raw), pairs=_path(pairs), allow_partial=allow_partial, fetch=lambda name, there, total: None
    )
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


@overload
def load(
    task: Any,
    *,
    split: str,
    root: Path | str | None = None,
    seed: int = 0,
    raw: Path | str | None = None,
    pairs: Path | str | None = None,
    allow_partial: bool = False,
    protocol: None = None,
    format_name: str | None = None,
    check_digests: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> "Dataset": ...
@overload
def load(
    task: Any,
    *,
    split: str,
    root: Path | str | None = None,
    seed: int = 0,
    raw: Path | str | None = None,
    pairs: Path | str | None = None,
    allow_partial: bool = False,
    protocol: str,
    format_name: str | None = None,
    check_digests: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> "ReadDataset": ...
def load(
    task: Any,
    *,
    split: str,
    root: Path | str | None = None,
    seed: int = 0,
    raw: Path | str | None = None,
    pairs: Path | str | None = None,
    allow_partial: bool = False,
    protocol: str | None = None,
    format_name: str | None = None,
    check_digests: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> "Dataset | ReadDataset":
    """One split of a set under `root`, or without `root` the virtual set, whose rows are made when asked for.

    task: a name, a configuration, or the folder of a built set, ROOT/TASK/PRESET, which needs no `root`. root, or that
    folder, may be an address such as https://… or s3://…; its files come into the local cache, and storage_options go
    to fsspec. split: train, validation or test (val, valid, dev and eval are understood), or a slice such as
    "train[:10%]".

    protocol: read it as another code base does, such as "s4" (docs/protocols.md). format_name: which of the set's
    formats. check_digests: False trusts local files; otherwise each is compared with its digest once a process.
    """
    from lra_data.loading.load import load

    if raw is not None or pairs is not None or allow_partial:
        task = _over(get_task(task), raw, pairs, allow_partial)
    return load(
        task,
        split=split,
        root=root,
        seed=seed,
        protocol=protocol,
        format_name=format_name,
        check_digests=check_digests,
        storage_options=storage_options,
    )


def verify(set_folder: Path | str, *, raw: Path | str | None = None, pairs: Path | str | None = None) -> "list[Fault]":
    """Everything wrong with the shards of a built set: their digests, and the label of every row derived anew.

    raw, pairs: the corpus of a converted set; every row is then also compared with what stands there.
    """
    from lra_data.checking.verify import verify

    return verify(set_folder, raw=_path(raw), pairs=_path(pairs))


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


def _path(given: Path | str | None) -> Path | None:
    from lra_data.paths import optional_path

    return optional_path(given, "a file or folder")


def _over(task: "Task", raw: Path | str | None, pairs: Path | str | None, allow_partial: bool) -> "Task":
    """The task over what was given; a corpus that is only named in the cache is opened when a row is asked for."""
    if raw is None and pairs is None and not allow_partial:
        return task
    return task.with_raw(_path(raw), pairs=_path(pairs), allow_partial=allow_partial)
