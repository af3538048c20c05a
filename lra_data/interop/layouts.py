"""The layouts that an export can have, and which sets each of them holds."""

from collections.abc import Callable
from dataclasses import dataclass

from lra_data.errors import UsageError, unknown_name
from lra_data.interop.mega_files import mega_units
from lra_data.interop.pickles import SPLIT_NAMES, pickle_file
from lra_data.interop.s4_files import FOLDER
from lra_data.task import Task

# Where S4 has LRA's own files, below its DATA_PATH (state-spaces/s4, src/dataloaders/README.md).
S4_FOLDERS = {"listops": "listops", "retrieval": "aan", "pathfinder": "pathfinder"}


@dataclass(frozen=True)
class Layout:
    """units: the files or folders that a set adds, in the order in which they appear, that which its reader opens first
    last; empty for a set that the layout never held. remark: what else to say of such a set of Image.
    """

    units: Callable[[Task], tuple[str, ...]]
    remark: str = ""


def _release(task: Task) -> tuple[str, ...]:
    return task.release_files[::-1]


def _pickles(layout: str) -> Callable[[Task], tuple[str, ...]]:
    def units(task: Task) -> tuple[str, ...]:
        if task.pickle_name is None:
            return ()
        return tuple(pickle_file(task, layout, split) for split in reversed(SPLIT_NAMES))

    return units


def _s4(task: Task) -> tuple[str, ...]:
    if task.family == "text":
        return (FOLDER,)
    return tuple(f"{S4_FOLDERS[task.family]}/{name}" for name in _release(task))


LAYOUTS = {
    "lra-release": Layout(_release),
    "nystromformer": Layout(_pickles("nystromformer"), remark="nystromformer holds image/lra, in grey"),
    "skyformer": Layout(_pickles("skyformer"), remark="skyformer holds image/lra, in grey"),
    "s4": Layout(_s4, remark="S4 reads CIFAR-10 itself"),
    "mega": Layout(mega_units, remark="mega holds image/rgb, of which it makes its own grey"),
}


def units_of(task: Task, layout: str) -> tuple[str, ...]:
    """The layout's units of the set; raises UsageError, naming the layouts there are, if it holds no such set."""
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    units = LAYOUTS[layout].units(task)
    if units:
        return units
    expected = (
        task.release_absence
        if layout == "lra-release"
        else f"expected a set that the layout {layout} holds, it never held this one"
    )
    remark = LAYOUTS[layout].remark if task.family == "image" else ""
    raise UsageError(f"{task.name}: {expected}: {_others(task)}{f' ({remark})' if remark else ''}")


def _others(task: Task) -> str:
    *most, last = [name for name, layout in LAYOUTS.items() if layout.units(task)] or ["none"]
    if last == "none":
        return "no layout does; build it with --format parquet or webdataset"
    return f"export --layout {', '.join(most)} or {last}" if most else f"export --layout {last}"
