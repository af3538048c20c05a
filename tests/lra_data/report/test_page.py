"""The page as text: what it holds, that it is closed and escaped, that it asks for nothing, and that it is the same
twice.
"""

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lra_data import BuildError, SetError, UsageError
from lra_data.commands.main import cli
from lra_data.confidence import outward
from lra_data.report import charts
from lra_data.report.bundled_models import bundled_models
from lra_data.report.charts import DIGESTS, uplot
from lra_data.report.contents import SITE_SETS, write_set_page, write_site
from lra_data.report.page import code_spans
from lra_data.report.set_section import FirstRows, set_section
from lra_data.results.published import published
from lra_data.store.row_access import open_rows
from tests.support.report_pages import HARM, Element, read_page, write_result

ROWS = 24


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result whose model has a name that would harm a page."""
    return write_result(tmp_path_factory.mktemp("results") / f"{HARM}.json")


@pytest.fixture(scope="module")
def html(results: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    page = write_site(tmp_path_factory.mktemp("site"), results=[results], limit=ROWS, command=f"lra-data {HARM}")
    return page.read_text()


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A result that is not comparable."""
    return write_result(tmp_path / "results" / "half.json", "listops/mini")


@pytest.fixture(scope="module")
def root(html: str) -> Element:
    return read_page(html)


def test_the_page_is_small(html: str) -> None:
    assert len(html.encode()) < 3e6


def test_the_board_is_in_the_html(root: Element) -> None:
    (table,) = root.all("table", id="scores")
    rows = table.all("tbody")[0].children
    names = {model.card.attention for model in bundled_models()}
    assert len(rows) == len(published()) + len(names) + 1
    shown = [row for row in rows if "hidden" not in row.attributes]
    assert {row.attributes["data-protocol"] for row in shown} == {"comparable"}
    assert {row.attributes["data-protocol"] for row in rows if row not in shown} == {"test", "other"}
    assert root.all("p", id="shown")[0].text == f"{len(shown)} of {len(rows)} rows."
    sources = {item.attributes["id"] for item in root.all("li") if "id" in item.attributes}
    for row in rows:
        (link,) = row.all("a")
        address = link.attributes["href"]
        assert address.startswith("https://") or address.removeprefix("#") in sources


def test_the_users_rows_are_shown_first_and_marked(root: Element) -> None:
    own, *others = root.all("table", id="scores")[0].all("tbody")[0].children
    assert (own.attributes["id"], own.attributes["class"]) == ("yours-1", "own")
    assert "your results" in own.words()
    assert not any(row.attributes.get("class") for row in others)
    (summary,) = root.all("div", class_="yours")
    assert summary.all("a")[0].attributes["href"] == "#yours-1"
    assert "ListOps 37.50 (listops/lra), comparable." in " ".join(summary.words().split())


def test_a_page_without_a_comparable_row_begins_with_all(small_set: Path, half: Path, tmp_path: Path) -> None:
    page = write_set_page(open_rows(small_set), tmp_path / "page", results=[half], limit=ROWS)
    root = read_page(page.read_text())
    rows = root.all("table", id="scores")[0].all("tbody")[0].children
    assert not any("hidden" in row.attributes for row in rows)
    assert rows[0].attributes["data-origin"] == "yours"
    chosen = [option.attributes["value"] for option in root.all("option") if "selected" in option.attributes]
    assert chosen == ["other"]
    assert root.all("p", id="shown")[0].text == f"{len(rows)} of {len(rows)} rows."
    assert "listops/mini is not the benchmark's own set" in root.all("div", class_="yours")[0].words()


def test_the_terminal_says_what_became_of_results(small_set: Path, half: Path, tmp_path: Path) -> None:
    folder = write_result(tmp_path / "model" / "a.json", "listops/mini", seed=7, rows=[0, 40]).parent
    line = ["report", str(small_set), "--rows", "5", "--results", str(half), "--results", str(folder)]
    result = CliRunner().invoke(cli, [*line, "--out", str(tmp_path / "out")], catch_exceptions=False)
    said = "1 row of listops/mini, not comparable: listops/mini is not the benchmark's own set"
    assert result.output.splitlines() == [
        f"{half}: {said}",
        f"{folder}: {said}, another draw of listops/mini, seed 7",
        f"wrote {tmp_path / 'out' / 'index.html'}",
    ]
    page = read_page((tmp_path / "out" / "index.html").read_text())
    made = [code.text for code in page.all("code") if code.text.startswith("lra-data report")]
    # Every option that was given, but the folder; absolute places by their last part.
    assert f"lra-data report {small_set.name} --results half.json --results model --rows 5" in made


