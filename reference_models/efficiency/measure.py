"""Training speed and memory of the X-formers by length: the measurement of LRA's Table 2, on a CPU or a GPU.

Tay et al., "Long Range Arena", ICLR 2021, section 3.4: classification of byte-level text, training steps a second and
peak memory at 1K, 2K, 3K and 4K bytes. Here: `xiong`'s model of Text without dropout, random bytes of full length, and
in the same rounds two Transformers to compare with, naive and fused (`efficiency_cell.KINDS`).

Each (model, length) is a cell with a process of its own. Its first phase measures the model's memory, before the
baselines are built, as a process's peak never falls; a second process would say the same and cost three seconds of
imports a cell. The baselines' memory depends on the length alone, so a run takes it once a length, each in its own
process. A baseline that fails there is left out of the rounds, and the row says why.

Every finished cell is one line of a JSON Lines file, on the disk before the next begins; a run goes on behind what the
file has. Lines of other settings stay in it and are not returned.

glibc keeps freed memory in all these processes (`_MALLOC`); other systems do not heed the setting.

Not here: what a process computes (`cell.py`), table and picture (`report.py`).
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import torch

import lra_data
from lra_data import UsageError, checks, paths
from reference_models.attention.catalogue import attention_class
from reference_models.devices import device_name
from reference_models.efficiency.cell import DTYPES, KINDS, Request, options_at

Row = dict[str, Any]
Progress = Callable[[str], None]

SHORT = (1024, 2048, 3072, 4096)
LONG = (8192, 16384)
QUICK = (1024, 2048)
# What the classes say of themselves (`Attention.cost`). Sinkhorn's L·b + L²/b is no member, nor is L².
LONG_COSTS = frozenset(
    {"L", "L·b", "L·M", "L m", "L·(w + |G|)", "L (S + M)", "L (S + M + C)", "L log L", "L√L", "L·√L"}
)
# Batch, rounds that do not count, rounds that do.
_PROTOCOLS = {"cpu": (1, 1, 5), "cuda": (32, 10, 50)}
_PROCESS = (sys.executable, "-m", "reference_models.efficiency.cell")
# By default glibc takes every tensor above 32 MiB from the system anew, and gives it back: up to half of a step, and a
# jump in a model's time at the length where its tensors grow past that. Kept memory is used again, as CUDA's is.
_MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
_SIGKILL = -9


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all cells of a run share, and what makes an earlier row the same measurement."""

    device: str
    device_name: str
    batch: int
    dtype: str
    threads: int
    warm_up: int
    steps: int
    malloc: str = " ".join(f"{name}={value}" for name, value in _MALLOC.items())
    torch: str = torch.__version__
    lra_data: str = lra_data.__version__


@dataclass(frozen=True)
class Finding:
    """What a process printed until it ended or was killed, how it ended, and its last word if that was bad."""

    events: list[Row]
    outcome: str
    error: str | None = None


