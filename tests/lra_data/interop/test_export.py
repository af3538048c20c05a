"""Which sets each layout holds, what is refused, and what the command line says."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lra_data import UsageError, get_task
from lra_data.commands.main import cli
from lra_data.corpus import Corpus
from lra_data.interop.code_bases import layouts
from lra_data.interop.export import export
from lra_data.pathfinder.config import PRESETS
from lra_data.pathfinder.released.converted_task import open_release
from lra_data.store.row_access import Rows, VirtualRows
from tests.support.foreign_sets import corpus_rows, generated


def sets(corpora: dict[str, Path]) -> dict[str, Rows]:
    names = ("listops/mini", "listops/4k", "pathfinder/32-easy", "path-x")
    found: dict[str, Rows] = {name: generated(name, 2, 1, 1) for name in names}
    for name in ("text/lra", "text/holdout", "image/lra", "image/rgb", "retrieval/by-pair"):
        found[name] = corpus_rows(name, corpora[name.partition("/")[0]])
    return found


def test_a_layout_that_never_held_a_set_lists_what_there_is(corpora: dict[str, Path], tmp_path: Path) -> None:
    held = {
        "listops/mini": {"lra-release", "nystromformer", "skyformer", "s4", "mega"},
        "listops/4k": {"lra-release", "s4", "mega"},
        "pathfinder/32-easy": {"lra-release", "nystromformer", "skyformer", "s4", "mega"},
        "path-x": {"lra-release", "s4", "mega"},
        "text/lra": {"nystromformer", "skyformer", "s4", "mega"},
        "text/holdout": {"nystromformer", "skyformer", "s4", "mega"},
        "image/lra": {"nystromformer", "skyformer"},
        "image/rgb": {"mega"},
        "retrieval/by-pair": {"lra-release", "nystromformer", "skyformer", "s4", "mega"},
    }
    refused = 0
    for name, rows in sets(corpora).items():
        for layout in set(layouts()) - held[name]:
            with pytest.raises(UsageError) as caught:
                export(rows, tmp_path / "out", layout=layout)
            message = str(caught.value)
            assert "\n" not in message
            offered = re.split(r", | or ", message.partition("export --layout ")[2])
            assert set(offered) == held[name]
            refused += 1
    assert refused == 13
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_every_layout_writes_the_units_it_names_and_nothing_else(corpora: dict[str, Path], tmp_path: Path) -> None:
    """What lies outside the units would never be moved into the folder."""
    written = 0
    for name, rows in sets(corpora).items():
        for layout_name, layout in layouts().items():
            if layout.refusal(rows.task):
                continue
            folder = tmp_path / name / layout_name
            paths = export(rows, folder, layout=layout_name)
            units = [folder / unit for unit in layout.tasks[rows.task.family].units(rows.task)]
            assert paths
            assert all(path.is_file() and any(path.is_relative_to(unit) for unit in units) for path in paths)
            assert {*paths, folder / "INCOMPLETE.txt"} >= {path for path in folder.rglob("*") if path.is_file()}
            written += 1
    assert written == 32


@pytest.mark.slow
def test_a_release_needs_margins_and_no_copy(corpora: dict[str, Path], tmp_path: Path) -> None:
    """A set without geometry has no margins; a converted release is there already. Mega wants neither."""
    without = get_task(replace(PRESETS["32-hard"].config, geometry=False))
    export(generated("pathfinder/32-hard"), tmp_path / "release")
    converted = open_release(Corpus(tmp_path / "release", allow_partial=True))
    for task, reason in ((without, "states each picture's margin"), (converted, "a converted release has these files")):
        for layout in ("lra-release", "s4"):
            with pytest.raises(UsageError, match=rf"{layout} .*{reason}.*: export --layout mega, ") as caught:
                export(VirtualRows(task, 0), tmp_path / "out", layout=layout)
            assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "layout"), [("retrieval/by-pair", "mega"), ("text/lra", "s4"), ("listops/mini", "lra-release")]
)
def test_ascii_is_refused_where_it_means_nothing(
    name: str, layout: str, corpora: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"expected --ascii only for retrieval .*: leave --ascii out") as caught:
        export(sets(corpora)[name], tmp_path / "out", layout=layout, ascii_only=True)
    assert layout in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_command_line_names_every_layout_and_tells_what_happened(awkward_papers: Path, tmp_path: Path) -> None:
    runner: Callable[..., Any] = CliRunner().invoke
    assert "--layouts" in runner(cli, ["export", "--help"]).output
    shown = runner(cli, ["export", "--layouts"])
    assert shown.exit_code == 0
    assert [line.split()[0] for line in shown.output.splitlines() if line[0] != " "] == list(layouts())
    asked = ["export", "retrieval", "--corpus", str(awkward_papers), "--allow-partial"]
    result = runner(cli, [*asked, "--out", str(tmp_path / "plain")])
    assert result.exit_code == 0
    assert re.search(r"^lra-data: warning: S4 and S5 cannot read [\d,]+ of [\d,]+ rows: ", result.stderr)
    assert "cannot read" not in result.stdout
    result = runner(cli, [*asked, "--ascii", "--layout", "s4", "--out", str(tmp_path / "ascii")])
    assert result.exit_code == 0
    assert result.stdout.startswith("--ascii: ")
    assert f"wrote {tmp_path}/ascii/aan/new_aan_pairs.train.tsv" in result.stdout.splitlines()
