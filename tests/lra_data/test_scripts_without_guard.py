"""Builds with workers from a plain script, from standard input and from an interactive session: none needs a guard."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lra_data
from lra_data import BuildError, UsageError
from lra_data.building.engines.local_processes import LocalProcesses
from tests.conftest import ROOT, file_bytes

pytestmark = pytest.mark.long

SIZES = {"train": 40, "validation": 8, "test": 8}
SCRIPT = f"""
import lra_data
print("the script ran")
lra_data.build("listops/mini", "data", workers=2, num_shards=2, sizes={SIZES})
print(len(lra_data.load("listops/mini", split="train", root="data")), "rows")
"""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("one-process")
    lra_data.build("listops/mini", root, num_shards=2, sizes=SIZES)
    return file_bytes(root / "listops" / "mini")


def run(folder: Path, *arguments: str, text: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, input=text, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    "how", ["file", *(pytest.param(how, marks=pytest.mark.slow) for how in ("standard input", "interactive"))]
)
def test_a_script_needs_no_guard(tmp_path: Path, expected: dict[str, bytes], how: str) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    # The current folder is on a script's path. Nothing in it may replace what a worker needs.
    (tmp_path / "pickle.py").write_text("raise ImportError('not the standard library')\n")
    if how == "file":
        (tmp_path / "pickle.py").unlink()  # the script itself would import it
        found = run(tmp_path, "script.py")
    elif how == "standard input":
        found = run(tmp_path, "-P", text=SCRIPT)
    else:  # as a notebook has it: __main__ has no file, and code comes piece by piece
        code = "import code, sys; code.interact(banner='', local={'__name__': '__main__'})"
        found = run(tmp_path, "-P", "-c", code, text=SCRIPT)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("the script ran") == 1
    assert "40 rows" in found.stdout
    assert "Traceback" not in found.stderr
    assert file_bytes(tmp_path / "data" / "listops" / "mini") == expected


def test_the_snippets_of_the_page_run_as_a_script(tmp_path: Path) -> None:
    """What needs a corpus is left out, and the number of its lines is pinned. The rest is one file without a guard."""
    text = (ROOT / "docs" / "commands.md").read_text()
    (snippet,) = re.findall(r"## From Python\n\n```python\n(.*?)```", text, re.DOTALL)
    lines = snippet.replace("listops/lra", "listops/mini").splitlines()
    with_corpus = [line for line in lines if "orpus" in line]
    assert len(with_corpus) == 2
    text = "\n".join(line for line in lines if line not in with_corpus)
    assert "workers=2" in text
    small = f"import lra_data\nlra_data.listops_sizes = {SIZES}\n"
    text = small + text.replace("workers=2,", "workers=2, sizes=lra_data.listops_sizes,")
    (tmp_path / "readme.py").write_text(text)
    found = run(tmp_path, "readme.py")
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_more_workers_than_jobs_and_numpy_counts(tmp_path: Path, expected: dict[str, bytes]) -> None:
    np = pytest.importorskip("numpy")
    lra_data.build("listops/mini", tmp_path, workers=np.int64(9), num_shards=np.int32(2), sizes=SIZES)
    assert file_bytes(tmp_path / "listops" / "mini") == expected


def say_and_double(number: int) -> int:
    print("a library's chatter")  # must not come between two answers
    sys.stdout.flush()
    return 2 * number


def fail(number: int) -> int:
    if number == 1:
        raise UsageError("expected another number, got 1")
    return number


def fail_otherwise(number: int) -> int:
    raise KeyError(number)


def leave(number: int) -> int:
    raise SystemExit(number)


def die(number: int) -> int:
    if number == 3:
        os._exit(7)
    time.sleep(20)
    return number


def test_what_comes_back_from_a_worker() -> None:
    assert sorted(LocalProcesses(2).run(say_and_double, range(5))) == [0, 2, 4, 6, 8]
    with pytest.raises(UsageError, match="expected another number, got 1"):
        list(LocalProcesses(2).run(fail, range(3)))
    with pytest.raises(KeyError) as caught:
        list(LocalProcesses(2).run(fail_otherwise, range(2)))
    assert "In a worker process" in "".join(caught.value.__notes__)
    with pytest.raises(SystemExit):
        list(LocalProcesses(2).run(leave, range(2)))
    with pytest.raises((AttributeError, TypeError)):
        list(LocalProcesses(2).run(lambda number: number, range(2)))


def test_a_dead_worker_ends_the_others_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(BuildError, match="a worker process died"):
        list(LocalProcesses(2).run(die, [2, 3]))
    assert time.monotonic() - began < 15


def test_workers_end_with_their_parent_and_not_by_ctrl_c(tmp_path: Path) -> None:
    code = (
        "import sys; from lra_data.building.engines.local_processes import LocalProcesses\n"
        "from tests.lra_data.test_scripts_without_guard import note_and_sleep\n"
        f"list(LocalProcesses(2).run(note_and_sleep, [({str(tmp_path)!r}, 1), ({str(tmp_path)!r}, 2)]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = [int(path.name) for path in tmp_path.iterdir()]
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker, signal.SIGINT)
        time.sleep(0.3)
        assert all(map(is_running, workers))
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + 20
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))


def note_and_sleep(job: tuple[str, int]) -> int:
    Path(job[0], str(os.getpid())).touch()
    time.sleep(120)
    return job[1]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
