"""Places for libraries that take a file's path for more than that.

`datasets` keeps what `map` makes beside the file it was made of. A set may be read-only, and another library's files do
not belong into it. `webdataset` reads a path as an address, and cuts it off at ? and #: it gets links.

Not here: what is done with the files (`hf_files.py`, `webdataset_pipeline.py`).
"""

import errno
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lra_data.notices import say_once

# Lives as long as this process.
_temporary: list[tempfile.TemporaryDirectory[str]] = []

# Where urllib.parse.urlparse ends a path, and what it leaves out.
_CUT = frozenset("?#\n\r\t")


def place_in_datasets_cache(set_folder: Path, library: Any) -> Path:
    """A folder for what `datasets` makes of a set's files, in its own cache, or a temporary one if that cannot be
    written.
    """
    cache = Path(library.config.HF_DATASETS_CACHE)
    try:
        return _place(set_folder, cache / "lra-data")
    except OSError as error:
        say_once(
            f"the cache of datasets, {cache}, cannot be written ({error.strerror or error}): what map() and its like "
            "make is kept until this process ends; set HF_DATASETS_CACHE to another folder to keep it"
        )
    return _place(set_folder, _temporary_folder())


def without_cuts(files: Sequence[Path]) -> list[Path]:
    """The files, or links to them, under paths that urlparse leaves as they are."""
    return _temporary_links(files) if any(_CUT.intersection(str(file)) for file in files) else list(files)


def _temporary_links(files: Sequence[Path]) -> list[Path]:
    """A link's name follows from its target, so that one that is there is right."""
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
