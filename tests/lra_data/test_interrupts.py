"""Ctrl-C: an answer about a second later whatever compiled code runs, with words that are true for the command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.long

ON_AGAIN = "finished shards are kept: run the same command again to continue"
INCOMPLETE = "the check is incomplete: its faults, if any, were not reported"

# Program, arguments, what is stuck, and the words. {out} is a new folder, {set} a built set without one of its shards.
CASES = {
    "build": ("lra-data", "build listops --out {out}", "lra_data.task:Task.generate", ON_AGAIN),
    "build, overwriting": (
        "lra-data",
        "build listops --overwrite --out {out}2",
        "lra_data.task:Task.generate",
        "finished shards are kept: run the same command without --overwrite to continue",
    ),
    "build from the release": (
        "lra-data",
        "build pathfinder --from-release {out}",
        "lra_data.catalogue:from_release",
        ON_AGAIN,
    ),
    "download": (
        "lra-data",
        "build text --out {out}",
        "lra_data.corpora.fetch:fetch_file",
        "the downloaded part is kept: run the same command again to continue",
    ),
    "verify": ("lra-data", "verify listops/mini", "lra_data.task:Task.generate", INCOMPLETE),
    "verify, quick": ("lra-data", "verify --quick {set}", "lra_data.checking.verify:file_faults", INCOMPLETE),
    "repair": (
        "lra-data",
        "repair {set}",
        "lra_data.task:Task.generate",
        "shards repaired so far are kept: run the same command again to repair the rest",
    ),
    "stats": ("lra-data", "stats listops/mini", "lra_data.task:Task.generate", "no figures were printed"),
    "show": ("lra-data", "show listops/mini", "lra_data.store.row_access:VirtualRows.take", ""),
    "explain": ("lra-data", "explain listops/mini test 0", "lra_data.store.row_access:VirtualRows.take", ""),
    "export": (
        "lra-data",
        "export listops/mini --out {out}",
        "lra_data.task:Task.generate",
        "nothing was exported: run the same command again to start over",
    ),
    "audit": ("lra-data", "audit {out}", "lra_data.pathfinder.released.audit:audit", INCOMPLETE),
}
ZOO_CASES = {
    "evaluate": (
        "lra-zoo",
        "evaluate listops/mini/linear listops/mini",
        "reference_models.evaluation.scoring:logits_of",
        "no score was computed",
    ),
    "check": (
        "lra-zoo",
        "check listops/mini",
        "reference_models.drift.check:check",
        "the check is incomplete: its findings, if any, were not reported",
    ),
    "span": (
        "lra-zoo",
        "span listops/mini/linear listops/mini",
        "reference_models.attention_maps.span:attention_span",
        "no figures were printed",
    ),
    "table": ("lra-zoo", "table", "reference_models.results.rows:read_cards", "no table was made"),
    "plot": (
        "lra-zoo",
        "plot scores --out {out}/scores.pdf",
        "reference_models.results.rows:read_cards",
        "no figure was drawn",
    ),
    "efficiency": (
        "lra-zoo",
        "efficiency --models linear --lengths 64 --out {out}/rows.jsonl",
        "reference_models.efficiency.measure:run_process",
        "cells that were measured are kept: run the same command again to continue",
    ),
    "draw": (
        "lra-zoo",
        "draw --out {out}",
        "reference_models.attention_maps.pattern:draw",
        "pictures that were drawn are kept: run the same command again to draw all",
    ),
    "train": (
        "lra-zoo",
        "train listops/mini linear --out {out}",
        "reference_models.training.runs:Source.open",
        "nothing was trained yet: start again with: lra-zoo train listops/mini linear --out {out}",
    ),
    "sweep": (
        "lra-zoo",
        "sweep listops/mini:all --out {out}",
        "reference_models.training.runs:Source.open",
        "nothing was trained yet: start again with: lra-zoo sweep listops/mini:all --out {out}",
    ),
}


def check_words(cases: dict[str, tuple[str, str, str, str]], places: dict[str, Path]) -> None:
    given = []
    for program, arguments, stuck, _ in cases.values():
        filled = [word.format(**places) for word in arguments.split()]
        given.append([program, filled, *stuck.split(":")])
    # As a module: in the path of a script, tests/lra_data would hide the package.
    command = [sys.executable, "-m", "tests.support.interrupted_commands", json.dumps(given)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    for (name, (program, _, _, words)), found in zip(cases.items(), json.loads(result.stdout), strict=True):
        said = words.format(**places)
        assert found["errors"][-1] == f"{program}: interrupted{f'; {said}' if said else ''}", name
        assert found["code"] == 130, name
        assert 0.9 < found["seconds"] < 10, name  # 1 on a machine that has time: the thread waits so long
        assert not any("Traceback" in line for line in found["errors"]), name


def test_every_command_answers_in_compiled_code(small_set: Path, tmp_path: Path) -> None:
    broken = tmp_path / "mini"
    broken.mkdir()
    for path in small_set.iterdir():
        if not path.name.startswith((".", "test-00000")):
            (broken / path.name).symlink_to(path)
    check_words(CASES, {"out": tmp_path / "out", "set": broken})


@pytest.mark.slow
def test_every_command_of_the_models_answers_in_compiled_code(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    check_words(ZOO_CASES, {"out": tmp_path})


def test_an_interrupt_that_a_library_swallows_is_answered() -> None:
    code = (
        "import time, signal, os\n"
        "from lra_data.interrupts import answer_interrupts\n"
        "answer_interrupts('test')\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(60)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (result.returncode, result.stderr) == (130, "test: interrupted\n")


def test_an_ignored_signal_stays_ignored() -> None:
    """As a shell starts its background jobs."""
    code = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from lra_data.interrupts import answer_interrupts\n"
        "answer_interrupts('test'); os.kill(os.getpid(), signal.SIGINT); print('alive')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "alive\n"


def processes_of(group: int) -> list[int]:
    """Processes of a group that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("whole_group", [True, False])
