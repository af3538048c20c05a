"""Checks of a caller's arguments: integers and switches.

Integers of NumPy and other libraries are accepted and become plain ints, which JSON and digests expect. bool is
rejected as an integer: True would count as 1, and JSON writes it differently.
"""

import operator
from typing import Any

from lra_data.errors import UsageError, brief


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """The value as an int, also for NumPy integers; raises UsageError for anything else, including True."""
    number = plain_int(value)
    if number is None or number < least or (most is not None and number > most):
        if most is not None:
            raise UsageError(f"{name} must be an integer from {least} to {most}, got {brief(value)}")
        raise UsageError(f"{name} must be an integer >= {least}, got {brief(value)}")
    return number


def plain_int(value: Any) -> int | None:
    """The plain int of an integer of any library; None for any other value."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def yes_or_no(name: str, value: Any) -> bool:
    """The value, which must be True or False: "no" is rejected."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, got {value!r}")
    return value
