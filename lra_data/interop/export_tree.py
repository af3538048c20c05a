"""Adds files to a folder that may hold other files: all or none, never over existing files, also with concurrent runs.

    TREE/.export/<run>/lock           held while the run is alive
    TREE/.export/<run>/files/…        the run's files, with the names that they will have in TREE
    TREE/.export/<run>/publish.json   written when all files are written; lists each file with its inode

Then the files are moved to TREE, one rename each. A run that is killed before it writes `publish.json` leaves the tree
unchanged. If it is killed later, all files are written: the next run in the tree finishes the moves, or undoes them if
another run took a name meanwhile. The file that a reader opens first is moved last.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import Timeout

from lra_data.errors import UsageError
from lra_data.locking import locked_file
from lra_data.store.manifest import MANIFEST

SCRATCH = ".export"
# Next to the files of sets from partial corpora, whose names cannot tell it; one line per set.
INCOMPLETE = "INCOMPLETE.txt"

_LOCK, _FILES, _JOURNAL = "lock", "files", "publish.json"
_NAMED = 10
# Above this number of files, one sync of everything is faster than one sync per file.
_SYNCED_SINGLY = 1000
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)


class Addition:
    """The files that one run adds. files: the folder that the run writes into."""

    def __init__(self, tree: Path, run: Path) -> None:
        self.files = run / _FILES
        self._tree, self._run = tree, run

    def refuse_what_is_there(self, units: Sequence[str]) -> None:
        """Raise UsageError, naming them, if files or folders of these names are in the tree."""
        taken = [unit for unit in units if _is_taken(self._tree, unit)]
        if taken:
            raise _overwriting(self._tree, taken)

    def publish(self, units: Sequence[str], *, remark: str = "") -> None:
        """Move the files to the tree in this order. remark: a line for INCOMPLETE.txt, written before the last file.

        Raises UsageError, and leaves the tree unchanged, if one of the names exists by now.
        """
        self.refuse_what_is_there(units)
        _sync(self.files)
        entries = [[unit, (self.files / unit).lstat().st_ino] for unit in units]
        _write_synced(self._run / _JOURNAL, json.dumps({"units": entries, "remark": remark}))
        try:
            _move(self._tree, self._run)
        except FileExistsError as error:
            name = os.path.relpath(error.filename2 or error.filename, self._tree)
            raise _overwriting(self._tree, [name]) from error
        finally:
            (self._run / _JOURNAL).unlink(missing_ok=True)


@contextmanager
def addition(tree: Path, tell: Callable[[str], None]) -> Iterator[Addition]:
    """A folder for files that are then published in `tree`; it is removed at the end. `tree` is created if it is new.

    The work of killed runs in the tree is first finished or removed; `tell` receives a line about it.
    """
    if tree.exists() and not tree.is_dir():
        raise UsageError(f"expected a folder, got the file {tree}: export to another folder")
    if (tree / MANIFEST).exists():
        raise UsageError(
            f"expected a folder for exported files, got {tree}, which holds a built set: export to another folder"
        )
    is_new = not tree.exists()
    tree.mkdir(parents=True, exist_ok=True)
    try:
        _finish_killed_runs(tree, tell)
        with ExitStack() as stack:
            run = _begin(tree, stack)
            stack.callback(_remove, run)  # before the lock is released
            (run / _FILES).mkdir()
            yield Addition(tree, run)
    finally:
        _remove_empty(tree / SCRATCH)
        if is_new:
            _remove_empty(tree)


def _begin(tree: Path, stack: ExitStack) -> Path:
    """The run's own folder; `stack` holds its lock."""
    while True:
        run = tree / SCRATCH / uuid4().hex[:12]
        attempt = ExitStack()
        try:
            run.mkdir(parents=True)
            attempt.enter_context(locked_file(run / _LOCK))
        except FileNotFoundError:
            continue  # another run removed the empty folder in between
        if run.exists():
            stack.push(attempt)
            return run
        attempt.close()