def measure(
    models: Sequence[str],
    lengths: Sequence[int] | None = None,
    *,
    out: Path,
    device: str = "cpu",
    dtype: str = "float32",
    threads: int = 1,
    cap_seconds: float = 120.0,
    quick: bool = False,
    progress: Progress | None = None,
) -> list[Row]:
    """Measure what `out` does not have yet, and return the rows of these models and lengths, those that it had too.

    lengths: L, the same for all models; None is 1K to 4K, and for models whose cost is in LONG_COSTS also 8K and 16K;
    `quick` is 1K and 2K. out: a JSON Lines file, made if it is not there. device: "cpu" (batch 1, one warm-up and five
    timed rounds) or "cuda" (batch 32, 10 and 50). dtype: "float32", or "bfloat16" for autocast. threads: of a process.
    cap_seconds: a cell's limit, after which it is killed and its row says "time cap", with the rounds that it finished;
    a higher cap measures such a cell again. progress: gets one line a cell; default standard error.

    outcome: "ok", "time cap", "out of memory" or "failed", with `error`. A failed cell is not tried again either: take
    its line out of the file for that. Raises UsageError for arguments that cannot be and a file that is not of this.
    """
    out = paths.local_path(out, "a file for the measurements")
    say = progress or (lambda line: print(line, file=sys.stderr, flush=True))
    settings = _settings(device, dtype, threads)
    if not 0 < cap_seconds < float("inf"):
        raise UsageError(f"expected cap_seconds above 0, got {cap_seconds}")
    cells = _cells(models, lengths, quick)
    rows = [row for row in read_rows(out) if _is_of(row, settings)]
    with _opened(out):  # fails before the first measurement, and not behind it
        pass
    baselines: dict[int, dict[str, Finding]] = {}
    found = []
    for number, (model, length) in enumerate(cells, start=1):
        head = f"{number}/{len(cells)} {model} at {length:,}"
        earlier = [row for row in rows if _is_cell(row, model, length) and not _may_go_further(row, cap_seconds)]
        if earlier:
            say(f"{head}: skipped, {out} has it ({earlier[-1]['outcome']})")
            found.append(earlier[-1])
            continue
        if length not in baselines:
            baselines[length] = {
                kind: _process(_request(settings, (kind,), "full", length), cap_seconds) for kind in KINDS[1:]
            }
        row = _measure_cell(settings, model, length, baselines[length], cap_seconds)
        _append(out, row)
        say(f"{head}: {_in_words(row)}")
        found.append(row)
    return found


def lengths_of(model: str) -> tuple[int, ...]:
    """The lengths at which a model is measured by default."""
    return SHORT + LONG if attention_class(model).cost in LONG_COSTS else SHORT


def read_rows(path: Path) -> list[Row]:
    """All rows of a file, [] if there is none. A last line without its end was cut off while written: it is left out.

    Raises UsageError for a line that is no row.
    """
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")[:-1], start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict) or "outcome" not in row:
            raise UsageError(f"expected a row of this measurement in line {number} of {path}, got {line[:60]!r}")
        rows.append(row)
    return rows


def _settings(device: str, dtype: str, threads: int) -> Settings:
    if device not in _PROTOCOLS:
        raise UsageError(f"expected as device one of {', '.join(_PROTOCOLS)}, got {device!r}")
    if dtype not in DTYPES:
        raise UsageError(f"expected as dtype one of {', '.join(DTYPES)}, got {dtype!r}")
    if threads < 1:
        raise UsageError(f"expected threads from 1 on, got {threads}")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("expected a CUDA device, got none that torch can use: measure with device cpu")
    name = device_name(torch.device(device))
    batch, warm_up, steps = _PROTOCOLS[device]
    return Settings(
        device=device, device_name=name, batch=batch, dtype=dtype, threads=threads, warm_up=warm_up, steps=steps
    )


def _cells(models: Sequence[str], lengths: Sequence[int] | None, quick: bool) -> list[tuple[str, int]]:
    """The short ones first: a run that is cut off has compared all models."""
    if quick and lengths is not None:
        raise UsageError("expected either quick or lengths, got both: leave one out")
    if not models:
        raise UsageError("expected at least one model, got none")
    for model in models:
        attention_class(model)  # raises for an unknown name
    asked: list[int] = []
    for length in lengths or ():
        number = checks.plain_int(length)
        if number is None or number < 1:
            raise UsageError(f"expected lengths from 1 on, got {length}")
        asked.append(number)
    chosen = QUICK if quick else None if lengths is None else asked
    pairs = [(length, model) for model in models for length in (lengths_of(model) if chosen is None else chosen)]
    return [(model, length) for length, model in sorted(dict.fromkeys(pairs), key=lambda pair: pair[0])]


def _is_of(row: Row, settings: Settings) -> bool:
    return all(row.get(name) == value for name, value in asdict(settings).items())


def _is_cell(row: Row, model: str, length: int) -> bool:
    return (row.get("model"), row.get("length"), row.get("options")) == (model, length, options_at(model, length))


def _may_go_further(row: Row, cap_seconds: float) -> bool:
    return bool(row["outcome"] == "time cap" and row["cap_seconds"] < cap_seconds)


