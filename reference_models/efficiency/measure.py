"""Training speed and memory of the X-formers by length: the measurement of LRA's Table 2, on a CPU or a GPU.

Tay et al., "Long Range Arena", ICLR 2021, section 3.4: classification of byte-level text, training steps a second and
peak memory at 1K, 2K, 3K and 4K bytes. Here: the Text model of `xiong` without dropout, random bytes of full length,
and in the same rounds two Transformers for comparison, naive and fused (`cell.KINDS`).

Each (model, length) is a cell with its own process. The process measures the model's memory before it builds the
baselines, since a process's peak never falls; a second process would find the same and cost three seconds of imports a
cell. The baselines' memory depends only on the length, so a run measures it once for each length, each baseline in its
own process. A baseline that fails there is left out of the rounds, and the row gives the reason.

Every finished cell is one line of a JSON Lines file, on the disk before the next cell begins. A run continues after the
cells in the file. Lines of other settings stay in the file and are not returned.

Not here: what a process computes (`cell.py`), how it is run (`child_process.py`), the file's rows (`row.py`), the table
(`report.py`), the figure (`reference_models/figures`).
"""

import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lra_data import UsageError, paths
from reference_models.attention.catalogue import place_of, source_digest
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
    """Measure the cells that are not in `out` yet, and return the rows of all these models and lengths.

    lengths: L in bytes, for all models; None is 1K to 4K, and for models whose cost has no L² also 8K and 16K.
    out: a JSON Lines file, made if it does not exist.
    device: "cpu" (batch 1, one warm-up and five timed rounds) or "cuda" (batch 32, 10 and 50 rounds).
    dtype: "float32", or "bfloat16" for autocast.
    threads: number of CPU threads of each process.
    cap_seconds: time limit of a cell. A cell that reaches it is killed; its row has the outcome "time cap" and the
        rounds that it finished. A run with a higher limit measures such a cell again.
    quick: whether the lengths are 1K and 2K.
    progress: called with a line for each cell.

    A row's outcome is "ok", "time cap", "out of memory" or "failed"; `error` gives the reason. A failed cell is not
    measured again unless its line is removed from the file. Raises UsageError for invalid arguments and for a file that
    has other contents.
    """
    out = paths.local_path(out, "a file for the measurements")
    say = progress or (lambda line: None)
    settings = settings_for(device, dtype, threads)
    if not 0 < cap_seconds < float("inf"):
        raise UsageError(f"expected cap_seconds above 0, got {cap_seconds}")
    cells = chosen_cells(models, lengths, quick)
    rows = [row for row in read_rows(out) if _is_of(row, settings)]
    with opened(out):  # so that a file that cannot be written fails here, not after the first measurement
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
    same = (row.model, row.length, row.options) == (model, length, options_at(model, length))
    return same and row.attention_sha256 == source_digest(model)


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
        attention_sha256=source_digest(model),
        outcome=cell.outcome,
        error=cell.error,
        cap_seconds=cap_seconds,
        steps_per_second=1 / median if median else None,
        python=platform.python_version(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        **figures,
    )


def _request(settings: Settings, kinds: tuple[str, ...], model: str, length: int) -> Request:
    """The request for a cell, or for a baseline's memory, which takes no timed steps."""
    shared = {name: getattr(settings, name) for name in ("batch", "dtype", "device", "threads", "warm_up")}
    steps = settings.steps if kinds[0] == "model" else 0
    return Request(kinds=kinds, model=model, length=length, steps=steps, place=place_of(model), **shared)


def _in_words(row: Row) -> str:
    if row.median_seconds is None:
        return f"{row.outcome} {row.error or ''}".strip()
    ratios = [f"{ratio:.2f} x {kind}" for kind, ratio in row.ratios.items() if ratio]
    return ", ".join([f"{row.median_seconds:.3g} s a step", *ratios, row.outcome])
