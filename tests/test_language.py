"""A few phrases that must be read twice stay out of what users read: documents, docstrings, comments and messages.

This is not a style checker: the list is short, each phrase is certain, and a failure says what to write instead.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
PACKAGES = ("lra_data", "reference_models")

# Texts that are written into dataset cards, whose bytes must not change: a function or a constant, by file.
FROZEN = {
    "lra_data/building/card.py": {"_overlap_line"},
    "lra_data/retrieval/task.py": {"family_card"},
}

# In an f-string, what is filled in.
FILLED_IN = "{}"
NUMBER = r"(?:-?\d[\d,.]*|\{\})"


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """A phrase, the plain words for it, and a sentence in both."""

    pattern: str
    instead: str
    example: str
    plain: str


PHRASES = [
    Phrase(
        pattern=r"(?:that|which) is none",
        instead="say what it is: 'a malformed one', 'an invalid line'",
        example="a state of another order, or one that is none",
        plain="a state of another order, or a malformed one",
    ),
    Phrase(
        pattern=rf"from {NUMBER} on",
        instead="'>= N' or 'N or more'",
        example="epochs are counted from 1 on",
        plain="epochs must be >= 1",
    ),
    Phrase(
        pattern="whole number from",
        instead="'an integer >= N'",
        example="expected as epochs a whole number from 1",
        plain="epochs must be an integer >= 1",
    ),
    Phrase(pattern="anew", instead="'again'", example="build the set anew", plain="build the set again"),
    Phrase(
        pattern="stands? (?:in|at|before|behind)",
        instead="'appears in', 'is in', 'comes before'",
        example="No example stands in two splits",
        plain="No example appears in two splits",
    ),
    Phrase(
        pattern="(?:go|goes|going|went) on",
        instead="'continue'",
        example="run the same command again to go on",
        plain="run the same command again to continue",
    ),
    Phrase(
        pattern="doors?",
        instead="the thing itself, such as 'cause' or 'entry point'",
        example="what is found is laid at a door",
        plain="each finding is attributed to a cause",
    ),
    Phrase(
        pattern="hangs? on",
        instead="'depends on'",
        example="the rounding hangs on the last bit",
        plain="the rounding depends on the last bit",
    ),
    Phrase(
        pattern="(?<!-)beside",
        instead="'next to', 'with' or 'compared with'",
        example="a folder beside the set's files",
        plain="a folder next to the set's files",
    ),
    Phrase(
        pattern="is no (?:error|fault|file|folder|name|number|set|task)",
        instead="'is not a(n) …'",
        example="an empty list is no error",
        plain="an empty list is not an error",
    ),
]


def findings(file: str, line: int, text: str) -> Iterator[str]:
    """Each phrase of a text whose first line is `line`: where it is, and what to write instead."""
    for phrase in PHRASES:
        pattern = r"\b" + phrase.pattern.replace(" ", r"\s+") + r"\b"
        for match in re.finditer(pattern, text, re.IGNORECASE):
            place = line + text.count("\n", 0, match.start())
            yield f"{file}:{place}: {' '.join(match.group().split())!r}: write {phrase.instead}"


def strings(node: ast.AST, frozen: set[str]) -> Iterator[tuple[int, str]]:
    """Docstrings and other strings in a piece of code with the line where each begins, but those of frozen names."""
    if isinstance(node, ast.FunctionDef) and node.name in frozen:
        return
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id in frozen:
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
    if isinstance(node, ast.JoinedStr):
        pieces = [piece.value if isinstance(piece, ast.Constant) else FILLED_IN for piece in node.values]
        yield node.lineno, "".join(map(str, pieces))
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from strings(child, frozen)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """The comments of a source; those on lines that follow one another are one text."""
    first, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if lines and line == first + len(lines):
            lines.append(token.string.lstrip("# "))
        else:
            yield first, "\n".join(lines)
            first, lines = line, [token.string.lstrip("# ")]
    yield first, "\n".join(lines)


def findings_in_code(file: str, source: str, frozen: set[str]) -> list[str]:
    texts = [*strings(ast.parse(source), frozen), *comments(source)]
    return [found for line, text in texts for found in findings(file, line, text)]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_documents_are_in_plain_words() -> None:
    assert len(DOCUMENTS) >= 10
    found = [line for path in DOCUMENTS for line in findings(relative(path), 1, path.read_text())]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_in_plain_words(package: str) -> None:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert len(paths) > 50
    found = [
        line
        for path in paths
        for line in findings_in_code(relative(path), path.read_text(), FROZEN.get(relative(path), set()))
    ]
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("file", FROZEN)
def test_only_what_holds_a_phrase_is_frozen(file: str) -> None:
    """A name in FROZEN without a phrase would hide later ones for nothing."""
    source = (ROOT / file).read_text()
    kept = set(findings_in_code(file, source, FROZEN[file]))
    for name in FROZEN[file]:
        assert set(findings_in_code(file, source, FROZEN[file] - {name})) > kept


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.example)
def test_each_phrase_is_found_wherever_it_is_written(phrase: Phrase) -> None:
    text, words = phrase.example, phrase.example.split()
    pages = {"a line": text, "lines": "\n".join(words)}  # prose is wrapped anywhere
    sources = {
        "a docstring": f'"""A module.\n\n{text}.\n"""\n',
        "a string": f'raise ValueError("{text}")\n',
        "an f-string": f'raise ValueError(f"{{x}}: {text}")\n',
        "strings in a row": "x = (" + " ".join(f'"{word} "' for word in words) + ")\n",
        "a comment": f"# {text}\n",
        "comments": "".join(f"# {word}\n" for word in words),
        "a comment behind code": f"x = 2  # {text}\n",
    }
    found = {name: list(findings("file", 1, page)) for name, page in pages.items()}
    found |= {name: findings_in_code("file", source, set()) for name, source in sources.items()}
    for name, lines in found.items():
        assert len(lines) == 1, f"{name}: {lines}"
        place, words_found, rest = lines[0].split("'", 2)
        assert place.startswith("file:")
        assert words_found in text
        assert rest == f": write {phrase.instead}"


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.plain)
def test_the_plain_words_pass(phrase: Phrase) -> None:
    assert not list(findings("page.md", 1, phrase.plain))
    assert not findings_in_code("page.py", f'"""{phrase.plain}."""\n\n# {phrase.plain}\n', set())


def test_a_finding_names_its_line() -> None:
    assert list(findings("page.md", 1, "A line.\n\nBuild it anew.\n")) == ["page.md:3: 'anew': write 'again'"]
    source = '"""A line.\n\nBuild it anew.\n"""\n\nx = 2\n# A line.\n# Build it\n# anew.\ny = "anew"  # anew\n'
    found = findings_in_code("module.py", source, set())
    assert [line.split(":")[1] for line in found] == ["3", "10", "9", "10"]


def test_a_number_that_is_filled_in_is_found() -> None:
    (found,) = findings_in_code("module.py", 'def f(n):\n    return f"an epoch from {n} on"\n', set())
    assert found.startswith("module.py:2: 'from {} on'")


def test_only_frozen_names_are_skipped() -> None:
    source = 'class A:\n    card: str = "stands in"\n    other: str = "stands in"\n\n\ndef line():\n    return "anew"\n'
    assert [found.split(":")[1] for found in findings_in_code("a.py", source, {"card", "line"})] == ["3"]


def test_an_option_is_not_prose() -> None:
    """`--beside DIR` is an option of a benchmark."""
    assert not list(findings("page.md", 1, "`python -m benchmarks.first_use --beside DIR`"))
