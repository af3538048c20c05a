"""Speed and memory: real processes at tiny lengths, and scripts in their place for what a real one does not do."""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reference_models.attention.catalogue import attention_class, attention_names
from reference_models.attention.full import FullAttention
from reference_models.efficiency import measure as measuring
from reference_models.efficiency import report
from reference_models.efficiency.cell import KINDS, NaiveAttention, Request, Trainer, build, main, out_of_memory, run
from reference_models.efficiency.measure import LONG_COSTS, SHORT, lengths_of, measure, read_rows
from reference_models.efficiency.report import curves, exponent, lra_ratio, plot, table, verdicts
from reference_models.model.classifier import Classifier

Row = dict[str, Any]

REQUEST = Request(
    kinds=KINDS,
    model="linear",
    length=64,
    batch=1,
    dtype="float32",
    device="cpu",
    threads=1,
    warm_up=1,
    steps=2,
)
CELLS = [(model, length) for length in (128, 256) for model in ("linear", "local")]


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row], list[str]]:
    """Two models at two lengths in real processes, started by one that has had 1 GiB resident."""
    np.ones(2**30, dtype=np.uint8)
    out, lines = tmp_path_factory.mktemp("efficiency") / "new" / "rows.jsonl", list[str]()
    return out, measure(["linear", "local"], [256, 128], out=out, progress=lines.append), lines


def in_place_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """Let measure run a script; it is called with the request, which it finds as `request`."""
    path = tmp_path / "process.py"
    path.write_text(f"import json, os, signal, sys, time\nrequest = json.loads(sys.argv[1])\n{script}")
    monkeypatch.setattr(measuring, "_PROCESS", (sys.executable, str(path)))


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


# What is measured


def test_naive_is_full_in_output_and_gradients() -> None:
    inputs = torch.randint(1, 257, (3, 1, 96), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([[96], [41], [1]])
    found = []
    for kind in ("naive", "sdpa"):
        model = build(kind, "local", 96).double().train()
        # logits come out in float32, in which the last digits of the two are not the same
        logits = model(inputs, lengths)
        logits.pow(2).sum().backward()
        found.append((type(model.attentions[0]), logits, {name: p.grad for name, p in model.named_parameters()}))
    (naive, one, gradients), (fused, two, expected) = found
    assert (naive, fused) == (NaiveAttention, FullAttention)
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-7, msg=name)


def test_saved_bytes_of_linear_grow_with_the_length_and_of_naive_with_its_square() -> None:
    found = {}
    for kind in KINDS:
        for length in (512, 1024, 2048):
            found[kind, length] = Trainer(kind, replace(REQUEST, length=length)).saved_bytes(0)
    for kind in ("model", "sdpa"):
        assert found[kind, 2048] / found[kind, 1024] == pytest.approx(2, rel=0.01)
    # Two layers, two heads, one float32 matrix each, beside what grows with L.
    for length in (512, 1024, 2048):
        square = 2 * 2 * length**2 * 4
        assert square < found["naive", length] < square + found["sdpa", length]


def test_parameters_are_not_saved_bytes() -> None:
    """A long table of positions adds weights and no activations: 50,000 rows of which 2,048 are used."""
    trainer = Trainer("model", replace(REQUEST, length=2048))
    activations = trainer.saved_bytes(0)
    trainer.model.encoder.positions = torch.nn.Parameter(torch.zeros(50_000, 64))
    assert trainer.saved_bytes(0) == activations


