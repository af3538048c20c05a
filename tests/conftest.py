"""Shared by all tests: a kernel cache of their own, and small built sets."""

import gc
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# The tests' own, and one for all versions of the sources: `kernel_stamp.py` tells what each kernel is made of.
os.environ["NUMBA_CACHE_DIR"] = str(ROOT / ".pytest_cache" / "numba")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Lines of progress depend on how busy the machine is; tests/lra_data/test_phases.py has its own.
os.environ["LRA_DATA_PROGRESS_S"] = "0"

# test_apart.py runs these in processes of their own; whoever wants one of them by hand sets the variable.
collect_ignore_glob = [] if os.environ.get("LRA_DATA_TESTS_APART") else ["apart/*"]

SMALL_SIZES = {"train": 1500, "validation": 60, "test": 40}
ALL_FORMATS = ("arrow", "parquet", "webdataset")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files in processes of their own: at the end, one worker would wait for the other."""
    items.sort(key=lambda item: item.path.name != "test_apart.py")


def pytest_collection_finish() -> None:
    """Leave what is there by now, with the libraries a million objects, out of the garbage collector's rounds."""
    gc.collect()
    gc.freeze()


# No test may meet, or fill, the cache of whoever runs it.
os.environ["LRA_DATA_CACHE"] = str(ROOT / ".pytest_cache" / "no-downloads")


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small archive for each family that converts a corpus. Tests must not change it."""
    from tests.support.tiny_corpora import write_corpora

    return write_corpora(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a finished listops/mini in all formats, two train shards. Tests must not change it."""
    import lra_data

    root = tmp_path_factory.mktemp("small")
    lra_data.build("listops/mini", root, formats=ALL_FORMATS, num_shards=2, sizes=SMALL_SIZES)
    return root


@pytest.fixture(scope="session")
def small_set(small_root: Path) -> Path:
    """The set folder of `small_root`."""
    return small_root / "listops" / "mini"


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Every visible file of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
