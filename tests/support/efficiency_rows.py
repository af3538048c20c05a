"""Rows that were never measured, for the tests of what shows rows."""

from typing import Any

from reference_models.attention.catalogue import attention_names
from reference_models.efficiency.cells import lengths_of
from reference_models.efficiency.row import Row


def made_up(model: str, length: int, seconds: float | None, **changed: Any) -> Row:
    """A row with the given median; naive takes 10 s at 4,096 and grows with the square, SDPA half of it."""
    naive = 10 * (length / 4096) ** 2
    entries: dict[str, Any] = {
        "model": model, "length": length, "device": "cpu", "device_name": "CPU", "batch": 1, "dtype": "float32",
        "threads": 1, "warm_up": 1, "steps": 5, "malloc": "", "torch": "2", "lra_data": "1", "options": {},
        "outcome": "ok", "error": None, "cap_seconds": 120.0, "naive_outcome": "ok", "sdpa_outcome": "ok",
        "seconds": [], "median_seconds": seconds, "saved_bytes": 3 * 2**20, "peak_bytes": None, "start_bytes": None,
        "naive_seconds": [], "naive_median_seconds": naive, "naive_saved_bytes": 12 * 2**20, "naive_peak_bytes": None,
        "naive_start_bytes": None, "sdpa_seconds": [], "sdpa_median_seconds": naive / 2, "sdpa_saved_bytes": None,
        "sdpa_peak_bytes": None, "sdpa_start_bytes": None, "steps_per_second": seconds and 1 / seconds,
        "ratio_to_naive": seconds and naive / seconds, "ratio_to_sdpa": seconds and naive / seconds / 2,
        "python": "3", "date": "2026-11-25",
    }  # fmt: skip
    return Row(**{**entries, **changed})


def all_models() -> list[Row]:
    return [
        made_up(name, length, 1e-3 * 1.5**number * (length / 1024) ** 1.2)
        for number, name in enumerate(attention_names())
        for length in lengths_of(name)
    ]
