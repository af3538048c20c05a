"""Links to shards, for libraries that take a file's path for more than that.

`datasets` keeps what `map` makes beside the file it was made of, also after `select` or `shuffle`, and has no option
for another place. A set may be read-only, and another library's files do not belong into it. Through a link in its own
cache, it keeps them there. `webdataset` reads a path as an address, and cuts it off at ? and #.

Not here: what is done with the files (`hf_datasets.py`, `webdataset_pipeline.py`).
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


def in_datasets_cache(files: Sequence[Path], library: Any) -> list[Path]:
    """Links to these files in the cache of `datasets`, or in a temporary folder where that cannot be written."""
    cache = Path(library.config.HF_DATASETS_CACHE)
    try:
        return _links(files, cache / "lra-data")
    except OSError as error:
        say_once(
            f"the cache of datasets, {cache}, cannot be written ({error.strerror or error}): what map() and its like "
            "make is kept until this process ends; set HF_DATASETS_CACHE to another folder to keep it"
        )
    return _temporary_links(files)


def without_cuts(files: Sequence[Path]) -> list[Path]:
    """The files, or links to them, under paths that urlparse leaves as they are."""
    return _temporary_links(files) if any(_CUT.intersection(str(file)) for file in files) else list(files)


def _temporary_links(files: Sequence[Path]) -> list[Path]:
    if not _temporary:
        _temporary.append(tempfile.TemporaryDirectory(prefix="lra-data-"))
    return _links(files, Path(_temporary[0].name))


def _links(files: Sequence[Path], cache: Path) -> list[Path]:
    """A link's name follows from its target, so that one that is there is right."""
    place = hashlib.sha256(str(files[0].parent).encode(errors="surrogateescape")).hexdigest()[:16]
    folder = cache / place
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    return [_link(file, folder / file.name) for file in files]


def _link(file: Path, link: Path) -> Path:
    try:
        link.symlink_to(file)
    except FileExistsError:
        if not link.is_symlink() or os.readlink(link) != str(file):
            raise
    return link
