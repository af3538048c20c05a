"""Arguments that must be whole numbers, and the one line for those that are not."""

import operator
from typing import Any

from lra_data.errors import UsageError


def whole_number(name: str, value: Any, least: int) -> int:
    """The value as an int, also if NumPy counted it; raises UsageError for anything else, True among them."""
    try:
        if isinstance(value, bool) or operator.index(value) < least:
            raise TypeError
    except TypeError:
        raise UsageError(f"expected as {name} a whole number from {least} on, got {value!r}") from None
    return operator.index(value)


def yes_or_no(name: str, value: Any) -> bool:
    """The value, which must be True or False: "no" is no False."""
    if not isinstance(value, bool):
        raise UsageError(f"expected as {name} True or False, got {value!r}")
    return value
