"""The folder in which downloads are kept."""

import os
from pathlib import Path

from lra_data.errors import UsageError
from lra_data.paths import local_path

CACHE_VARIABLE = "LRA_DATA_CACHE"


def cache_folder() -> Path:
    """The folder of downloads, absolute: $LRA_DATA_CACHE, or the system's cache folder.

    Raises UsageError if the variable does not name a local folder, or if there is no home folder.
    """
    if chosen := chosen_cache_folder():
        return chosen
    from platformdirs import user_cache_dir

    try:
        folder = Path(user_cache_dir("lra-data"))
    except RuntimeError:
        folder = Path("~")
    if not folder.is_absolute():  # without a home, older releases of platformdirs leave the "~"
        raise UsageError(f"expected a home folder for the cache, found none: set {CACHE_VARIABLE} to a folder")
    return folder


def chosen_cache_folder() -> Path | None:
    """The folder that the user chose; None for the system's cache folder, which need not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return local_path(chosen, f"a folder in {CACHE_VARIABLE}").absolute() if chosen else None
