"""The page in headless Chromium: sorting, filters, keyboard, pictures and charts, at two widths, dark and light; its
HTML by vnu, and its accessibility by axe-core. Screenshots of the last run are in .pytest_cache/report.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lra_data.report.board import COLUMNS, board
from lra_data.report.bundled_models import bundled_models
from lra_data.report.contents import write_site
from lra_data.results.published import published
from lra_data.results.result_files import read_results
from tests.support.browser import SCREENSHOTS, chromium, java, npm_file
from tests.support.report_pages import HARM, write_result

pytestmark = pytest.mark.slow

WIDTHS, SCHEMES = (360, 1440), ("light", "dark")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A comparable result, and one that is not."""
    folder = tmp_path_factory.mktemp("results")
    return [write_result(folder / f"{HARM}.json"), write_result(folder / "half.json", "listops/mini")]


@pytest.fixture(scope="module")
def site(results: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("site"), results=results, limit=200)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Any, site: Path) -> Iterator[Any]:
    """The page, loaded; a test fails if it says anything to the console, or opens a dialog."""
    said: list[str] = []
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    listen(opened, said)
    opened.goto(site.as_uri())
    yield opened
    context.close()
    assert said == []


def listen(page: Any, said: list[str]) -> None:
    def dismiss(dialog: Any) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", dismiss)


def visible_models(page: Any) -> list[str]:
    rows = page.locator("#scores tbody tr:visible th")
    return [name.strip() for name in rows.evaluate_all("all => all.map(th => th.dataset.sort)")]


