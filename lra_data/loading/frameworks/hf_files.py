"""A set's Arrow files as a datasets.Dataset, whose caches are in the cache of `datasets`, not next to the files."""

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from lra_data.loading.frameworks.file_links import place_in_datasets_cache
from lra_data.optional_import import require

require("datasets", "hf")

import datasets  # noqa: E402


class SetFiles(datasets.Dataset):  # type: ignore[misc]
    """A datasets.Dataset over files of a set; results of its methods have this class while they read these files."""

    _set_folder: Path

    def _get_cache_file_path(self, fingerprint: str) -> str:
        # `datasets` uses the folder of the first file, and has no option for another folder.
        path = Path(super()._get_cache_file_path(fingerprint))
        if path.parent != self._set_folder:
            return str(path)
        return str(place_in_datasets_cache(self._set_folder, datasets) / path.name)


def open_files(files: Sequence[Path]) -> SetFiles:
    """The files as one dataset, memory-mapped."""
    parts = [datasets.Dataset.from_file(str(path)) for path in files]
    made: SetFiles = _adopt(parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts), files[0].parent)
    return made


def _adopt(made: Any, set_folder: Path) -> Any:
    if type(made) is datasets.Dataset:
        made.__class__ = SetFiles
        made._set_folder = set_folder
    elif isinstance(made, datasets.DatasetDict):
        for part in made.values():
            _adopt(part, set_folder)
    return made


def _keeps_place(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, changed so that its result stores its caches in the same folder."""

    @wraps(method)
    def call(self: SetFiles, *arguments: Any, **options: Any) -> Any:
        return _adopt(method(self, *arguments, **options), self._set_folder)

    return call


for _name, _method in inspect.getmembers(datasets.Dataset, inspect.isfunction):
    is_static = isinstance(inspect.getattr_static(datasets.Dataset, _name), staticmethod)
    if not (is_static or _name.startswith("__") or _name in vars(SetFiles)):
        setattr(SetFiles, _name, _keeps_place(_method))
