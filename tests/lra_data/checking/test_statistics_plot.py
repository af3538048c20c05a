"""`lra-data stats --plot`: the figures of the text, drawn."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lra_data.checking.set_statistics import statistics
from lra_data.errors import BuildError
from lra_data.store.row_access import open_rows
from tests.support.commands import run

pytest.importorskip("matplotlib")

from lra_data.checking.statistics_plot import figure, plot


def test_the_plot_has_the_figures(small_set: Path, tmp_path: Path) -> None:
    figures = statistics(open_rows(small_set))
    drawn = figure(figures)
    assert [axes.get_title() for axes in drawn.axes if axes.axison] == [
        "labels", "length", "depth", "trivial predictors",
    ]  # fmt: skip
    bars = [patch.get_height() for patch in drawn.axes[0].patches]  # type: ignore[attr-defined]
    shares = [share for facts in figures["splits"].values() for share in facts["label_shares"].values()]
    assert bars == pytest.approx([100 * share for share in shares])
    names = [label.get_text() for label in drawn.axes[3].get_yticklabels()]
    assert names == list(figures["trivial_predictors"])[::-1]
    medians = {figures["splits"][split]["measures"]["length"]["p50"] for split in figures["splits"]}
    assert medians <= {line.get_ydata()[0] for line in drawn.axes[1].lines}  # type: ignore[index]
    assert plot(figures, tmp_path / "missing" / "plot.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "file").touch()
    with pytest.raises(BuildError, match="cannot write"):
        plot(figures, tmp_path / "file" / "plot.png")


def test_the_command_writes_it_and_still_prints(small_set: Path, tmp_path: Path) -> None:
    result = run("stats", str(small_set), "--plot", str(tmp_path / "plot.png"))
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, f"wrote {tmp_path / 'plot.png'}")
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 80
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.size == (1440, 720)


def test_without_matplotlib_it_is_one_line_before_any_work(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "sys.argv = ['lra-data', 'stats', 'listops/lra', '--plot', 'x.png']\n"
        "from lra_data.commands.main import main\nmain()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 2
    assert (
        found.stderr == "lra-data: error: expected the library matplotlib, found none: pip install 'lra-data[plots]', "
        "or '.[plots]' in a checkout\n"
    )
    assert not list(tmp_path.iterdir())
