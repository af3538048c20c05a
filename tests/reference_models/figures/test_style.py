"""How figures are written: formats, fonts, the same bytes again, and one line for what is wrong."""

import sys
from pathlib import Path

import matplotlib
import pytest

from lra_data import UsageError
from reference_models.figures import span, style
from reference_models.model.card import CheckpointError
from tests.support.spans import made_span

BEGINS = {".pdf": b"%PDF-", ".svg": b"<?xml", ".png": b"\x89PNG"}


def drawn(path: Path) -> bytes:
    style.save(span.figure([("full_$x$", made_span())], width=2.5), path)
    return path.read_bytes()


@pytest.mark.parametrize("suffix", style.FORMATS)
def test_the_suffix_is_the_format_and_the_bytes_are_the_same_again(suffix: str, tmp_path: Path) -> None:
    first = drawn(tmp_path / "new" / f"a{suffix}")
    assert first.startswith(BEGINS[suffix])
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.fonttype": "none", "pdf.fonttype": 3}):
        assert drawn(tmp_path / f"b{suffix.upper()}") == first  # the user's own settings do not count
    for word in (b"Date", b"date>", b"Software", b"Producer", matplotlib.__version__.encode()):
        assert word not in first
    if suffix == ".pdf":  # fonts are embedded as TrueType, Type 42; a font of Type 3 would have procedures
        assert b"/FontFile2" in first
        assert b"/Type3" not in first


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.pdf.gz", ".png"])
def test_an_unknown_suffix_is_one_line(name: str) -> None:
    with pytest.raises(UsageError, match=r"ends in one of \.pdf, \.svg, \.png, got '") as error:
        style.figure_file(Path(name))
    assert "\n" not in str(error.value)


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--width must be from 2\.0 to 40 inches, got 1"):
        span.figure([("full", made_span())], width=1)
    with pytest.raises(UsageError, match="give a larger --width, or shorter names"):
        span.figure([("n" * 60, made_span())], width=2)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"a\.png: expected to write .* bytes, got "):
        style.save(span.figure([("full", made_span())], width=2.5), tmp_path / "file" / "a.png")


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError) as error:
        span.figure([("full", made_span())], width=2.5)
    assert str(error.value) == (
        "expected the library matplotlib, found none: pip install 'lra-data[plots]', or '.[plots]' in a checkout"
    )


def test_highlights_are_the_users_own_or_those_that_are_named() -> None:
    own = {"mine": True, "full": False}
    assert style.highlighted(own, None) == {"mine"}
    assert style.highlighted(own, ["full"]) == {"full"}
    with pytest.raises(UsageError, match=r"--highlight must be in the figure: full, mine; got 'ful'"):
        style.highlighted(own, ["ful"])
