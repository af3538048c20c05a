"""Folders and links for libraries that use a file's path for more than opening it.

`datasets` stores the results of `map` next to the source file. A set may be read-only, and should not contain another
library's files; so the results get a folder of their own. `webdataset` parses a path as a URL and cuts it off at ? and
#; so it gets links.

`hf_files.py` and `webdataset_pipeline.py` use these files.
"""

import errno
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lra_data.notices import say_once

# Exists as long as this process.
_temporary: list[tempfile.TemporaryDirectory[str]] = []

# Characters at which urllib.parse.urlparse ends a path, and characters that it removes.
_CUT = frozenset("?#\n\r\t")


def place_in_datasets_cache(set_folder: Path, library: Any) -> Path:
    """A folder for the files that `datasets` derives from a set: in its own cache, or a temporary folder if that cache
    cannot be written.
    """
    cache = Path(library.config.HF_DATASETS_CACHE)
    try:
        return _place(set_folder, cache / "lra-data")
    except OSError as error:
        say_once(
            f"the cache of datasets, {cache}, cannot be written ({error.strerror or error}): results of map() and "
            "similar methods are kept until this process ends; set HF_DATASETS_CACHE to another folder to keep them"
        )
    return _place(set_folder, _temporary_folder())


def without_cuts(files: Sequence[Path]) -> list[Path]:
    """The files, or links to them, with paths that urlparse does not change."""
    return _temporary_links(files) if any(_CUT.intersection(str(file)) for file in files) else list(files)


def _temporary_links(files: Sequence[Path]) -> list[Path]:
    """The name of a link, derived from its target, so an existing link is always correct."""
    folder = _place(files[0].parent, _temporary_folder())
    return [_link(file, folder / file.name) for file in files]


def _temporary_folder() -> Path:
    if not _temporary:
        _temporary.append(tempfile.TemporaryDirectory(prefix="lra-data-"))
    return Path(_temporary[0].name)


def _place(folder: Path, cache: Path) -> Path:
    name = hashlib.sha256(str(folder).encode(errors="surrogateescape")).hexdigest()[:16]
    place = cache / name
    place.mkdir(parents=True, exist_ok=True)
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
    return place


def _link(file: Path, link: Path) -> Path:
    try:
        link.symlink_to(file)
    except FileExistsError:
        if not link.is_symlink() or os.readlink(link) != str(file):
            raise
    return link