def test_the_command_on_the_page_has_every_option(corpora: dict[str, Path], tmp_path: Path) -> None:
    line = ["report", "text/holdout", "--corpus", str(corpora["text"]), "--allow-partial", "--seed", "3"]
    line += ["--date", "a b", "--rows", "5", "--out", str(tmp_path)]
    assert CliRunner().invoke(cli, line, catch_exceptions=False).exit_code == 0
    words = read_page((tmp_path / "index.html").read_text()).words()
    name = corpora["text"].name
    for given in ("--rows 5", "--date 'a b'", "--seed 3", f"--corpus {name}", "--allow-partial"):
        assert given in words.partition("Made by")[2].partition("Versions and files")[0]


def test_code_spans_are_code() -> None:
    assert code_spans("a `<br />` & `b`, c`") == "a <code>&lt;br /&gt;</code> &amp; <code>b</code>, c`"


def test_no_backtick_is_shown(root: Element) -> None:
    (text,) = root.all("article", id="set-text-lra")
    assert "<br />" in [code.text for code in text.all("code")]
    for section in ("board", "tasks", "zoo", "reproduce"):
        assert [text for text in plain_texts(root.all("section", id=section)[0]) if "`" in text] == []


def plain_texts(element: Element) -> list[str]:
    """Texts that are not code, examples or explanations."""
    if element.tag in ("code", "pre"):
        return []
    return [element.text, *(text for child in element.children for text in plain_texts(child))]


def test_intervals_are_rounded_outward(root: Element) -> None:
    shown = root.all("section", id="zoo")[0].words()
    for model in bundled_models():
        low, high = (float(text) / 100 for text in outward(model.card.test.low, model.card.test.high))
        assert low - 1e-9 <= model.card.test.low < low + 1e-4
        assert high - 1e-4 < model.card.test.high <= high + 1e-9
        assert "–".join(outward(model.card.test.low, model.card.test.high)) in shown


def test_where_trivial_predictors_are_measured_is_said(root: Element) -> None:
    for section in ("tasks", "zoo"):
        assert "on validation and test together" in root.all("section", id=section)[0].words()


def test_corrections_are_shown_with_their_reasons(root: Element) -> None:
    corrected = [row for row in published() if row.corrections]
    wrong = [row for row in root.all("table", id="scores")[0].all("tr") if row.all("del")]
    assert len(wrong) == len(corrected) > 0
    notes = " ".join(row.all("details")[0].words() for row in wrong)
    assert all(" ".join(row.remark.split()) in " ".join(notes.split()) for row in corrected)


def test_names_are_escaped(html: str, root: Element) -> None:
    assert "alert(" in html
    assert "<script>alert" not in html
    assert len(root.all("script")) == 4  # the values of the charts, uPlot, and two of ours
    assert [row for row in root.all("th", scope="row") if row.text.startswith("<script>")]


def test_values_in_scripts_cannot_end_them(html: str) -> None:
    (values,) = re.findall(r'<script type="application/json" id="chart-values">(.*?)</script>', html, re.S)
    assert not set("<>&") & set(values)


def test_nothing_is_loaded(root: Element) -> None:
    (policy,) = [meta.attributes["content"] for meta in root.all("meta") if "http-equiv" in meta.attributes]
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    for image in root.all("img"):
        assert image.attributes["src"].startswith("data:image/png;base64,")
        assert image.attributes["alt"]
    assert [link.attributes["href"] for link in root.all("link")] == ["data:,"]
    assert not [script for script in root.all("script") if "src" in script.attributes]
    assert not [element for tag in ("iframe", "object", "svg") for element in root.all(tag)]


def test_every_task_has_its_section(root: Element) -> None:
    titles = [article.attributes["id"] for article in root.all("section", id="tasks")[0].all("article")]
    assert titles == [f"set-{name.replace('/', '-')}" for name in SITE_SETS]
    (pathfinder,) = root.all("article", id="set-pathfinder-32-hard")
    assert len(pathfinder.all("img")) == 2
    assert "marker distance" in pathfinder.words()
    assert "train 24, validation 24, test 24" in pathfinder.words()
    (text,) = root.all("article", id="set-text-lra")
    assert "its corpus was not here" in text.words()


def test_every_bundled_model_is_in_the_zoo_and_its_digest_too(root: Element) -> None:
    words = root.all("section", id="reproduce")[0].words()
    for model in bundled_models():
        assert model.card.sha256 in words
    assert all(digest in words for digest in DIGESTS.values())


