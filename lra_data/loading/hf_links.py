"""Shards as links in the cache of Hugging Face `datasets`, which keeps what `map` makes beside the file it was made of.

A set may be read-only, and another library's files do not belong into it. `datasets` takes the folder of a dataset's
first file for its cache, also after `select` or `shuffle`, and has no option for another; through a link it takes its
own.

Not here: what is done with the files (`hf_datasets.py`).
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


def linked(files: Sequence[Path], library: Any) -> list[Path]:
    """Links to these files in the cache of `datasets`, or in a temporary folder where that cannot be written."""
    place = hashlib.sha256(str(files[0].parent).encode(errors="surrogateescape")).hexdigest()[:16]
    cache = Path(library.config.HF_DATASETS_CACHE)
    try:
        return _links(files, cache / "lra-data" / place)
    except OSError as error:
        say_once(
            f"the cache of datasets, {cache}, cannot be written ({error.strerror or error}): what map() and its like "
            "make is kept until this process ends; set HF_DATASETS_CACHE to another folder to keep it"
        )
    if not _temporary:
        _temporary.append(tempfile.TemporaryDirectory(prefix="lra-data-"))
    return _links(files, Path(_temporary[0].name) / place)


def _links(files: Sequence[Path], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    return [_link(file, folder / file.name) for file in files]


def _link(file: Path, link: Path) -> Path:
    """A link's name follows from its target, so one that is there is right."""
    try:
        link.symlink_to(file)
    except FileExistsError:
        if not link.is_symlink() or os.readlink(link) != str(file):
            raise
    return link
