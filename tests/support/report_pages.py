"""Pages of the report for tests, and a reader of their HTML."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HARM = "<script>alert('x')<"
VOID = {"meta", "link", "img", "input", "br"}


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    children: "list[Element]" = field(default_factory=list)
    text: str = ""

    def all(self, tag: str, **attributes: str) -> "list[Element]":
        """Every element beneath with this tag and these attributes; `data_run` is data-run."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        found = [self] if self.tag == tag and wanted.items() <= self.attributes.items() else []
        return found + [inner for child in self.children for inner in child.all(tag, **attributes)]

    def words(self) -> str:
        """The text of the element and all beneath, in one line."""
        return " ".join([self.text, *(child.words() for child in self.children)]).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data


def read_page(html: str) -> Element:
    """The root of a page; every element must be closed."""
    reader = _Reader()
    reader.feed(html)
    assert len(reader.open) == 1
    return reader.open[0]


def result_record(task: str = "listops/lra", **changes: Any) -> dict[str, Any]:
    """A result file of `lra-data score`, of 2,000 test examples of which 750 are right."""
    return {
        "format": 1,
        "task": task,
        "version": 1,
        "seed": 0,
        "split": "test",
        "rows": [0, 2000],
        "identity": "0" * 32,
        "examples": 2000,
        "correct": 750,
        "accuracy": 0.375,
        "low": 0.354,
        "high": 0.3964,
        "trivial": None,
        "against": None,
        "groups": {},
        "calibration": None,
        "versions": {"lra_data": "0.1.0", "numpy": "2.0", "python": "3.11"},
        "command": "lra-data score",
        "date": "2026-11-30",
    } | changes


def write_result(path: Path, task: str = "listops/lra", **changes: Any) -> Path:
    """Write a result file, and its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result_record(task, **changes)))
    return path
