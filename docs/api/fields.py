"""A griffe extension: our docstrings as Markdown.

Docstrings name arguments and fields in lines such as `seed: of generated examples`, longer texts indented. As Markdown
they would run into one paragraph; here they become a list. `<` is a sign, not the beginning of a tag.
"""

import re
from typing import Any

import griffe

_FIELD = re.compile(r"(?P<names>\w+(?:, (?:\w+|…))*|`[^`]+`): (?=\S)")


def markdown(text: str) -> str:
    """The text with each paragraph of fields as a list."""
    return "\n\n".join(_paragraph(paragraph) for paragraph in text.split("\n\n"))


def _paragraph(paragraph: str) -> str:
    if paragraph.startswith("    "):  # code
        return paragraph
    prose = (part if place % 2 else part.replace("<", "&lt;") for place, part in enumerate(paragraph.split("`")))
    lines = "`".join(prose).split("\n")
    starts = [_FIELD.match(line) for line in lines]
    indented = [line.startswith("    ") for line in lines]
    if starts[0] is None or not all(start or further for start, further in zip(starts, indented, strict=True)):
        return "\n".join(lines)
    return "\n".join(
        line if start is None else f"- **{start['names'].strip('`')}**: {line[start.end() :]}"
        for line, start in zip(lines, starts, strict=True)
    )


class Fields(griffe.Extension):
    """Applies `markdown` to every docstring."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """See griffe."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)
