"""Arguments that must be whole numbers or switches, and the one line for those that are not."""

from typing import Any

from lra_data.errors import UsageError
from lra_data.integers import whole_number

__all__ = ["whole_number", "yes_or_no"]


def yes_or_no(name: str, value: Any) -> bool:
    """The value, which must be True or False: "no" is no False."""
    if not isinstance(value, bool):
        raise UsageError(f"expected as {name} True or False, got {value!r}")
    return value
