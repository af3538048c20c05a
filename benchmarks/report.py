"""Size of the report's page, and how soon headless Chromium paints it, against an empty page in the same run.

    python -m benchmarks.report [--rows 300] [--loads 9]

The board has the published rows and the bundled models; made result files fill it up to --rows. Each load is in a new
context, without a cache; first paint is what the browser reports. Needs Playwright (`pip install --group browser`) and
a Chromium, by default the system's. Prints Markdown.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from lra_data.report.board import board
from lra_data.report.bundled_models import bundled_models
from lra_data.report.contents import write_site
from lra_data.results.published import published

EMPTY = "<!DOCTYPE html><html lang='en'><title>empty</title><p>empty</p></html>"
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def made_result(number: int) -> str:
    """A result file; its score does not matter here."""
    record = {
        "format": 1, "task": "listops/lra", "version": 1, "seed": 0, "split": "test", "rows": [0, 2000],
        "identity": "0" * 32, "examples": 2000, "correct": number, "accuracy": number / 2000, "low": 0.0, "high": 1.0,
        "versions": {}, "command": None, "date": "2026-01-01",
    }  # fmt: skip
    return json.dumps(record)


def paints(browser: Browser, page: Path, loads: int) -> list[float]:
    """Milliseconds until the first paint, of each load."""
    found = []
    for _ in range(loads):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        opened = context.new_page()
        opened.goto(page.as_uri())
        opened.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
        found.append(float(opened.evaluate(PAINT)))
        context.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--loads", type=int, default=9)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    if options.chromium is None:
        parser.error("expected a Chromium, found none: apt-get install chromium, or name one with --chromium")
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        missing = options.rows - len(board(published(), bundled_models()))
        results = [here / f"model-{number}.json" for number in range(max(0, missing))]
        for number, file in enumerate(results):
            file.write_text(made_result(number))
        began = time.process_time()
        page = write_site(here / "site", results=results)
        cpu = time.process_time() - began
        empty = here / "empty.html"
        empty.write_text(EMPTY)
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=arguments)
            floor, ours = (paints(browser, place, options.loads) for place in (empty, page))
            version = browser.version
            browser.close()
        print(
            "| page | rows | size, MB | CPU to make it, s | first paint, ms: median (most) |\n|---|---:|---:|---:|---:|"
        )
        for name, rows, place, made, times in (
            ("empty", "–", empty, "–", floor),
            ("report", f"{options.rows}", page, f"{cpu:.1f}", ours),
        ):
            size = place.stat().st_size / 1e6
            print(f"| {name} | {rows} | {size:.2f} | {made} | {statistics.median(times):.0f} ({max(times):.0f}) |")
        print(f"\nChromium {version}, headless, {options.loads} loads each.")


if __name__ == "__main__":
    main()
