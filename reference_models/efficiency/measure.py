"""Training speed and memory of the X-formers by length: the measurement of LRA's Table 2, on a CPU or a GPU.

Tay et al., "Long Range Arena", ICLR 2021, section 3.4: classification of byte-level text, training steps a second and
peak memory at 1K, 2K, 3K and 4K bytes. Here: `xiong`'s model of Text without dropout, random bytes of full length, and
in the same rounds two Transformers to compare with, naive and fused (`cell.KINDS`).

Each (model, length) is a cell with a process of its own. Its first phase measures the model's memory, before the
baselines are built, as a process's peak never falls; a second process would say the same and cost three seconds of
imports a cell. The baselines' memory depends on the length alone, so a run takes it once a length, each in its own
process. A baseline that fails there is left out of the rounds, and the row says why.

Every finished cell is one line of a JSON Lines file, on the disk before the next begins; a run goes on behind what the
file has. Lines of other settings stay in it and are not returned.

Not here: what a process computes (`cell.py`), how it is run (`child_process.py`), the file's rows (`row.py`), table
and picture (`report.py`, `plot.py`).
"""

import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lra_data import UsageError, paths
from reference_models.efficiency.cell import KINDS, Request, options_at
from reference_models.efficiency.cells import Settings, chosen_cells, settings_for
from reference_models.efficiency.child_process import Finding, run_process
from reference_models.efficiency.row import Row, append_row, opened, read_rows

Progress = Callable[[str], None]


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

    lengths: L, the same for all models; None is 1K to 4K, and for models whose cost has no L² also 8K and 16K;
    `quick` is 1K and 2K. out: a JSON Lines file, made if it is not there. device: "cpu" (batch 1, one warm-up and five
    timed rounds) or "cuda" (batch 32, 10 and 50). dtype: "float32", or "bfloat16" for autocast. threads: of a process.
    cap_seconds: a cell's limit, after which it is killed and its row says "time cap", with the rounds that it finished;
    a higher cap measures such a cell again. progress: is told a line for each cell.

    outcome: "ok", "time cap", "out of memory" or "failed", with `error`. A failed cell is not tried again either: take
    its line out of the file for that. Raises UsageError for arguments that are not possible and for a file that holds
    something else.
    """
    out = paths.local_path(out, "a file for the measurements")
    say = progress or (lambda line: None)
    settings = settings_for(device, dtype, threads)
    if not 0 < cap_seconds < float("inf"):
        raise UsageError(f"expected cap_seconds above 0, got {cap_seconds}")
    cells = chosen_cells(models, lengths, quick)
    rows = [row for row in read_rows(out) if _is_of(row, settings)]
    with opened(out):  # fails before the first measurement, and not behind it
        pass
    baselines: dict[int, dict[str, Finding]] = {}
    found = []
    for number, (model, length) in enumerate(cells, start=1):
        head = f"{number}/{len(cells)} {model} at {length:,}"
        earlier = [row for row in rows if _is_cell(row, model, length) and not _may_go_further(row, cap_seconds)]
        if earlier:
            say(f"{head}: skipped, {out} has it ({earlier[-1].outcome})")
            found.append(earlier[-1])
            continue
        if length not in baselines:
            baselines[length] = {
                kind: run_process(_request(settings, (kind,), "full", length), cap_seconds) for kind in KINDS[1:]
            }
        row = _measure_cell(settings, model, length, baselines[length], cap_seconds)
        append_row(out, row)
        say(f"{head}: {_in_words(row)}")
        found.append(row)
    return found


def _is_of(row: Row, settings: Settings) -> bool:
    return all(getattr(row, name) == value for name, value in asdict(settings).items())


def _is_cell(row: Row, model: str, length: int) -> bool:
    return (row.model, row.length, row.options) == (model, length, options_at(model, length))


def _may_go_further(row: Row, cap_seconds: float) -> bool:
    return row.outcome == "time cap" and row.cap_seconds < cap_seconds


def _measure_cell(
    settings: Settings, model: str, length: int, baselines: dict[str, Finding], cap_seconds: float
) -> Row:
    """The row of one cell."""
    kinds = ("model", *(kind for kind, finding in baselines.items() if finding.outcome == "ok"))
    cell = run_process(_request(settings, kinds, model, length), cap_seconds)
    figures: dict[str, Any] = {f"{kind}_outcome": finding.outcome for kind, finding in baselines.items()}
    for kind, memory in {"model": cell, **baselines}.items():
        prefix = "" if kind == "model" else f"{kind}_"
        seconds = [event["seconds"] for event in cell.events if event["kind"] == kind and "seconds" in event]
        figures[f"{prefix}seconds"] = seconds
        figures[f"{prefix}median_seconds"] = statistics.median(seconds) if seconds else None
        for name in ("saved_bytes", "peak_bytes", "start_bytes"):
            figures[f"{prefix}{name}"] = next((event[name] for event in memory.events if name in event), None)
    median = figures["median_seconds"]
    for kind in baselines:
        other = figures[f"{kind}_median_seconds"]
        figures[f"ratio_to_{kind}"] = other / median if median and other else None
    return Row(
        model=model,
        length=length,
        **asdict(settings),
        options=options_at(model, length),
        outcome=cell.outcome,
        error=cell.error,
        cap_seconds=cap_seconds,
        steps_per_second=1 / median if median else None,
        python=platform.python_version(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        **figures,
    )


def _request(settings: Settings, kinds: tuple[str, ...], model: str, length: int) -> Request:
    """One kind is measured for its memory alone."""
    shared = {name: getattr(settings, name) for name in ("batch", "dtype", "device", "threads", "warm_up")}
    steps = settings.steps if kinds[0] == "model" else 0
    return Request(kinds=kinds, model=model, length=length, steps=steps, **shared)


def _in_words(row: Row) -> str:
    if row.median_seconds is None:
        return f"{row.outcome} {row.error or ''}".strip()
    ratios = [f"{ratio:.2f} x {kind}" for kind, ratio in row.ratios.items() if ratio]
    return ", ".join([f"{row.median_seconds:.3g} s a step", *ratios, row.outcome])
