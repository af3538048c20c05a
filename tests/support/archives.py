"""Unpacks an archive; not what the package does, which reads archives without unpacking them."""

import tarfile
from pathlib import Path
from typing import Any


def unpack(archive: Path, folder: Path) -> None:
    """The files of a tar in a folder. Filters came to Python 3.11 with 3.11.4; Debian 12 has 3.11.2."""
    options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as tar:
        tar.extractall(folder, **options)
