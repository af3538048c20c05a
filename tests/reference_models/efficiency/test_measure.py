"""Cells in real processes at tiny lengths, and in scripts in their place for what a real one does not do."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lra_data import UsageError
from reference_models.attention.catalogue import attention_names
from reference_models.efficiency import child_process
from reference_models.efficiency.cell import KINDS, Request, Trainer
from reference_models.efficiency.cells import SHORT, lengths_of
from reference_models.efficiency.measure import measure
from reference_models.efficiency.row import Row, read_rows
from reference_models.strict_json import builtins
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row], list[str]]:
    """A model in real processes, started by one that has had 1 GiB resident."""
    np.ones(2**30, dtype=np.uint8)
    out, lines = tmp_path_factory.mktemp("efficiency") / "new" / "rows.jsonl", list[str]()
    return out, measure(["local"], [128], out=out, progress=lines.append), lines


def in_place_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """Let measure run a script; it is called with the request, which it finds as `request`."""
    path = tmp_path / "process.py"
    path.write_text(f"import json, os, signal, sys, time\nrequest = json.loads(sys.argv[1])\n{script}")
    monkeypatch.setattr(child_process, "PROCESS", (sys.executable, str(path)))


def own_children() -> list[str]:
    """Command lines of the processes that this one has started and that run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = status.with_name("cmdline").read_text()
        except OSError:  # ended meanwhile
            continue
        if parent == os.getpid():
            found.append(command)
    return found


@pytest.mark.slow
def test_rows_are_complete(measured: tuple[Path, list[Row], list[str]]) -> None:
    out, rows, lines = measured
    assert [(row.model, row.length) for row in rows] == [("local", 128)]
    assert read_rows(out) == rows
    assert len(lines) == len(rows)
    for row in rows:
        assert [name for name, value in builtins(row).items() if value is None] == ["attention_sha256", "error"]
        assert (row.outcome, row.naive_outcome, row.sdpa_outcome) == ("ok", "ok", "ok")
        assert (row.batch, row.dtype, row.threads, row.device) == (1, "float32", 1, "cpu")
        for kind, prefix in zip(KINDS, ("", "naive_", "sdpa_"), strict=True):
            seconds = getattr(row, f"{prefix}seconds")
            assert len(seconds) == 5
            assert getattr(row, f"{prefix}median_seconds") == sorted(seconds)[2] > 0
            # More than 1 GiB would be the peak of the process that started it.
            assert 100 * 2**20 < getattr(row, f"{prefix}start_bytes") <= getattr(row, f"{prefix}peak_bytes") < 2**30
            request = Request(
                kinds=KINDS,
                model=row.model,
                length=row.length,
                batch=1,
                dtype="float32",
                device="cpu",
                threads=1,
                warm_up=1,
                steps=2,
            )
            assert getattr(row, f"{prefix}saved_bytes") == Trainer(kind, request).saved_bytes(2)
        assert row.median_seconds is not None
        assert row.steps_per_second == 1 / row.median_seconds
        for kind in ("naive", "sdpa"):
            assert getattr(row, f"ratio_to_{kind}") == getattr(row, f"{kind}_median_seconds") / row.median_seconds
    assert rows[0].options == {"block": 50}


