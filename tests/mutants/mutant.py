"""One fault to put into a model's file: `old` text, which stands there once, in place of which `new` is written."""

from typing import NamedTuple

# What several models share.
BASE = "reference_models/attention/base.py"
OPERATIONS = "reference_models/attention/operations.py"
WINDOWS = "reference_models/attention/windows.py"
CONVOLUTIONS = "reference_models/attention/convolutions.py"


class Mutant(NamedTuple):
    """name: what is broken, in a few words. file: of the model's own file if empty, else a path from the root."""

    name: str
    old: str
    new: str
    file: str = ""
