"""Pictures drawn by the original generator, for tests: from `../shared/data` or the folder named by LRA_DATA_RAW."""

import io
import os
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import ROOT
from tests.support.archives import unpack

ARCHIVE = "original_pathfinder_samples.tar.gz"


def archive_path() -> Path:
    """The archive; the calling test is skipped, and says so, where it is not at hand."""
    folder = Path(os.environ.get("LRA_DATA_RAW", ROOT.parent / "shared" / "data"))
    if not (folder / ARCHIVE).is_file():
        pytest.skip(f"no {ARCHIVE} in {folder}: set LRA_DATA_RAW to the folder that holds it")
    return folder / ARCHIVE


@cache
def original_pictures(preset: str) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Pictures (n, pixels) and labels of one resolution, contour 6."""
    side = int(preset.partition("-")[0])
    files: dict[str, bytes] = {}
    with tarfile.open(archive_path()) as tar:
        for member in tar:
            parts = member.name.split("/")
            if f"pathfinder{side}" in parts and member.isfile():
                file = tar.extractfile(member)
                assert file is not None
                files["/".join(parts[-3:] if parts[-1].endswith(".png") else parts[-2:])] = file.read()
    pictures, labels = [], []
    for name, data in files.items():
        if name.endswith(".npy"):
            for line in data.decode().splitlines():
                folder, file_name, _, label, *_ = line.split(" ")
                pictures.append(np.asarray(Image.open(io.BytesIO(files[f"{folder}/{file_name}"]))).ravel())
                labels.append(int(label))
    return np.array(pictures), np.array(labels)


def unpacked(target: Path) -> Path:
    """The archive's folder of resolutions, unpacked below `target`."""
    unpack(archive_path(), target)
    return next(path.parent for path in target.rglob("pathfinder32"))
