"""load(): the rows of a task's name, a folder or an address, and the part of them that a split's name selects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lra_data.catalogue import aliases, families, get_task, task_from_record, task_names
from lra_data.errors import SetError, UsageError
from lra_data.loading.batch_making.protocol_rows import open_protocol
from lra_data.loading.dataset import Dataset
from lra_data.loading.protocol_dataset import ProtocolDataset
from lra_data.paths import is_address, join_address, local_path
from lra_data.splits import parse_split
from lra_data.store.manifest import MANIFEST
from lra_data.store.row_access import BuiltRows, Rows, VirtualRows, open_rows
from lra_data.task import Task


def load(
    task: Any,
    *,
    split: str,
    root: Path | str | None = None,
    seed: int = 0,
    format_name: str | None = None,
    check_digests: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Open one split of a task's set; `split` may be a slice such as "train[:10%]".

    task: a name, a task, a configuration, or the folder or address of a built set. With a folder or address, leave out
        root and seed.
    root: the folder or address under which `lra-data build --out ROOT` wrote the set. Without it the set is virtual:
        rows are generated when they are read.

    See `BuiltRows` for the other arguments. Raises SetError if ROOT holds no such set, UsageError if the set has
    another seed.
    """
    rows = _rows(task, root, seed, check_digests, storage_options, format_name)
    return Dataset(rows, *parse_split(split, rows.sizes))


def load_as(
    protocol: str,
    task: Any,
    *,
    split: str,
    root: Path | str | None = None,
    seed: int = 0,
    format_name: str | None = None,
    check_digests: bool = True,
    storage_options: Mapping[str, Any] | None = None,
) -> ProtocolDataset:
    """Open one split as another code base reads it, with its splits, order and ids. See `load` for the rest."""
    view = open_protocol(protocol, _rows(task, root, seed, check_digests, storage_options, format_name))
    return ProtocolDataset(view, *parse_split(split, view.sizes))


def _rows(
    task: Any,
    root: Path | str | None,
    seed: int,
    check_digests: bool,
    storage_options: Mapping[str, Any] | None,
    format_name: str | None,
) -> Rows:
    def built(where: Path | str) -> BuiltRows:
        return BuiltRows(where, check_digests=check_digests, storage_options=storage_options, format_name=format_name)

    if root is not None:
        return _under(root, get_task(task), seed, built)
    # A task name means the virtual set, even if the current folder contains a folder of that name.
    if isinstance(task, Path) or (isinstance(task, str) and task not in {*families(), *aliases(), *task_names()}):
        is_set = (
            isinstance(task, Path)
            or is_address(task)
            or (local_path(task, "the folder of a built set or a task name") / MANIFEST).is_file()
        )
        rows = built(task) if is_set else open_rows(task, seed=seed)
        if seed not in (0, rows.seed):
            raise UsageError(f"expected no seed with a set's folder, got {seed}: {task} holds seed {rows.seed}")
        return rows
    if format_name is not None or storage_options is not None:
        raise UsageError("expected root, the folder or address of a built set, with a format or storage_options")
    return VirtualRows(get_task(task), seed)


def _under(root: Path | str, task: Task, seed: int, built: Any) -> BuiltRows:
    """The set of a task under ROOT."""
    rows: BuiltRows
    if isinstance(root, str) and is_address(root):
        rows = built(join_address(root, f"{task.family}/{task.variant}"))
    else:
        folder = local_path(root, "the folder or address of built sets") / task.family / task.variant
        part = folder.with_name(f"{folder.name}-partial")
        if not (folder / MANIFEST).exists() and (part / MANIFEST).exists():
            raise SetError(f"{folder}: expected a built set, found only a set of a partial corpus: load {str(part)!r}")
        rows = built(folder)
    if task.corpus is not None:
        description = rows.manifest.description
        # Raises an error for another corpus.
        task_from_record(description.task, description.version, description.config, corpus=task.corpus).check_corpus()
    if rows.seed != seed:
        raise UsageError(f"expected a set of seed {seed}, got seed {rows.seed} in {rows.where}: pass seed={rows.seed}")
    return rows
