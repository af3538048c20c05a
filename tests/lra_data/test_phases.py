"""Phases of a command: remaining times, compilation as a phase of its own, and lines where there is no terminal."""

import os
import pickle
import time
from pathlib import Path

import pytest

import lra_data
from lra_data import notices, phases
from lra_data.building.engines.local_processes import LocalProcesses
from lra_data.checking.verify import verify
from lra_data.errors import UsageError
from lra_data.phases import Phase, Phases, shown, shown_time
from lra_data.store.row_access import open_rows


class Clock:
    """A clock that tests set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_the_remaining_time_follows_from_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = Clock(monkeypatch), Phases()
    found.tell("verifying", 0, 1000)
    assert found.all["verifying"].left(clock.now) is None
    clock.now += 10
    found.tell("verifying", 200, 1000)
    assert found.all["verifying"].left(clock.now) == 40
    clock.now += 15  # nothing was told meanwhile, and time passes
    assert found.all["verifying"].left(clock.now) == 25
    assert found.all["verifying"].line(clock.now) == "verifying: 200 of 1,000, 25 s left"
    clock.now += 1000
    assert found.all["verifying"].left(clock.now) == 0


def test_kept_rows_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = Clock(monkeypatch), Phases()
    found.tell("building", 0, None)
    found.tell("building", 600, 1000, free=600)
    clock.now += 10
    found.tell("building", 700, 1000, free=600)
    assert found.all["building"].left(clock.now) == 30


def test_compilation_is_a_phase_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = Clock(monkeypatch), Phases()
    found.tell("reading", 0, 100)
    found.wait("compiling kernels")
    assert found.at_work() is found.all["compiling kernels"]
    clock.now += 30
    found.wait(None)
    assert found.at_work() is found.all["reading"]
    assert found.all["compiling kernels"].seconds == 30
    clock.now += 5
    found.tell("reading", 50, 100)
    assert found.all["reading"].left(clock.now) == 5


def test_a_phase_that_begins_again_forgets_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, found = Clock(monkeypatch), Phases()
    found.tell("reading train", 0, 10)
    clock.now += 100
    found.tell("reading train", 10, 10)
    found.tell("reading train", 0, 10)
    clock.now += 1
    found.tell("reading train", 5, 10)
    assert found.all["reading train"].left(clock.now) == 1


def test_times_in_words() -> None:
    assert [shown_time(seconds) for seconds in (0.4, 59, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 5 min"]
    assert Phase("opening", since=5.0).line(8.0) == "opening: 3 s so far"


def test_lines_come_every_few_seconds_and_only_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(phases.VARIABLE)
    with shown() as tell:
        tell("quick", 1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv(phases.VARIABLE, "0.05")
    with shown() as tell:
        tell("slow", 1, 2)
        notices.begin_wait("compiling")
        time.sleep(0.2)
        notices.end_wait()
        time.sleep(0.2)
    out, err = capsys.readouterr()
    assert out == ""
    assert {line.partition(":")[0] for line in err.splitlines()} == {"slow", "compiling"}
    with shown(silent=True) as tell:
        tell("slow", 1, 2)
        time.sleep(0.1)
    monkeypatch.setenv(phases.VARIABLE, "0")
    with shown() as tell:
        tell("slow", 1, 2)
        time.sleep(0.1)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv(phases.VARIABLE, "often")
    with (
        pytest.raises(UsageError, match=r"LRA_DATA_PROGRESS_S must be a number of seconds, or 0 .*, got 'often'"),
        shown(),
    ):
        pass


def test_bars_are_on_stderr_alone_and_leave_nothing(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    child = os.fork()
    if child == 0:
        os.dup2(theirs, 2)
        with open(2, "w", closefd=False) as terminal, open(tmp_path / "out", "w") as out:
            import sys

            sys.stderr, sys.stdout = terminal, out
            with shown() as tell:
                tell("verifying", 3, 7)
                print("a result")
                time.sleep(0.3)
            out.flush()
        os._exit(0)
    os.close(theirs)
    text = b""
    try:
        while data := os.read(ours, 4096):
            text += data
    except OSError:  # the last writer has gone
        pass
    os.waitpid(child, 0)
    os.close(ours)
    assert b"verifying" in text
    assert b"3 of 7" in text
    assert text.rstrip().endswith(b"\x1b[2K")  # the bars' line is cleared
    assert (tmp_path / "out").read_text() == "a result\n"


def test_a_pass_over_a_split_is_watched_and_the_watch_stays_here(small_set: Path) -> None:
    for where in ("listops/mini", str(small_set)):
        rows = open_rows(where)
        heard: list[tuple[str, int, int]] = []
        rows.watch = lambda *step, heard=heard: heard.append(step)
        size = rows.sizes["test"]
        assert sum(len(batch) for batch in rows.batches("test")) == size
        assert (heard[0], heard[-1]) == (("test", 0, size), ("test", size, size))
        assert pickle.loads(pickle.dumps(rows)).watch is None


def test_verify_tells_the_rows_of_every_shard(small_set: Path) -> None:
    for quick in (False, True):
        heard: list[tuple[str, int, int | None]] = []
        assert verify(small_set, quick=quick, tell=lambda *step, heard=heard, **_: heard.append(step)) == []
        total = heard[0][2]
        assert total is not None
        assert (heard[0], heard[-1]) == (("verifying", 0, total), ("verifying", total, total))
        assert [step[1] for step in heard] == sorted(step[1] for step in heard)


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_are_heard_of_inside_a_shard_and_from_workers(workers: int, tmp_path: Path) -> None:
    heard: list[int] = []
    planned: list[int] = []
    notices.listen_rows(heard.append, planned.append)
    try:
        sizes = {"train": 2500, "validation": 20, "test": 20}
        lra_data.build("listops/mini", tmp_path, sizes=sizes, num_shards=1, engine=LocalProcesses(workers))
    finally:
        notices.listen_rows(None)
    assert planned == [2540]
    assert sum(heard) == 2540
    assert len(heard) > 3  # the shard of train in several steps
