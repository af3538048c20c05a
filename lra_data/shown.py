"""How objects show themselves: `repr` is one line, a notebook shows a small table. Both say the same facts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from html import escape
from typing import Any


def as_text(kind: str, facts: Mapping[str, Any]) -> str:
    """`Dataset(task listops/mini, split train, rows 96,000)`, on one line."""
    return f"{kind}({', '.join(f'{name} {_value(value)}' for name, value in facts.items())})"


def as_html(kind: str, facts: Mapping[str, Any]) -> str:
    """A table with a line for each fact; texts are escaped."""
    rows = "".join(
        f"<tr><th style='text-align: left'>{escape(name)}</th><td style='text-align: left'>{escape(_value(value))}</td>"
        "</tr>"
        for name, value in facts.items()
    )
    return f"<table><caption style='text-align: left'><b>{escape(kind)}</b></caption>{rows}</table>"


def array_facts(batch: Any) -> dict[str, str]:
    """The dtype and shape of each array in a named tuple, of any framework."""
    return {name: _array(value) for name, value in batch._asdict().items() if value is not None}


def _array(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    name = getattr(dtype, "name", None) or str(dtype)
    return f"{name.removeprefix('torch.')} {_shape(value)}" if dtype is not None else type(value).__name__


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", ())
    try:
        return str(tuple(shape))
    except (TypeError, ValueError):  # a shape of TensorFlow whose rank is unknown
        return str(shape)


def _value(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return " ".join(text.split())


class Shown(ABC):
    """An object that shows its facts."""

    @abstractmethod
    def shown_facts(self) -> Mapping[str, Any]:
        """What a user wants to see, by name, such as task, split and rows."""

    def __repr__(self) -> str:
        return as_text(type(self).__name__, self.shown_facts())

    def _repr_html_(self) -> str:
        """The facts as a table, for notebooks."""
        return as_html(type(self).__name__, self.shown_facts())