def _finish_killed_runs(tree: Path, tell: Callable[[str], None]) -> None:
    for entry in list((tree / SCRATCH).iterdir()) if (tree / SCRATCH).is_dir() else ():
        if not entry.is_dir():
            entry.unlink(missing_ok=True)
            continue
        with suppress(Timeout, FileNotFoundError), locked_file(entry / _LOCK, wait=False) as held:
            if not held:
                continue  # without file locks, a killed run cannot be told from a running one
            if (entry / _JOURNAL).exists():
                tell(_finish(tree, entry))
            _remove(entry)
    _remove_empty(tree / SCRATCH)


def _finish(tree: Path, run: Path) -> str:
    """Move the remaining files of a killed run; returns the outcome in words."""
    try:
        return f"finished an export that was interrupted: {', '.join(_move(tree, run))}"
    except OSError as error:
        return f"removed an export that was interrupted and cannot be finished: {error}"


def _move(tree: Path, run: Path) -> list[str]:
    """Move the files that the journal lists, or continue to move them; on any error the moves are undone."""
    journal = json.loads((run / _JOURNAL).read_text())
    units, remark = journal["units"], journal["remark"]
    has_new_note = False
    try:
        for unit, inode in units:
            source, target = run / _FILES / unit, tree / unit
            if remark and unit == units[-1][0]:
                has_new_note = _note(tree, run, remark)
            if _has_inode(target, inode):
                continue  # moved by the killed run
            target.parent.mkdir(parents=True, exist_ok=True)
            _rename_new(source, target)
    except BaseException:
        for unit, inode in units:
            if _has_inode(tree / unit, inode):
                _take_back(tree, unit, run / _FILES)
        if has_new_note and (tree / INCOMPLETE).read_text(encoding="utf-8") == f"{remark}\n":
            (tree / INCOMPLETE).unlink()
        raise
    return [unit for unit, _ in units]


def _rename_new(source: Path, target: Path) -> None:
    """Rename, but raise FileExistsError instead of replacing; an empty folder may be replaced by a folder."""
    if source.is_dir():
        try:
            source.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise FileExistsError(errno.EEXIST, "there by now", str(target)) from error
            raise
        return
    try:
        # rename() replaces an existing file. link() never does, and the name also appears with the whole content.
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "there by now", str(target)) from error
        source.rename(target)
    else:
        source.unlink()


def _take_back(tree: Path, unit: str, files: Path) -> None:
    target, source = tree / unit, files / unit
    if source.is_file():
        target.unlink()
    else:
        source.parent.mkdir(parents=True, exist_ok=True)
        target.rename(source)
    for parent in target.parents:
        if parent == tree:
            break
        _remove_empty(parent)


def _note(tree: Path, run: Path, remark: str) -> bool:
    """Write one line to INCOMPLETE.txt, unless another set of the same corpus has written it. True for a new file."""
    path = tree / INCOMPLETE
    fresh = run / INCOMPLETE
    fresh.write_text(f"{remark}\n", encoding="utf-8")
    try:
        _rename_new(fresh, path)
    except FileExistsError:
        if remark not in path.read_text(encoding="utf-8").splitlines():
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{remark}\n")
        return False
    return True


def _is_taken(tree: Path, unit: str) -> bool:
    path = tree / unit
    if any(os.path.lexists(parent) and not parent.is_dir() for parent in path.parents if parent != tree):
        return True
    is_empty_folder = path.is_dir() and not path.is_symlink() and not any(path.iterdir())
    return os.path.lexists(path) and not is_empty_folder


def _has_inode(path: Path, inode: int) -> bool:
    return os.path.lexists(path) and path.lstat().st_ino == inode


def _overwriting(tree: Path, taken: Sequence[str]) -> UsageError:
    shown = ", ".join(f"{name}/" if (tree / name).is_dir() else name for name in taken[:_NAMED])
    more = f" and {len(taken) - _NAMED} more" if len(taken) > _NAMED else ""
    return UsageError(
        f"expected a new or empty folder, or one without the files of this set, got {tree}: export to another folder, "
        f"or move away {shown}{more}"
    )


def _sync(folder: Path) -> None:
    """Sync the files to disk before they get their names, so that a power cut leaves no name without content."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    if len(paths) > _SYNCED_SINGLY and hasattr(os, "sync"):
        os.sync()
        return
    for path in paths:
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _write_synced(path: Path, text: str) -> None:
    half = path.with_suffix(".half")
    with half.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # the folder is not empty, or does not exist
        folder.rmdir()