def _measure_cell(
    settings: Settings, model: str, length: int, baselines: dict[str, Finding], cap_seconds: float
) -> Row:
    """The row of one cell."""
    kinds = ("model", *(kind for kind, finding in baselines.items() if finding.outcome == "ok"))
    cell = _process(_request(settings, kinds, model, length), cap_seconds)
    row: Row = {"model": model, "length": length, **asdict(settings), "options": options_at(model, length)}
    row |= {"outcome": cell.outcome, "error": cell.error, "cap_seconds": cap_seconds}
    row |= {f"{kind}_outcome": finding.outcome for kind, finding in baselines.items()}
    for kind, memory in {"model": cell, **baselines}.items():
        prefix = "" if kind == "model" else f"{kind}_"
        seconds = [event["seconds"] for event in cell.events if event["kind"] == kind and "seconds" in event]
        row[f"{prefix}seconds"] = seconds
        row[f"{prefix}median_seconds"] = statistics.median(seconds) if seconds else None
        for name in ("saved_bytes", "peak_bytes", "start_bytes"):
            row[f"{prefix}{name}"] = next((event[name] for event in memory.events if name in event), None)
    median = row["median_seconds"]
    row["steps_per_second"] = 1 / median if median else None
    for kind in baselines:
        other = row[f"{kind}_median_seconds"]
        row[f"ratio_to_{kind}"] = other / median if median and other else None
    row["python"] = platform.python_version()
    row["date"] = datetime.now(UTC).isoformat(timespec="seconds")
    return row


def _request(settings: Settings, kinds: tuple[str, ...], model: str, length: int) -> Request:
    """One kind is measured for its memory alone."""
    shared = {name: getattr(settings, name) for name in ("batch", "dtype", "device", "threads", "warm_up")}
    steps = settings.steps if kinds[0] == "model" else 0
    return Request(kinds=kinds, model=model, length=length, steps=steps, **shared)


def _process(request: Request, cap_seconds: float) -> Finding:
    threads = str(request.threads)
    environment = {**os.environ, **_MALLOC, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    # This package, also where it is found by a path that a child would not have.
    places = (str(Path(__file__).parents[2]), environment.get("PYTHONPATH", ""))
    environment["PYTHONPATH"] = os.pathsep.join(place for place in places if place)
    command = [*_PROCESS, json.dumps(asdict(request))]
    # Files and not pipes: they need no reader while the process runs, and keep what a killed one had written.
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as complaints:
        with subprocess.Popen(command, stdout=printed, stderr=complaints, env=environment) as child:
            try:
                status: int | None = child.wait(timeout=cap_seconds)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                child.kill()  # also when we are interrupted; nothing happens to one that has ended
        printed.seek(0)
        complaints.seek(0)
        return _finding(status, printed.read(), complaints.read())


def _finding(status: int | None, printed: str, complaints: str) -> Finding:
    """status: of the exit, or None for a process that was killed at its cap."""
    events = [json.loads(line) for line in printed.split("\n")[:-1]]  # a last line without its end was cut off
    *_, last = complaints.strip().split("\n")
    if status is None:
        return Finding(events, "time cap")
    if events and "outcome" in events[-1]:
        *figures, end = events
        return Finding(figures, end["outcome"], end["error"])
    if status == _SIGKILL:
        return Finding(events, "out of memory", last or "killed, as the system does when memory is short")
    if status != 0:
        return Finding(events, "failed", last or f"exit status {status}")
    return Finding(events, "ok")


def _append(path: Path, row: Row) -> None:
    """Behind the last whole line, and on the disk."""
    with _opened(path) as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file of rows, made if it is not there; BuildError, in one line, where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            yield file
    except OSError as error:
        raise paths.write_failure(path, error) from error


def _in_words(row: Row) -> str:
    if row["median_seconds"] is None:
        return f"{row['outcome']} {row['error'] or ''}".strip()
    ratios = [f"{row[f'ratio_to_{kind}']:.2f} x {kind}" for kind in KINDS[1:] if row[f"ratio_to_{kind}"]]
    return ", ".join([f"{row['median_seconds']:.3g} s a step", *ratios, row["outcome"]])