def test_the_same_input_gives_the_same_bytes(html: str, results: Path, tmp_path: Path) -> None:
    again = write_site(tmp_path, results=[results], limit=ROWS, command=f"lra-data {HARM}")
    assert again.read_text() == html
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_date_is_printed_if_it_is_given(small_set: Path, tmp_path: Path) -> None:
    rows = open_rows(small_set)
    dated = write_set_page(rows, tmp_path / "a", limit=ROWS, date="2026-12-01").read_text()
    assert "2026-12-01" in dated
    assert "2026-12-01" not in write_set_page(rows, tmp_path / "b", limit=ROWS).read_text()


def test_a_page_of_one_set_has_its_files_and_models(small_set: Path, tmp_path: Path) -> None:
    written = write_set_page(open_rows(small_set), tmp_path, limit=0)
    root = read_page(written.read_text())
    assert root.all("h1")[0].text == "listops/mini"
    assert not root.all("table", id="scores")
    assert "Measured on all rows." in root.words()
    assert "train-00000-of-00002.arrow" in root.all("section", id="reproduce")[0].words()
    assert [article.attributes["id"] for article in root.all("section", id="zoo")[0].all("article")] == [
        "zoo-listops-mini"
    ]


def test_results_on_another_set_are_refused(small_set: Path, results: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected results on listops/mini, got one on listops/lra"):
        write_set_page(open_rows(small_set), tmp_path, results=[results])
    assert not list(tmp_path.iterdir())


def test_a_page_of_a_corpus(corpora: dict[str, Path], tmp_path: Path) -> None:
    line = ["report", "text/holdout", "--corpus", str(corpora["text"]), "--allow-partial", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli, line, catch_exceptions=False)
    assert result.output == f"wrote {tmp_path / 'index.html'}\n"
    words = read_page((tmp_path / "index.html").read_text()).words()
    assert "lra-data build text/holdout --corpus ARCHIVE --allow-partial" in words
    assert str(tmp_path) not in words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["report", "listops/mini", "--set", "listops/mini"], "expected SET or --set, got both"),
        (["report", "--seed", "3"], "got no SET"),
        (["report", "--set", "nothing"], "expected the folder of a built set or a task name"),
        (["report", "--results", "nothing.json"], "nothing.json: expected a result file"),
    ],
)
def test_wrong_use_is_refused(line: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        CliRunner().invoke(cli, [*line, "--out", str(tmp_path / "site")], catch_exceptions=False, standalone_mode=False)
    assert not (tmp_path / "site").exists()


def test_a_place_that_cannot_be_written_is_one_line(small_set: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="expected a folder for the page, got a file"):
        write_set_page(open_rows(small_set), tmp_path / "file", limit=ROWS)
    with pytest.raises(BuildError, match="cannot write"):
        write_set_page(open_rows(small_set), tmp_path / "file" / "below", limit=ROWS)


def test_without_jinja_the_extra_is_named(small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UsageError, match=re.escape("pip install 'lra-data[report]'")):
        write_site(tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_an_older_page_stays_whole_when_writing_fails(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_set_page(open_rows(small_set), tmp_path, limit=ROWS)
    before = page.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BuildError, match="the disk is full"):
        write_set_page(open_rows(small_set), tmp_path, limit=ROWS, date="later")
    assert page.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_first_rows_are_the_first_of_each_split(small_set: Path) -> None:
    rows = open_rows(small_set)
    first = FirstRows(rows, 50)
    assert first.sizes == {"train": 50, "validation": 50, "test": 40}
    for split, size in first.sizes.items():
        assert sum(map(len, first.batches(split))) == size
    with pytest.raises(UsageError, match="expected an index from 0 to 49"):
        first.take("train", [50])


def test_a_histogram_counts_every_row(small_set: Path) -> None:
    section = set_section(open_rows(small_set), limit=0)
    assert [chart.x.partition(",")[0] for chart in section.charts] == ["length", "depth"]
    for chart in section.charts:
        (bars,) = chart.series
        assert sum(bars.y) == section.sizes["train"]


def test_uplot_is_the_one_of_its_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DIGESTS:
        assert uplot(name)
    monkeypatch.setitem(charts.DIGESTS, charts.SCRIPT, "0" * 64)
    with pytest.raises(SetError, match=r"expected uPlot 1\.6\.32"):
        uplot(charts.SCRIPT)
