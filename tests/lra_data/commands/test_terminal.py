"""What both commands share in a terminal: completion, `--version`, the line of an error, and `--json`."""

import json
import os
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete

import lra_data
from lra_data.commands.main import cli as data_cli
from lra_data.text_tables import named_lines, table_lines
from reference_models.commands import names
from reference_models.commands.main import cli as zoo_cli
from tests.support.commands import run

CLIS = {"lra-data": data_cli, "lra-zoo": zoo_cli}


def completed(program: str, words: list[str], incomplete: str) -> list[tuple[str, str]]:
    found = ShellComplete(CLIS[program], {}, program, "_X").get_completions(words, incomplete)
    return [(item.type, item.value) for item in found]


@pytest.mark.parametrize(
    ("program", "words", "incomplete", "expected"),
    [
        ("lra-data", ["show"], "listops/m", ["listops/mini"]),
        ("lra-data", ["list"], "t", ["text"]),
        ("lra-data", ["build"], "li", ["listops"]),
        ("lra-data", ["build"], "listops/1", ["listops/16k"]),
        ("lra-data", ["build", "pathfinder", "--preset"], "24", ["24-mini"]),
        ("lra-zoo", ["train", "listops/mini"], "linf", ["linformer"]),
        ("lra-zoo", ["train"], "path-", ["path-x"]),
        ("lra-zoo", ["describe", "linear", "--preset"], "x", ["xiong"]),
        ("lra-zoo", ["evaluate"], "listops/mini/linf", ["listops/mini/linformer"]),
    ],
)
def test_a_shell_completes_names(program: str, words: list[str], incomplete: str, expected: list[str]) -> None:
    assert completed(program, words, incomplete) == [("plain", name) for name in expected]


def test_a_shell_completes_folders_where_no_name_fits() -> None:
    assert completed("lra-data", ["verify"], "data/") == [("dir", "data/")]


def test_what_is_completed_without_torch_is_what_there_is() -> None:
    pytest.importorskip("torch")
    from reference_models.attention.catalogue import attention_names
    from reference_models.model import bundled
    from reference_models.model.presets import PRESET_NAMES

    assert list(names.model_names()) == attention_names()
    assert list(names.bundled_names()) == bundled.bundled_names()
    assert set(names.PRESETS) == set(PRESET_NAMES)


@pytest.mark.parametrize("program", CLIS)
def test_version_and_errors_are_alike(program: str) -> None:
    module = {"lra-data": "lra_data", "lra-zoo": "reference_models"}[program]
    code = f"import sys; sys.argv = ['{program}', *sys.argv[1:]]; from {module}.commands.main import main; main()"
    for words, status, line in (
        (["--version"], 0, f"{program}, version {lra_data.__version__}\n"),
        (["lst"], 2, f"{program}: error: No such command 'lst'."),
        ([], 2, f"{program}: error: Missing command. Try `{program} --help`.\n"),
    ):
        found = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert found.returncode == status
        assert f"{found.stdout}{found.stderr}".startswith(line)
        assert (found.stdout == "", found.stderr.count("\n")) == ((False, 0) if status == 0 else (True, 1))


def test_facts_are_also_json() -> None:
    facts = json.loads(run("explain", "listops/mini", "test", "0", "--json").stdout)
    row = lra_data.take("listops/mini", "test", [0]).to_pylist()[0]
    assert (facts["split"], facts["index"], facts["label"]) == ("test", 0, row["label"])
    assert facts["explanation"][0].endswith(f"] = {row['label']}")


def test_every_command_that_prints_facts_has_json() -> None:
    # These write files or scripts, train, or have a format of their own.
    others = {"script", "draw", "efficiency", "train", "pretrain", "sweep", "plot", "report", "results list"}
    for cli in CLIS.values():
        for name, command in cli.commands.items():
            subs = command.commands if isinstance(command, click.Group) and name == "results" else {"": command}
            for sub, each in subs.items():
                if f"{name} {sub}".strip() in others or name == "build":
                    continue
                assert any("--json" in option.opts for option in each.params), f"{name} {sub}"


def test_tables_fit_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["a_long_name_that_stays_whole", "many words " * 9, "1,234"], ["b", "few [x] words", "5"]]
    for width in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = list(table_lines(["name", "text", "count"], rows, right=["count"]))
        assert max(map(len, lines)) <= width
        assert lines[1].startswith("a_long_name_that_stays_whole  many words many words")
        assert lines[-1].split() == ["b", "few", "[x]", "words", "5"]
        text = " ".join(" ".join(line[30:].replace("1,234", "").split()) for line in lines[1:-1])
        assert text.split() == ["many", "words"] * 9
    assert list(named_lines([("a", "one"), ("long", "")])) == ["  a     one", "  long"]


def test_completion_does_not_load_torch() -> None:
    words = {"_LRA_ZOO_COMPLETE": "bash_complete", "COMP_WORDS": "lra-zoo describe lo", "COMP_CWORD": "2"}
    environment = {**os.environ, **words}
    code = (
        "import atexit, sys; sys.argv = ['lra-zoo']\n"
        "atexit.register(lambda: print('torch' in sys.modules))\n"
        "from reference_models.commands.main import main; main()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert found.stdout.split() == ["plain,local", "plain,long_short", "plain,longformer", "False"]