def test_ctrl_c_does_not_wait_for_workers(whole_group: bool, tmp_path: Path) -> None:
    """A terminal sends it to all processes of the group, `kill -INT` to the parent alone. A shard takes a minute."""
    flags = ["--res", "64", "--train", "20000", "--num-shards", "2", "--workers", "2", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "lra_data", "build", "pathfinder", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0)
    while len(list(tmp_path.rglob("*.tmp"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    began = time.monotonic()
    if whole_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)  # until the last worker has closed the pipe
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert errors.strip() == f"lra-data: interrupted; {ON_AGAIN}"
    assert processes_of(process.pid) == []
    assert not list(tmp_path.rglob("*.tmp"))


NOTEBOOK = """
import os, signal, threading, time
from lra_data.building.engines.local_processes import LocalProcesses

threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    list(LocalProcesses(2).run(time.sleep, [600, 600, 600]))
except KeyboardInterrupt:
    print("interrupted, and the process goes on")
"""


def test_an_interrupted_engine_kills_its_workers() -> None:
    """In a notebook, where nothing ends the process. A process of its own: handlers are the whole process's."""
    found = subprocess.run(
        [sys.executable, "-c", NOTEBOOK], capture_output=True, text=True, check=False, timeout=60, process_group=0
    )
    assert (found.returncode, found.stdout) == (0, "interrupted, and the process goes on\n"), found.stderr


@pytest.mark.slow
def test_a_kernel_returns_between_two_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which call makes an attempt decides nothing: neither picture nor expression, nor the counters."""
    import lra_data
    from lra_data.listops import task as listops
    from lra_data.pathfinder import generated_task
    from lra_data.pathfinder.generator import draw_rows

    wanted = {name: lra_data.generate(name, "train", 0, 40) for name in ("pathfinder/32-hard", "listops/mini")}
    counters = generated_task.Pathfinder(lra_data.get_task("pathfinder/32-hard").config)
    indices = wanted["pathfinder/32-hard"]["index"].to_numpy()
    expected = counters.draw("train", indices, 0)["counters"]
    monkeypatch.setattr(draw_rows, "ATTEMPTS_A_CALL", 7)
    monkeypatch.setattr(listops, "ATTEMPTS_A_CALL", 5)
    for name, rows in wanted.items():
        assert lra_data.generate(name, "train", 0, 40).equals(rows)
    assert (counters.draw("train", indices, 0)["counters"] == expected).all()