@pytest.mark.slow
def test_resuming_measures_nothing_twice(
    measured: tuple[Path, list[Row], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out, rows, _ = measured
    in_place_of_the_process(monkeypatch, tmp_path, "sys.exit('started')")
    before, lines = out.read_bytes(), list[str]()
    assert measure(["local"], [128], out=out, progress=lines.append) == rows
    assert out.read_bytes() == before
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["skipped"]
    # Another setting is another measurement, and the file's rows are not its own.
    copy = tmp_path / "rows.jsonl"
    copy.write_bytes(before)
    for changed in ({"threads": 2}, {"dtype": "bfloat16"}):
        (row,) = measure(["linear"], [128], out=copy, progress=lines.append, **changed)
        assert (row.outcome, row.error) == ("failed", "started")
    assert len(read_rows(copy)) == 3


def test_processes_keep_memory_and_rows_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "sys.exit(' '.join(f'{n}={os.environ[n]}' for n in ('MALLOC_MMAP_MAX_', 'MALLOC_TRIM_THRESHOLD_')))"
    in_place_of_the_process(monkeypatch, tmp_path, script)
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    out = tmp_path / "rows.jsonl"
    (row,) = measure(["linear"], [64], out=out, progress=print)
    assert row.malloc == row.error == "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000"
    # A row of glibc's own settings is another measurement.
    out.write_text(json.dumps({name: value for name, value in builtins(row).items() if name != "malloc"}) + "\n")
    assert measure(["linear"], [64], out=out, progress=print) == read_rows(out)[1:]


def test_a_line_that_was_cut_off_is_measured_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_place_of_the_process(monkeypatch, tmp_path, "sys.exit('started')")
    out, silent = tmp_path / "rows.jsonl", list[str]()
    measure(["linear", "full"], [64], out=out, progress=silent.append)
    first, second = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(first + second[:-20])
    assert [row.model for row in read_rows(out)] == ["linear"]
    measure(["linear", "full"], [64], out=out, progress=silent.append)
    assert [row.model for row in read_rows(out)] == ["linear", "full"]
    assert ["skipped" in line for line in silent] == [False, False, True, False]
    out.write_bytes(b"{]\n" + first)
    with pytest.raises(ValueError, match="line 1 must be a row of this measurement, got: JSON is malformed"):
        read_rows(out)


def test_a_real_process_is_killed_at_its_cap(tmp_path: Path) -> None:
    begin, lines = time.monotonic(), list[str]()
    (row,) = measure(["linear"], [128], out=tmp_path / "rows.jsonl", cap_seconds=0.2, progress=lines.append)
    assert time.monotonic() - begin < 10
    assert (row.outcome, row.naive_outcome, row.median_seconds) == ("time cap", "time cap", None)
    assert read_rows(tmp_path / "rows.jsonl") == [row]
    assert not [command for command in own_children() if "efficiency.cell" in command]
    assert lines == ["1/1 linear at 128: time cap"]


def test_rounds_before_the_cap_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = """
        if len(request["kinds"]) == 1:
            print(json.dumps({"kind": request["kinds"][0], "saved_bytes": 7}))
            sys.exit()
        for kind, seconds in (("model", 2.0), ("naive", 6.0), ("sdpa", 3.0), ("model", 4.0)):
            print(json.dumps({"kind": kind, "seconds": seconds}), flush=True)
        print('{"kind": "nai', end="", flush=True)
        time.sleep(60)
    """
    in_place_of_the_process(monkeypatch, tmp_path, "\n".join(line[8:] for line in script.splitlines()))
    out, lines = tmp_path / "rows.jsonl", list[str]()
    begin = time.monotonic()
    (row,) = measure(["linear"], [64], out=out, cap_seconds=3.0, progress=lines.append)
    assert time.monotonic() - begin < 30
    assert (row.outcome, row.seconds, row.naive_seconds) == ("time cap", [2.0, 4.0], [6.0])
    assert (row.ratio_to_naive, row.ratio_to_sdpa, row.naive_saved_bytes) == (2.0, 1.0, 7)
    assert not [command for command in own_children() if "process.py" in command]
    # The same cap or a lower one does not try again; a higher one does.
    in_place_of_the_process(monkeypatch, tmp_path, "sys.exit('started')")
    assert measure(["linear"], [64], out=out, cap_seconds=3.0, progress=lines.append) == [row]
    assert measure(["linear"], [64], out=out, cap_seconds=6.0, progress=lines.append)[0].error == "started"


@pytest.mark.parametrize(
    ("script", "outcome", "error"),
    [
        ("print('one', file=sys.stderr)\nraise OSError('the last line')", "failed", "OSError: the last line"),
        ("os._exit(3)", "failed", "exit status 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "failed", "exit status -11"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "out of memory",
            "killed, as the system does when memory is short",
        ),
        ("print(json.dumps({'outcome': 'out of memory', 'error': 'CUDA'}))", "out of memory", "CUDA"),
    ],
)
def test_a_crash_is_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, outcome: str, error: str
) -> None:
    in_place_of_the_process(monkeypatch, tmp_path, script)
    lines: list[str] = []
    (row,) = measure(["linear"], [64], out=tmp_path / "rows.jsonl", progress=lines.append)
    assert (row.outcome, row.error, row.naive_outcome) == (outcome, error, outcome)
    assert (row.seconds, row.median_seconds, row.ratio_to_naive, row.peak_bytes) == ([], None, None, None)
    assert read_rows(tmp_path / "rows.jsonl") == [row]
    assert lines == [f"1/1 linear at 64: {outcome} {error}"]


def test_a_baseline_without_memory_is_left_out_of_the_rounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = (
        "if request['kinds'] == ['naive']:\n"
        "    print(json.dumps({'outcome': 'out of memory', 'error': 'CUDA'}))\n"
        "for kind in request['kinds'] if request['steps'] else ():\n"
        "    print(json.dumps({'kind': kind, 'seconds': 2.0}))\n"
    )
    in_place_of_the_process(monkeypatch, tmp_path, script)
    rows = measure(["linear", "local"], [64], out=tmp_path / "rows.jsonl", progress=print)
    for row in rows:
        assert (row.outcome, row.naive_outcome, row.sdpa_outcome) == ("ok", "out of memory", "ok")
        assert (row.seconds, row.naive_seconds, row.sdpa_seconds) == ([2.0], [], [2.0])
        assert (row.ratio_to_naive, row.ratio_to_sdpa) == (None, 1.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": ["linea"]}, "Did you mean 'linear'"),
        ({"models": []}, "at least one model"),
        ({"lengths": [0]}, "lengths >= 1, got 0"),
        ({"quick": True}, "either quick or lengths"),
        ({"device": "tpu"}, "one of cpu, cuda, got 'tpu'"),
        ({"dtype": "float16"}, "one of float32, bfloat16, got 'float16'"),
        ({"threads": 0}, "threads >= 1, got 0"),
        ({"cap_seconds": 0}, "cap_seconds above 0"),
    ],
)
def test_arguments_that_cannot_be(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    arguments = {"models": ["linear"], "lengths": [64], "out": tmp_path / "rows.jsonl", **changed}
    with pytest.raises(ValueError, match=message):
        measure(**arguments)
    assert not (tmp_path / "rows.jsonl").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_cuda_without_a_device_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a CUDA device"):
        measure(["linear"], [64], out=tmp_path / "rows.jsonl", device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda(tmp_path: Path) -> None:
    for dtype in ("float32", "bfloat16"):
        (row,) = measure(["linear"], [1024], out=tmp_path / "rows.jsonl", device="cuda", dtype=dtype)
        assert (row.outcome, row.batch, len(row.seconds)) == ("ok", 32, 50)
        sizes = (row.start_bytes or 0, row.peak_bytes or 0, row.naive_peak_bytes or 0)
        assert 0 < sizes[0] < sizes[1] < sizes[2]


def test_default_lengths() -> None:
    """Every model is measured at 8K and 16K, but those with an L² in their cost."""
    assert {name for name in attention_names() if lengths_of(name) == SHORT} == {
        "adaptive_sparse", "full", "funnel", "mega", "memory_compressed", "sinkhorn", "synthesizer", "token_learner",
    }  # fmt: skip
    assert lengths_of("linear") == lengths_of("routing") == (1024, 2048, 3072, 4096, 8192, 16384)


def test_quick_and_default_cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_place_of_the_process(monkeypatch, tmp_path, "sys.exit('started')")
    for quick, lengths in ((True, [1024, 2048]), (False, [1024, 2048, 3072, 4096])):
        rows = measure(["full"], out=tmp_path / f"{quick}.jsonl", quick=quick, progress=print)
        assert [row.length for row in rows] == lengths
    rows = measure(["linear", "local"], [256, 128], out=tmp_path / "cells.jsonl", progress=print)
    assert [(row.length, row.model) for row in rows] == [
        (128, "linear"), (128, "local"), (256, "linear"), (256, "local"),
    ]  # fmt: skip


def test_rows_are_read_and_written_alike() -> None:
    path = ROOT / "docs" / "efficiency.jsonl"
    rows = read_rows(path)
    assert len(rows) == 90
    assert b"".join(row.encode() for row in rows) == path.read_bytes()


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("length", "4096", "length: expected int, got str"),
        ("length", 0, "length: expected int >= 1"),
        ("seconds", [1.0, None], "seconds[1]: expected float, got null"),
        ("outcome", "fine", "outcome: invalid enum value 'fine'"),
        ("device", None, "missing entry device"),
        ("rotary", 1, "unknown entry rotary"),
    ],
)
def test_rows_that_are_not_of_this_measurement(name: str, value: Any, fault: str, tmp_path: Path) -> None:
    good, *_ = (ROOT / "docs" / "efficiency.jsonl").read_text().splitlines()
    row = {**json.loads(good), name: value}
    if value is None:
        del row[name]
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{good}\n{json.dumps(row)}\n")
    with pytest.raises(UsageError) as error:
        read_rows(path)
    assert str(error.value) == f"{path}: line 2 must be a row of this measurement, got: {fault}"
