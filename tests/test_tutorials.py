"""Each tutorial, run as a user would run it; JAX and Lightning are in tests/apart/test_tutorials_apart.py."""

import json
import re
import shlex
import socket
from contextlib import suppress
from pathlib import Path

import click
import pytest

from lra_data.commands.main import cli
from reference_models.commands.main import cli as zoo
from tests.conftest import ROOT
from tests.support.pages import TUTORIALS, page, run_page
from tests.support.remote_servers import HOST, S3_KEYS, empty_s3_server

PAGES = sorted(path.name for path in TUTORIALS.glob("*.md"))
ALL_PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
COMMANDS: dict[str, click.Group] = {"lra-data": cli, "lra-zoo": zoo}
LINES = 120


def check_words(line: str) -> bool:
    """Whether a line is a command of ours; raises what click raises for words that the command does not take."""
    program, *words = shlex.split(re.split(r" (?:>|\|\||\||&)", line)[0], comments=True)
    command: click.Command | None = COMMANDS.get(program)
    if command is None:
        return False
    while isinstance(command, click.Group):
        _, command, words = command.resolve_command(click.Context(command), words)
    assert command is not None
    with suppress(click.exceptions.Exit):  # an option such as --layouts has printed its answer
        command.make_context(program, words)
    return True


def test_every_tutorial_is_here() -> None:
    assert {"torch.md", "jax.md", "lightning.md", "publish.md", "papers_table.md", "reproducibility.md"} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_programs_compile_and_options_exist(name: str) -> None:
    """The quick form of running them: the words of each command are words that it takes."""
    text = (TUTORIALS / name).read_text(encoding="utf-8")
    assert text.count("\n") <= LINES
    found = page(TUTORIALS / name)
    for file, code in found.files.items():
        compile(code, file, "exec")
    lines = "".join(found.commands).splitlines()
    programs = [words[1] for words in map(str.split, lines) if words[0] == "python" and words[1] != "-m"]
    assert set(programs) <= set(found.files)
    assert sum(map(check_words, lines))


@pytest.mark.parametrize("name", ALL_PAGES)
def test_commands_of_every_page_take_their_words(name: str) -> None:
    """Those in blocks, indented or fenced. None is run."""
    text = (ROOT / name).read_text(encoding="utf-8")
    fenced = "\n".join(code for _, code in re.findall(r"```(sh|bash)\n(.*?)```", text, re.DOTALL))
    lines = re.findall(r"^(lra-(?:data|zoo) .*)$", fenced, re.M) + re.findall(
        r"^    (lra-(?:data|zoo) .*)$", text, re.M
    )
    for line in lines:
        try:
            assert check_words(line)
        except click.ClickException as error:
            pytest.fail(f"{line}\n{error.format_message()}")


def test_a_wrong_option_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        check_words("lra-data verify SET --quickly  # digests only")


@pytest.mark.slow
@pytest.mark.framework
def test_torch_learns_listops_and_runs_on_pathfinder(tmp_path: Path) -> None:
    printed = run_page(page(TUTORIALS / "torch.md"), tmp_path, timeout_s=1200)[1]
    record = json.loads((tmp_path / "listops-mini.json").read_text())
    name, best = next(iter(record["trivial"].items()))
    assert (name, round(best["accuracy"], 2)) == ("root operator", 0.26)  # as the page says
    assert record["low"] > best["high"]
    assert 0.31 < record["accuracy"] < 0.36  # "about 33 %"
    assert "root operator 26." in printed
    assert json.loads((tmp_path / "pathfinder-mini.json").read_text())["examples"] == 500
    assert (tmp_path / "mine.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.slow
@pytest.mark.framework
def test_own_attention_in_the_table(tmp_path: Path) -> None:
    """All but the measurement of speed, which tests/reference_models/efficiency tests."""
    changed = {
        "lra-zoo train listops/mini --attention": "lra-zoo train listops/mini --steps 20 --threads 1 --attention",
        "lra-zoo efficiency --quick --attention my_attention.py:DecayAttention": "true",
    }
    (printed,) = run_page(page(ROOT / "docs" / "own_attention.md"), tmp_path, changed=changed)
    assert "DecayAttention: all 13 properties that every model needs hold" in printed
    assert "listops/mini: 2,000 examples, root operator alone 26.05" in printed
    assert len(re.findall(r"^DecayAttention +\d\d\.\d\d +\[.*\] ", printed, re.M)) == 1


@pytest.mark.slow
def test_publish(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    with empty_s3_server() as s3:
        printed = run_page(
            page(TUTORIALS / "publish.md"),
            tmp_path,
            changed={"8000": str(port)},
            environment={
                "AWS_ENDPOINT_URL": f"http://{HOST}:{s3}",
                "AWS_ACCESS_KEY_ID": S3_KEYS["key"],
                "AWS_SECRET_ACCESS_KEY": S3_KEYS["secret"],
                "AWS_DEFAULT_REGION": "us-east-1",
                "LRA_DATA_CACHE": str(tmp_path / "cache"),
                "HF_HOME": str(tmp_path / "hf"),
            },
        )
    _, web, s3_printed, hub = printed
    for text in (web, s3_printed):
        assert "2,000 examples of Dataset(" in text
    assert web.splitlines()[-1] != s3_printed.splitlines()[-1]  # other rows
    assert "{'train': 2000, 'validation': 200, 'test': 200}" in hub
    assert list((tmp_path / "cache").rglob("*"))


@pytest.mark.slow
@pytest.mark.framework
def test_papers_table(tmp_path: Path) -> None:
    """The training is one of two steps on short expressions: a card of the benchmark's own takes ten minutes more."""
    steps = "--steps 2 --batch-size 2 --evaluate-every 2 --threads 1"
    changed = {
        "build listops --out": "build listops/mini --train 8 --validation 4 --test 4 --out",
        "train listops/lra nystromformer --preset published": f"train listops/mini nystromformer {steps}",
        "paper/listops/lra": "paper/listops/mini",
        "data/listops/lra": "data/listops/mini",
    }
    rows, readings, settings, trained = run_page(page(TUTORIALS / "papers_table.md"), tmp_path, changed=changed)
    assert "arXiv:2102.03902, Table 3" in rows
    assert "described only" in readings
    assert "num_landmarks" in settings
    assert "listops/mini test: " in trained
    assert re.search(r"^\| nystromformer \|.* \d of 4 \|", trained, re.M)


@pytest.mark.slow
def test_reproducibility(tmp_path: Path) -> None:
    _, rows, damage, order = run_page(page(TUTORIALS / "reproducibility.md"), tmp_path)
    assert re.search(r"rows [0-9a-f]{32}, content [0-9a-f]{64}", rows)
    assert "exit code 1" in damage
    assert order.startswith("320 examples before the stop and 1680 after it")
