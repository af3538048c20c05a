"""The published rows: their sources, their averages, and the checker for rows that somebody adds."""

import csv
import io
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from lra_data import UsageError
from lra_data.commands.main import cli
from lra_data.results import published as module
from lra_data.results.published import (
    NO_RULE,
    NOT_KNOWN,
    TASKS,
    Row,
    averages,
    chosen,
    faults,
    found_rule,
    parsed,
    published,
)
from lra_data.results.tables import as_csv, as_json, latex, markdown, terminal

FILE = Path(module.__file__).with_name("published.csv")
ROWS = published()
# Printed averages that follow none of the rules, as (model, average, mean of the printed cells that it is nearest to).
NO_RULE_ROWS = {
    ("Sinkhorn Transformer", "51.39"), ("Sinkhorn Transformer", "51.29"), ("RWKV-4", "72.07"),
    ("DSS-exp no scale", "66.46"), ("LION-S", "86.07"), ("S7", "71.82"), ("Transformer + RoPE", "64.59"),
    ("D-RF", "82.88"), ("Binary S4D", "77.39"), ("ELM neuron", "69.25"), ("S5", "87.04"),
}  # fmt: skip


def test_every_row_has_a_source_and_passes_the_checker() -> None:
    assert len(ROWS) == 235
    assert faults(FILE) == []
    assert all(row.source and (row.arxiv or row.table) for row in ROWS)
    assert len({row.id for row in ROWS}) == len(ROWS)


def test_printed_averages_are_computed_again() -> None:
    assert {(row.model, row.average) for row in ROWS if found_rule(row) == NO_RULE} == NO_RULE_ROWS
    assert all(row.remark for row in ROWS if found_rule(row) == NO_RULE and row.model not in ("S5",))
    checked = [row for row in ROWS if found_rule(row) not in (None, NOT_KNOWN)]
    assert len(checked) > 180
    by_hand = {"1": (54.39, 53.66), "85": (51.36, 51.13)}
    for row in ROWS:
        expected = by_hand.get(row.id)
        if expected is not None:
            own = averages(row)
            assert (round(own.five or 0, 2), round(own.six or 0, 2)) == expected, row.id


def test_our_averages_are_those_of_plain_sums() -> None:
    for row in ROWS:
        cells = row.scores()
        own = averages(row)
        five = [cells.get(task) for task in TASKS[:5]]
        if all(cell and cell != "FAIL" for cell in five):
            total = sum(float(cell or 0) for cell in five)
            assert own.five == pytest.approx(total / 5)
            if "pathx" in cells:
                last = 50.0 if cells["pathx"] == "FAIL" else float(cells["pathx"])
                assert own.six == pytest.approx((total + last) / 6)
            else:
                assert own.six is None
        else:
            assert (own.five, own.six) == (None, None)


def test_known_wrong_cells_have_the_correction_and_the_reason() -> None:
    linformer = next(row for row in ROWS if row.model == "Linformer" and row.arxiv == "2011.04006")
    wrong = [row for row in ROWS if row.model == "Linformer" and row.listops == "16.13"]
    assert len(wrong) == 3
    for row in wrong:
        assert row.scores()["listops"] == linformer.listops == "35.70"
        assert "Linear Transformer" in row.remark
    shifted = next(row for row in ROWS if row.model == "LRU" and row.listops == "89.00")
    assert shifted.scores()["listops"] == "60.20"
    assert "image" not in shifted.scores()
    assert averages(shifted).five is None


def test_what_was_read_in_a_translation_says_so() -> None:
    doubted = [row for row in ROWS if row.read_in == "translation" and row.remark]
    assert doubted
    assert all("as read in a translation" in row.remark for row in doubted)


def test_rows_are_chosen_by_task_model_and_protocol() -> None:
    best = chosen(ROWS, task="listops", protocol="comparable")
    scores = [row.scores()["listops"] for row in best]
    assert [float(score) for score in scores] == sorted(map(float, scores), reverse=True)
    assert {row.pictures for row in best} == {"grey"}
    assert {row.split for row in chosen(ROWS, protocol="test")} == {"test"}
    assert {row.model for row in chosen(ROWS, model="bigbird")} == {"BigBird"}
    assert {row.run_by for row in chosen(ROWS, own=True)} == {"its authors"}
    assert len(chosen(ROWS)) == len(ROWS)


