"""Each tutorial, run as a user would run it; JAX and Lightning are in tests/apart/test_tutorials_apart.py."""

import json
import re
import shlex
import socket
from pathlib import Path

import click
import pytest

from lra_data.commands.main import cli
from reference_models.commands.main import cli as zoo
from tests.support.pages import TUTORIALS, page, run_page
from tests.support.remote_servers import HOST, S3_KEYS, empty_s3_server

PAGES = sorted(path.name for path in TUTORIALS.glob("*.md"))
COMMANDS: dict[str, click.Group] = {"lra-data": cli, "lra-zoo": zoo}
LINES = 120


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
    ours = 0
    for line in "".join(found.commands).splitlines():
        program, *words = shlex.split(re.split(r" (?:>|\|\||&)", line)[0])
        if program == "python" and words[0] != "-m":
            assert words[0] in found.files, line
        if program in COMMANDS:
            command: click.Command | None = COMMANDS[program]
            while isinstance(command, click.Group):
                _, command, words = command.resolve_command(click.Context(command), words)
            assert command is not None
            command.make_context(program, words)
            ours += 1
    assert ours


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
