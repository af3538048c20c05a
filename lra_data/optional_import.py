"""The error of one line for a framework that is not installed."""

import importlib
from types import ModuleType

from lra_data.errors import UsageError


def require(library: str, extra: str) -> ModuleType:
    """Import a library that an extra of this package installs; raises UsageError with the command that installs it."""
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != library.partition(".")[0]:
            raise  # the library is installed, but one of its own imports fails
        raise UsageError(f"expected the library {library}, found none: {installing(extra)}") from error


def installing(extra: str) -> str:
    """The command that installs an extra of this package."""
    return f"pip install 'lra-data[{extra}]', or '.[{extra}]' in a checkout"