def text_of(rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(vars(rows[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(vars, rows))
    return out.getvalue()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"listops": "101"}, "listops: expected a percentage, FAIL, or nothing, got '101'"),
        ({"pathx": "fail"}, "pathx: expected a percentage"),
        ({"source": ""}, "source: expected a title, got ''"),
        ({"split": "dev"}, "split: expected one of test, validation, unclear, got 'dev'"),
        ({"run_by": "quoted"}, "quoted_from: expected whom the source quotes"),
        ({"corrections": "listops=3"}, "remark: expected the reason of the corrections"),
        ({"corrections": "lisops=3", "remark": "x"}, "corrections: expected task=score with one of listops"),
        ({"year": "22"}, "year: expected a year, or nothing, got '22'"),
        (dict.fromkeys([*TASKS, "average"], ""), "expected a score or an average, got neither"),
    ],
)
def test_faults_of_added_rows_are_named(changes: dict[str, str], fault: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text_of([replace(ROWS[0], **changes)]), encoding="utf-8")
    (found,) = faults(path)
    assert found.startswith(f"{path}, line 2, Transformer: {fault}")
    with pytest.raises(UsageError, match="line 2"):
        parsed(path.read_text(encoding="utf-8"), str(path))
    result = CliRunner().invoke(cli, ["results", "check", str(path)])
    assert result.exit_code == 1
    assert result.output.endswith(f"{path}: 1 fault\n")


def test_other_columns_and_doubled_ids_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("model,score\nx,1\n", encoding="utf-8")
    assert "expected the columns id, model" in faults(path)[0]
    path.write_text(text_of([ROWS[0], ROWS[0]]), encoding="utf-8")
    assert faults(path) == [f"{path}, line 3, Transformer: id: used twice"]
    path.write_text(text_of([ROWS[0]]).rstrip() + ",more\n", encoding="utf-8")
    assert "expected 27 entries, got 28" in faults(path)[0]


def test_a_sound_file_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text_of([replace(ROWS[0], average="54.99")]), encoding="utf-8")
    result = CliRunner().invoke(cli, ["results", "check", str(path)])
    assert result.exit_code == 0
    assert (
        result.output == f"1 Transformer: the printed average, 54.99, follows no known rule\n{path}: 1 row, no fault\n"
    )


def test_formats_hold_the_same_rows() -> None:
    some = [row for row in ROWS if row.remark][:20]
    assert [entry["id"] for entry in csv.DictReader(io.StringIO(as_csv(some)))] == [row.id for row in some]
    assert [entry["five"] for entry in json.loads(as_json(some))] == [
        None if averages(row).five is None else round(averages(row).five or 0, 2) for row in some
    ]
    table = [line for line in markdown(some).splitlines() if line.startswith("|")]
    assert len(table) == len(some) + 2
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    lines = latex([replace(some[0], model="A_B & 50%")]).splitlines()
    assert any(line.startswith(r"A\_B \& 50\%") for line in lines)
    assert lines[0] == r"\begin{tabular}{lrrrrrrrrrl}"


@pytest.mark.parametrize("shape", ["text", "md", "csv", "latex", "json"])
def test_the_command(shape: str) -> None:
    words = ["results", "list", "--task", "pathfinder", "--protocol", "test", "--format", shape]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0
    assert "BigBird" in result.output


def test_the_table_for_the_terminal_fits_and_numbers_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    some = published()
    lines = terminal(some).splitlines()
    assert max(map(len, lines)) <= 80
    starts = [line for line in lines if line.startswith("  [")]
    used = {line.split()[-1] for line in lines[2 : lines.index("")] if line.endswith("]")}
    assert used == {line.split()[0] for line in starts}
    assert len(used) == len({(row.source, row.arxiv, row.table, row.run_by, row.quoted_from) for row in some})
    monkeypatch.setenv("COLUMNS", "50")
    assert all(score in terminal([row]) for row in some for score in (row.pathfinder, row.path256))


def test_wrong_cells_are_marked_and_explained_in_every_table() -> None:
    row = next(row for row in published() if row.model == "LRU" and "text" in row.correction)
    other = next(row for row in published() if not row.correction)
    for shape, marked in ((markdown, f"{row.text}*"), (latex, f"{row.text}*"), (terminal, "LRU*")):
        text = shape([row, other])
        assert marked in text
        assert f"{other.text}*" not in text
        assert row.remark[:20] in " ".join(text.split())


def test_names_are_found_without_accents_and_tasks_by_their_names_elsewhere() -> None:
    assert chosen(published(), model="Nyströmformer") == chosen(published(), model="nystromformer") != []
    found = CliRunner().invoke(cli, ["results", "list", "--task", "path-x", "--format", "json"])
    assert all(row["pathx"] for row in json.loads(found.output))
    advice = CliRunner().invoke(cli, ["results", "list", "--model", "zzz", "--protocol", "all"]).exception
    assert str(advice) == "no published row matches: leave out an option"


def test_a_line_of_another_length_says_how_many_entries_it_has(tmp_path: Path) -> None:
    heads = ",".join(field.name for field in fields(Row))
    for entries in (3, 40):
        (tmp_path / "rows.csv").write_text(f"{heads}\n{','.join('1' * entries)}\n")
        (fault,) = faults(tmp_path / "rows.csv")
        assert fault.endswith(f"expected {len(fields(Row))} entries, got {entries}")
