"""The Long Range Arena datasets: exact, reproducible and verified, for any framework.

    import lra_data
    lra_data.build("listops/lra", "data")                       # data/listops/lra
    train = lra_data.load("listops/lra", split="train", root="data")
    train[0]["inputs"], train[0]["label"]

Importing this package is fast; each function imports what it needs when it is called.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from lra_data.corpus import Corpus
from lra_data.errors import BuildError, LraDataError, SetError, UsageError
from lra_data.version import VERSION

if TYPE_CHECKING:
    import pyarrow as pa

    from lra_data.building.build_set import Progress
    from lra_data.building.engines.engine import Engine
    from lra_data.building.part_builds import BuildStatus, PartReport
    from lra_data.building.plan import SetOptions
    from lra_data.checking.verify import Fault
    from lra_data.loading.dataset import Dataset
    from lra_data.loading.protocol_dataset import ProtocolDataset
    from lra_data.results.score import Score
    from lra_data.store.manifest import Manifest
    from lra_data.task import Task

__version__ = VERSION

__all__ = [
    "BuildError",
    "Corpus",
    "LraDataError",
    "SetError",
    "UsageError",
    "__version__",
    "build",
    "build_part",
    "build_status",
    "finish_build",
    "generate",
    "get_task",
    "load",
    "load_as",
    "score",
    "take",
    "task_names",
    "trivial_predictors",
    "verify",
]


def __dir__() -> list[str]:
    """The public names alone."""
    return sorted(__all__)


def task_names() -> list[str]:
    """The names of all tasks with their presets, such as "listops/lra"."""
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
    """Rows start .. stop - 1 of a split, generated now: a pyarrow.RecordBatch with the task's schema.

    corpus: the corpus, for tasks that convert one; by default the downloaded archive. Raises SetError, naming the
        archive, if it was not downloaded.
    """
    from lra_data.checks import whole_number

    rows = range(whole_number("start", start, 0), whole_number("stop", stop, 0))
    return take(task, split, rows, seed=seed, corpus=corpus)


def take(
    task: Any, split: str, indices: Sequence[int], *, seed: int = 0, corpus: Corpus | Path | str | None = None
) -> "pa.RecordBatch":
    """The rows with these indices, in this order, generated now. A generated task accepts any index >= 0."""
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
    """Write the set ROOT/<task>/<preset>, or finish an earlier run. See `lra_data.building.build_set.build`.

    corpus: the corpus, for tasks that convert one; by default the official archive is downloaded.
    formats: any of "arrow", "parquet", "webdataset".
    num_shards: number of train shards; by default it follows from the size.
    sizes: number of examples by split; by default the preset's.

    The files have the same bytes for any `workers` and `engine`.
    """
    from lra_data.building.build_set import build

    return build(
        _to_build(task, corpus),
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


def build_part(
    task: Any,
    root: Path | str,
    part: str,
    *,
    corpus: Corpus | Path | str | None = None,
    workers: int = 1,
    engine: "Engine | None" = None,
    progress: "Callable[[Progress], None] | None" = None,
    **options: Unpack["SetOptions"],
) -> "PartReport":
    """Make one part of a set, on one machine of many; `finish_build` completes the set.

    part: such as "3/64", counted from 0; "auto/64" or "auto" take the numbers from the variables of a job array.
    options: formats, num_shards, seed and sizes, as for `build`; the same for all parts.
    """
    from lra_data.building.part_builds import build_part
    from lra_data.building.parts import parse_part

    chosen = _to_build(task, corpus)
    return build_part(chosen, root, parse_part(part), workers=workers, engine=engine, progress=progress, **options)


def finish_build(
    task: Any,
    root: Path | str,
    *,
    corpus: Corpus | Path | str | None = None,
    workers: int | None = None,
    engine: "Engine | None" = None,
    progress: "Callable[[Progress], None] | None" = None,
    **options: Unpack["SetOptions"],
) -> "Manifest":
    """Complete a set whose parts were made by `build_part`: duplicates, card, manifest. The files are those of `build`.

    workers, engine: what makes row ranges that are missing; by default they are an error that names the parts.
    """
    from lra_data.building.part_builds import finish_build

    chosen = _to_build(task, corpus)
    return finish_build(chosen, root, workers=workers, engine=engine, progress=progress, **options)


def build_status(where: Path | str) -> "BuildStatus":
    """The state of a set, or of an unfinished build, in a folder or at an address."""
    from lra_data.building.part_builds import build_status

    return build_status(where)


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
    """One split of a set under `root`, or without `root` of the virtual set, whose rows are generated when read.

    task: a name, a configuration, or the folder of a built set, ROOT/TASK/PRESET, which needs no `root`.
    split: train, validation or test (val, valid, dev and eval are accepted), or a slice such as "train[:10%]".
    root: a folder, or an address such as https://… or s3://…, whose files are stored in the local cache.
    corpus: the corpus, for tasks that convert one.
    format_name: one of the set's formats.
    check_digests: False trusts local files; otherwise each file is compared with its digest once per process.
    storage_options: options for fsspec.
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

    protocol: "lra-2020", "s4", "mega" or "nystromformer".

    See `load` for the other arguments. Raises UsageError for a task that the protocol does not read exactly.
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
    """The faults of a built set: its digests are compared, and the label of every row is derived again.

    corpus: the corpus of a converted set; every row is then also compared with it.
    """
    from lra_data.checking.verify import verify

    return verify(set_folder, corpus=corpus)