def head(page: Any, name: str) -> Any:
    return page.locator("#scores thead th", has=page.get_by_role("button", name=name, exact=True))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_is_quiet_and_fits_its_window(browser: Any, site: Path, width: int, scheme: str) -> None:
    said: list[str] = []
    asked: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    listen(page, said)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.as_uri())
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for section in ("board", "tasks", "zoo", "reproduce"):
        page.locator(f"#{section}").evaluate("section => section.scrollIntoView()")
        page.wait_for_timeout(300)
        page.screenshot(path=SCREENSHOTS / f"{section}-{width}-{scheme}.png")
    assert said == []
    assert [address for address in asked if not address.startswith("data:")] == [site.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    # The whole table is reached by scrolling its own container.
    assert page.locator("#board > .scroll").evaluate("box => box.scrollWidth >= box.clientWidth")
    context.close()


def test_a_click_sorts_and_another_turns_it_round(page: Any, results: list[Path]) -> None:
    page.locator("select[name=protocol]").select_option("other")
    rows = board(published(), bundled_models(), read_results(results))
    for task, name in COLUMNS.items():
        keys = sorted((key for row in rows if (key := row.cells[task].key) is not None), reverse=True)
        column = 2 + list(COLUMNS).index(task)
        read = f"rows => rows.map(row => row.children[{column}].dataset.sort)"
        page.get_by_role("button", name=name, exact=True).click()
        shown = page.locator("#scores tbody tr").evaluate_all(read)
        assert [float(key) for key in shown if key] == keys
        assert not any(shown[len(keys) :])
        assert head(page, name).get_attribute("aria-sort") == "descending"
        page.get_by_role("button", name=name, exact=True).click()
        shown = page.locator("#scores tbody tr").evaluate_all(read)
        assert [float(key) for key in shown if key] == keys[::-1]
        assert not any(shown[len(keys) :])
        assert head(page, name).get_attribute("aria-sort") == "ascending"
    assert page.locator("#scores [aria-sort]").count() == 1


def test_names_are_sorted_from_a_with_the_keyboard_alone(page: Any) -> None:
    button = page.get_by_role("button", name="Model", exact=True).first
    button.focus()
    page.keyboard.press("Enter")
    assert head(page, "Model").get_attribute("aria-sort") == "ascending"
    names = visible_models(page)
    page.keyboard.press("Space")
    assert visible_models(page) != names
    assert sorted(visible_models(page)) == sorted(names)


def test_tab_reaches_everything_in_the_order_of_the_page(page: Any) -> None:
    reached = []
    for _ in range(17):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
    assert reached[:5] == ["Skip to the content", "Board", "Tasks", "Models", "Reproduce"]
    assert reached[5:7] == [HARM, "half"]  # links to the user's own rows
    assert reached[7:14] == ["protocol", "family", "year", "origin", "run", "name", "Reset"]
    assert reached[15:] == ["Model", "Year"]  # after the table's container, which scrolls with the arrow keys


def test_filters_show_the_rows_that_they_name(page: Any, results: list[Path]) -> None:
    rows = board(published(), bundled_models(), read_results(results))
    comparable = [row for row in rows if row.protocol == "comparable" or row.origin == "yours"]

    def expect(wanted: list[Any]) -> None:
        found = sorted(visible_models(page))
        assert found == sorted(f"{row.model} {row.variant}".strip() for row in wanted)
        assert page.locator("#shown").text_content().startswith(f"{len(wanted)} of {len(rows)} rows.")

    expect(comparable)
    page.locator("select[name=family]").select_option("state space")
    expect([row for row in comparable if row.family == "state space"])
    page.locator("select[name=year]").select_option("2024")
    expect([row for row in comparable if row.family == "state space" and row.year == "2024"])
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function(f"document.getElementById('shown').textContent.startsWith('{len(comparable)} of')")
    expect(comparable)
    page.locator("select[name=origin]").select_option("bundled")
    expect([])
    assert "more match but are not comparable" in page.locator("#shown").text_content()
    page.locator("select[name=protocol]").select_option("other")
    expect([row for row in rows if row.origin == "bundled"])
    page.locator("select[name=origin]").select_option("")
    page.locator("select[name=run]").select_option("own")
    expect([row for row in rows if not row.run_by.startswith("quoted")])
    page.locator("select[name=run]").select_option("")
    page.locator("input[name=name]").fill("mamba")
    expect([row for row in rows if "mamba" in f"{row.model} {row.variant}".casefold()])


def test_the_users_rows_are_first_whatever_is_comparable_until_the_table_is_sorted(page: Any) -> None:
    assert visible_models(page)[:2] == [f"{HARM} your results", "half your results"]
    page.locator("select[name=protocol]").select_option("test")
    assert "half your results" in visible_models(page)
    page.get_by_role("button", name="Five", exact=True).click()
    page.get_by_role("button", name="ListOps", exact=True).click()
    assert visible_models(page)[0] != f"{HARM} your results"
    row = page.locator("#scores tr.own", has_text="half")
    assert not in_view(row)
    page.locator("input[name=name]").fill("mamba")
    assert row.is_hidden()
    page.locator(".yours a", has_text="half").click()
    assert in_view(row)


def in_view(row: Any) -> bool:
    """Whether all of a row is in its container and below the container's heads."""
    return bool(
        row.evaluate("""row => {
            const [own, box, heads] = [row, row.closest(".scroll"), row.closest("table").tHead.rows[0].cells[1]]
                .map(element => element.getBoundingClientRect());
            return own.top >= heads.bottom - 1 && own.bottom <= Math.min(box.bottom, innerHeight) + 1;
        }""")
    )


def test_a_harmful_name_is_only_a_name(page: Any) -> None:
    page.locator("input[name=name]").fill("alert(")
    assert visible_models(page) == [f"{HARM} your results"]


def test_pictures_are_really_drawn(page: Any) -> None:
    shades = page.locator("img").evaluate_all(
        """pictures => Promise.all(pictures.map(async picture => {
            await picture.decode();
            const canvas = Object.assign(document.createElement("canvas"), {
                width: picture.naturalWidth, height: picture.naturalHeight });
            const context = canvas.getContext("2d");
            context.drawImage(picture, 0, 0);
            return new Set(context.getImageData(0, 0, canvas.width, canvas.height).data).size;
        }))"""
    )
    assert len(shades) == 2
    assert min(shades) > 8


def test_charts_are_drawn_and_follow_their_boxes(page: Any) -> None:
    colours = """plot => {
        const canvas = plot.querySelector("canvas");
        const found = new Set();
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) found.add(data.slice(at, at + 3).join());
        return [...found];
    }"""
    article = page.locator("#zoo-listops-mini")
    figure = article.locator("figure.chart").first
    figure.scroll_into_view_if_needed()
    figure.locator("canvas").wait_for()
    before = set(figure.locator(".plot").evaluate(colours))
    box = article.get_by_role("checkbox", name="linear")
    assert not box.is_checked()
    box.focus()
    page.keyboard.press("Space")
    assert box.is_checked()
    added = set(figure.locator(".plot").evaluate(colours)) - before
    assert "176,84,138" in added  # the fourth colour
    figure.locator("summary").click()
    heads = figure.locator("thead th").all_text_contents()
    assert heads[0] == "training step"
    assert "linear" in heads
    assert figure.locator("tbody tr").count() >= 4
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_timeout(300)
    widths = figure.evaluate("f => [f.querySelector('.plot').clientWidth, f.querySelector('.uplot').offsetWidth]")
    assert widths[0] == widths[1] < 700


def test_every_chart_is_drawn_when_it_comes_into_view(page: Any) -> None:
    figures = page.locator("figure.chart")
    assert figures.count() > 10
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
        figures.nth(number).locator("canvas").wait_for()


def test_without_scripts_all_rows_are_shown(browser: Any, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.as_uri())
    assert page.locator("#scores tbody tr:visible").count() == page.locator("#scores tbody tr").count() > 250
    assert not page.locator("#filters").is_visible()
    assert page.locator("noscript").text_content().startswith("Sorting")
    context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_serious(browser: Any, site: Path, scheme: str) -> None:
    program = npm_file("axe-core/axe.min.js")
    # axe is a script of its own, which the page's policy would refuse.
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(site.as_uri())
    page.add_script_tag(path=program)
    found = page.evaluate("axe.run()")
    context.close()
    assert len(found["passes"]) > 20
    serious = [
        f"{fault['id']}: {fault['nodes'][0]['html'][:120]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_vnu_finds_valid_html(site: Path) -> None:
    checked = subprocess.run(
        [java(), "-jar", npm_file("vnu-jar/build/dist/vnu.jar"), "--format", "json", "--exit-zero-always", site],
        capture_output=True,
        text=True,
        check=True,
    )
    messages = [(message["type"], message["message"]) for message in json.loads(checked.stderr)["messages"]]
    # vnu does not know digests and data: in a policy; the browser does, and says nothing.
    assert [said for said in messages if "Content Security Policy" not in said[1]] == []