def test_a_step_tells_its_number_then_trains_on_the_auxiliary_loss_too(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    forward, on_step = Classifier.forward, Classifier.on_step

    def heard_step(self: Classifier, step: int) -> None:
        calls.append(step)
        on_step(self, step)

    def heard_forward(self: Classifier, *texts: torch.Tensor) -> torch.Tensor:
        calls.append(texts)
        return forward(self, *texts)

    monkeypatch.setattr(Classifier, "on_step", heard_step)
    monkeypatch.setattr(Classifier, "forward", heard_forward)
    trainer = Trainer("model", replace(REQUEST, model="compressive", length=1024, batch=2))
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.step(5)
    number, (inputs, lengths) = calls
    assert number == 5
    assert inputs.shape == (2, 1, 1024)
    assert (int(inputs.min()), int(inputs.max())) == (1, 256)
    assert lengths.tolist() == [[1024], [1024]]
    # The convolution that compresses memories learns by the attention's own loss, and by nothing but that.
    after = dict(trainer.model.named_parameters())
    assert any("convolution" in name for name in before)
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_every_step_has_other_texts_and_the_same_again() -> None:
    trainer, twin = (Trainer(kind, REQUEST) for kind in ("model", "naive"))
    assert torch.equal(trainer._texts(3)[0], twin._texts(3)[0])
    assert not torch.equal(trainer._texts(3)[0], trainer._texts(4)[0])


def test_autocast_keeps_less() -> None:
    wide, narrow = (Trainer("naive", replace(REQUEST, length=512, dtype=dtype)) for dtype in ("float32", "bfloat16"))
    assert narrow.saved_bytes(0) < wide.saved_bytes(0)
    assert narrow.timed_step(1) > 0


def test_rounds_are_interleaved_behind_the_memory_of_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    run(REQUEST)
    memory, *steps = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert memory.keys() == {"kind", "start_bytes", "saved_bytes", "peak_bytes"}
    assert [step["kind"] for step in steps] == [*KINDS, *KINDS]
    run(replace(REQUEST, kinds=("naive",), steps=0))
    assert [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()] == ["naive"]


def test_want_of_memory_is_a_finding_and_other_errors_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    text = {**REQUEST.__dict__, "length": 10**12}  # 256 TB of positions: more than a process can address
    main([json.dumps(text)])
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == "out of memory"
    assert "memory" in found["error"]
    with pytest.raises(ValueError, match="unknown attention"):
        main([json.dumps({**text, "model": "linea"})])
    with pytest.raises(RuntimeError) as error:
        torch.ones(2) + torch.ones(3)
    assert not out_of_memory(error.value)
    assert out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 68.00 GiB"))


# Rows and processes


def test_rows_are_complete(measured: tuple[Path, list[Row], list[str]]) -> None:
    out, rows, lines = measured
    assert [(row["model"], row["length"]) for row in rows] == CELLS
    assert read_rows(out) == rows
    assert len(lines) == len(rows)
    for row in rows:
        assert [name for name, value in row.items() if value is None] == ["error"]
        assert (row["outcome"], row["naive_outcome"], row["sdpa_outcome"]) == ("ok", "ok", "ok")
        assert (row["batch"], row["dtype"], row["threads"], row["device"]) == (1, "float32", 1, "cpu")
        for kind, prefix in zip(KINDS, ("", "naive_", "sdpa_"), strict=True):
            seconds = row[f"{prefix}seconds"]
            assert len(seconds) == 5
            assert row[f"{prefix}median_seconds"] == sorted(seconds)[2] > 0
            # More than 1 GiB would be the peak of the process that started it.
            assert 100 * 2**20 < row[f"{prefix}start_bytes"] <= row[f"{prefix}peak_bytes"] < 2**30
            request = replace(REQUEST, model=row["model"], length=row["length"])
            assert row[f"{prefix}saved_bytes"] == Trainer(kind, request).saved_bytes(2)
        assert row["steps_per_second"] == 1 / row["median_seconds"]
        for kind in ("naive", "sdpa"):
            assert row[f"ratio_to_{kind}"] == row[f"{kind}_median_seconds"] / row["median_seconds"]
    assert rows[1]["options"] == {"block": 50}


def test_resuming_measures_nothing_twice(
    measured: tuple[Path, list[Row], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out, rows, _ = measured
    in_place_of_the_process(monkeypatch, tmp_path, "sys.exit('started')")
    before, lines = out.read_bytes(), list[str]()
    assert measure(["linear", "local"], [128, 256], out=out, progress=lines.append) == rows
    assert out.read_bytes() == before
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["skipped"] * 4
    # Another setting is another measurement, and the file's rows are not its own.
    copy = tmp_path / "rows.jsonl"
    copy.write_bytes(before)
    for changed in ({"threads": 2}, {"dtype": "bfloat16"}):
        (row,) = measure(["linear"], [128], out=copy, progress=lines.append, **changed)
        assert (row["outcome"], row["error"]) == ("failed", "started")
    assert len(read_rows(copy)) == 6


def test_processes_keep_memory_and_rows_say_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "sys.exit(' '.join(f'{n}={os.environ[n]}' for n in ('MALLOC_MMAP_MAX_', 'MALLOC_TRIM_THRESHOLD_')))"
    in_place_of_the_process(monkeypatch, tmp_path, script)
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    out = tmp_path / "rows.jsonl"
    (row,) = measure(["linear"], [64], out=out, progress=print)
    assert row["malloc"] == row["error"] == "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000"
    # A row of glibc's own settings is another measurement.
    out.write_text(json.dumps({name: value for name, value in row.items() if name != "malloc"}) + "\n")
    assert measure(["linear"], [64], out=out, progress=print) == read_rows(out)[1:]


def test_a_line_that_was_cut_off_is_measured_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_place_of_the_process(monkeypatch, tmp_path, "sys.exit('started')")
    out, silent = tmp_path / "rows.jsonl", list[str]()
    measure(["linear", "full"], [64], out=out, progress=silent.append)
    first, second = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(first + second[:-20])
    assert [row["model"] for row in read_rows(out)] == ["linear"]
    measure(["linear", "full"], [64], out=out, progress=silent.append)
    assert [row["model"] for row in read_rows(out)] == ["linear", "full"]
    assert ["skipped" in line for line in silent] == [False, False, True, False]
    out.write_bytes(b"{]\n" + first)
    with pytest.raises(ValueError, match="line 1 of"):
        read_rows(out)


def test_a_real_process_is_killed_at_its_cap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    (row,) = measure(["linear"], [128], out=tmp_path / "rows.jsonl", cap_seconds=0.2)
    assert time.monotonic() - begin < 10
    assert (row["outcome"], row["naive_outcome"], row["median_seconds"]) == ("time cap", "time cap", None)
    assert read_rows(tmp_path / "rows.jsonl") == [row]
    assert not [command for command in own_children() if "efficiency_cell" in command]
    assert capsys.readouterr().err == "1/1 linear at 128: time cap\n"


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
    assert (row["outcome"], row["seconds"], row["naive_seconds"]) == ("time cap", [2.0, 4.0], [6.0])
    assert (row["ratio_to_naive"], row["ratio_to_sdpa"], row["naive_saved_bytes"]) == (2.0, 1.0, 7)
    assert not [command for command in own_children() if "process.py" in command]
    # The same cap or a lower one does not try again; a higher one does.
    in_place_of_the_process(monkeypatch, tmp_path, "sys.exit('started')")
    assert measure(["linear"], [64], out=out, cap_seconds=3.0, progress=lines.append) == [row]
    assert measure(["linear"], [64], out=out, cap_seconds=6.0, progress=lines.append)[0]["error"] == "started"


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
    assert (row["outcome"], row["error"], row["naive_outcome"]) == (outcome, error, outcome)
    assert (row["seconds"], row["median_seconds"], row["ratio_to_naive"], row["peak_bytes"]) == ([], None, None, None)
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
        assert (row["outcome"], row["naive_outcome"], row["sdpa_outcome"]) == ("ok", "out of memory", "ok")
        assert (row["seconds"], row["naive_seconds"], row["sdpa_seconds"]) == ([2.0], [], [2.0])
        assert (row["ratio_to_naive"], row["ratio_to_sdpa"]) == (None, 1.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": ["linea"]}, "Did you mean 'linear'"),
        ({"models": []}, "at least one model"),
        ({"lengths": [0]}, "lengths from 1 on, got 0"),
        ({"quick": True}, "either quick or lengths"),
        ({"device": "tpu"}, "one of cpu, cuda, got 'tpu'"),
        ({"dtype": "float16"}, "one of float32, bfloat16, got 'float16'"),
        ({"threads": 0}, "threads from 1 on, got 0"),
        ({"cap_seconds": 0}, "cap_seconds above 0"),
    ],
)
def test_arguments_that_cannot_be(tmp_path: Path, changed: Row, message: str) -> None:
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
        assert (row["outcome"], row["batch"], len(row["seconds"])) == ("ok", 32, 50)
        assert row["start_bytes"] < row["peak_bytes"] < row["naive_peak_bytes"]


def test_default_lengths() -> None:
    """Every model is either known to be measured at 8K and 16K, or has an L² in its cost."""
    for name in attention_names():
        cost = attention_class(name).cost
        assert (cost in LONG_COSTS) != ("L²" in cost), f"{name}: {cost}"
    assert lengths_of("full") == lengths_of("synthesizer") == lengths_of("sinkhorn") == SHORT
    assert lengths_of("linear") == lengths_of("routing") == (1024, 2048, 3072, 4096, 8192, 16384)


def test_quick_and_default_cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_place_of_the_process(monkeypatch, tmp_path, "sys.exit('started')")
    for quick, lengths in ((True, [1024, 2048]), (False, [1024, 2048, 3072, 4096])):
        rows = measure(["full"], out=tmp_path / f"{quick}.jsonl", quick=quick, progress=print)
        assert [row["length"] for row in rows] == lengths


# The report


def made_up(model: str, length: int, seconds: float | None, **changed: Any) -> Row:
    """A row with the given median; naive takes 10 s at 4,096 and grows with the square, SDPA half of it."""
    naive = 10 * (length / 4096) ** 2
    row = {
        "model": model, "length": length, "device": "cpu", "device_name": "CPU", "batch": 1, "dtype": "float32",
        "threads": 1, "malloc": "", "torch": "2", "lra_data": "1", "outcome": "ok", "error": None,
        "median_seconds": seconds,
        "naive_median_seconds": naive, "sdpa_median_seconds": naive / 2, "saved_bytes": 3 * 2**20,
        "naive_saved_bytes": 12 * 2**20, "steps_per_second": seconds and 1 / seconds,
        "ratio_to_naive": seconds and naive / seconds, "ratio_to_sdpa": seconds and naive / seconds / 2,
    }  # fmt: skip
    return {**row, **changed}


def all_models() -> list[Row]:
    return [
        made_up(name, length, 1e-3 * 1.5**number * (length / 1024) ** 1.2)
        for number, name in enumerate(attention_names())
        for length in lengths_of(name)
    ]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent_is_exact(power: float) -> None:
    rows = [made_up("linear", length, 3e-6 * length**power) for length in (2048, 3072, 4096, 8192)]
    # neither another model nor what lies outside the range matters
    rows += [made_up("local", 4096, 1.0), made_up("linear", 1024, 9.0), made_up("linear", 16384, 9.0)]
    assert exponent(rows, "linear") == pytest.approx(power, abs=1e-12)
    assert exponent(rows, "local") is None
    assert exponent([row for row in rows if row["length"] != 8192], "linear") is None
    without = [row for row in rows if row["length"] != 2048]
    assert exponent([*without, made_up("linear", 2048, None)], "linear") is None
    assert exponent(without, "linear", shortest=3072) == pytest.approx(power, abs=1e-12)


def test_of_two_rows_the_later_counts_and_of_two_settings_none() -> None:
    rows = [made_up("linear", length, 1.0) for length in (2048, 8192)]
    assert exponent([*rows, made_up("linear", 8192, 4.0)], "linear") == pytest.approx(1.0)
    with pytest.raises(ValueError, match="rows of one threads, got 1, 2"):
        exponent([*rows, made_up("local", 2048, 1.0, threads=2)], "linear")
    with pytest.raises(ValueError, match="measure first"):
        table([])


def test_table_has_each_model_and_figure() -> None:
    rows = [
        *all_models(),
        made_up("local", 32768, None, outcome="failed", error="boom", saved_bytes=None),
        made_up("linear", 32768, 2.0, outcome="time cap"),
    ]
    text = table(rows)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    heads = [line for line in lines if line[1] == "1,024"]
    assert [head[1:] for head in heads] == [["1,024", "2,048", "3,072", "4,096", "8,192", "16,384", "32,768"]] * 4
    for name in attention_names():
        assert len([line for line in lines if line[0] == name]) == 4, name
    speed, over_naive, over_sdpa, saved = [line for line in lines if line[0] == "local"]
    (row,) = [row for row in rows if (row["model"], row["length"]) == ("local", 4096)]
    assert speed[4] == f"{1 / row['median_seconds']:.3g}"
    assert over_naive[4] == f"{10 / row['median_seconds']:.2f}× (5.29×)"
    assert over_sdpa[4] == f"{5 / row['median_seconds']:.2f}×"
    assert saved[4] == "3.0 of 12.0"
    assert speed[7] == over_naive[7] == saved[7] == "failed"
    assert next(line[7] for line in lines if line[0] == "linear") == "0.5†"
    assert [line[5] for line in lines if line[0] == "full"] == ["–"] * 4
    assert "linear 1.20" in text
    assert all(f"- {line}" in text for line in verdicts(rows))


def test_verdicts_compare_with_the_paper() -> None:
    assert lra_ratio("linear", 4096) == 7.8 / 1.4
    assert lra_ratio("synthesizer", 3072) == 6.6 / 2.3
    assert lra_ratio("linear", 8192) is lra_ratio("full", 4096) is None
    rows = [
        made_up("local", 4096, 10 / (7.4 / 1.4) * 0.9999),
        made_up("linear", 4096, 10 / (7.8 / 1.4) * 1.0001),
        made_up("reformer", 4096, None, outcome="out of memory", error="killed"),
    ]
    found = {line.split(" at ")[0]: line.split(": ", 1)[1] for line in verdicts(rows)}
    assert list(found) == [
        "local", "linformer", "reformer", "sinkhorn", "synthesizer", "bigbird", "linear", "performer"
    ]  # fmt: skip
    assert found["local"] == "yes, 5.29× the naive Transformer, LRA 5.29×"
    assert found["linear"] == "no, 5.57× the naive Transformer, LRA 5.57×"
    assert found["reformer"] == "LRA 0.79×, here none: killed"
    assert found["performer"] == "LRA 5.71×, here none: not measured"


def test_plot_has_a_line_and_a_name_for_each_model(tmp_path: Path) -> None:
    rows = all_models()
    plot(rows, tmp_path / "new" / "speed.png")
    picture = np.asarray(Image.open(tmp_path / "new" / "speed.png").convert("RGB"))
    assert picture.shape == (700, 1000, 3)
    drawn = curves(rows)
    assert drawn.keys() == {*attention_names(), "naive", "sdpa"}
    assert drawn["naive"][3] == (4096, 10.0)
    palette = report.colors(drawn)
    assert len(set(palette.values())) == len(drawn)
    axes = report.Axes(drawn)
    for name, curve in drawn.items():
        if name in attention_names():  # points are far apart: each lies in its own colour
            for length, seconds in curve:
                place = round(axes.y(seconds)), round(axes.x(length))
                assert tuple(picture[place]) == palette[name], (name, length)
    placed = report.labels(drawn, axes)
    assert {name for name, *_ in placed} == set(drawn)
    for name, x, y, _ in placed:
        box = picture[round(y) - 7 : round(y) + 7, round(x) : min(1000, round(x) + 90)]
        assert (box == palette[name]).all(axis=-1).sum() > 15, name
        assert 50 <= y <= 640


@pytest.mark.parametrize("seconds", [0.01, 0.3, 9.9])
def test_names_of_lines_that_end_together_stand_apart(seconds: float) -> None:
    drawn = {f"model_{number}": [(1024, 0.01), (4096, seconds)] for number in range(18)}
    drawn["shorter"] = [(1024, 0.01), (2048, 9.9)]
    placed = report.labels(drawn, report.Axes(drawn))
    assert len({x for _, x, *_ in placed}) == 2
    places = sorted(y for name, _, y, _ in placed if name != "shorter")
    assert min(np.diff(places)) >= 15.9
    assert 50 < places[0] < places[-1] < 640
    assert {end for name, *_, end in placed if name != "shorter"} == {
        report.Axes(drawn).y(seconds)
    }  # the name may move, the line's end does not


def test_axes_are_logarithmic() -> None:
    axes = report.Axes({"a": [(1024, 0.02), (4096, 3.0)]})
    assert list(axes.decades) == [-2, -1, 0, 1]
    assert axes.x(2048) == pytest.approx((axes.x(1024) + axes.x(4096)) / 2)
    assert axes.y(1) - axes.y(10) == pytest.approx(axes.y(0.1) - axes.y(1))
    assert math.isfinite(report.Axes({"a": [(64, 1.0)]}).x(64))
    with pytest.raises(ValueError, match="a row with a time"):
        plot([made_up("linear", 64, None, naive_median_seconds=None, sdpa_median_seconds=None)], Path("none.png"))