def score(
    dataset: "Dataset", predictions: Any, *, against: Any = None, trivial: bool = True, command: str | None = None
) -> "Score":
    """Score predictions on a split: accuracy with its 95 % interval, and where it fails. No framework is needed.

    predictions: labels (N,) or logits (N, C) in the split's order, a mapping from index to label or logits, or a file
        (.npy, .csv, .jsonl, .parquet; `lra_data/results/predictions.py` has their columns).
    against: another model's predictions, to compare with by McNemar's test.
    trivial: whether to measure the trivial predictors, for which every row of train is read.
    command: how the predictions were made, for the record.

    Raises UsageError for indices that are missing, doubled or foreign, and for values that are no labels or logits.
    """
    from lra_data.loading.dataset import Dataset
    from lra_data.results.score import score

    if not isinstance(dataset, Dataset):
        raise UsageError(f"expected a dataset such as lra_data.load('listops/mini', split='test'), got {dataset!r}")
    return score(dataset, predictions, against=against, trivial=trivial, command=command)


def trivial_predictors(dataset: "Dataset") -> dict[str, dict[str, float]]:
    """The scores of trivial predictors, which use one feature, such as the root operator: by name, `accuracy`, its 95 %
    interval `low` and `high`, and `examples`.

    They learn from train, and are measured on validation and test of the whole set to which the dataset belongs.
    """
    from lra_data.checking.set_statistics import trivial_predictors
    from lra_data.loading.dataset import Dataset

    if not isinstance(dataset, Dataset):
        raise UsageError(f"expected a dataset such as lra_data.load('listops/mini', split='test'), got {dataset!r}")
    return trivial_predictors(dataset.rows)


def _to_build(task: Any, corpus: Any) -> "Task":
    """The task to build; a corpus that is neither given nor cached is downloaded."""
    from lra_data.corpus import as_corpus

    chosen, given = get_task(task), as_corpus(corpus)
    if given is not None or (chosen.converted and chosen.corpus is None):
        return chosen.over(given or Corpus(), fetch=lambda name, there, total: None)
    return chosen


def _over(task: Any, corpus: Any, *, keep: bool = False) -> Any:
    """The task over a corpus, if a corpus is given; otherwise the task, or with `keep` the unchanged argument."""
    from lra_data.corpus import as_corpus

    given = as_corpus(corpus)
    if given is not None:
        return get_task(task).over(given)
    return task if keep else get_task(task)
