"""Checks a copy of the released Pathfinder images, or any folder in their layout, and lists every fault.

The last check tests whether the labels fit the pictures. The tracer solves a sample. If it agrees with the labels far
less than on pictures drawn here, labels and pictures do not belong together (one report says so of the released
128-pixel images, LRA issue 38).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lra_data.confidence import wilson_interval
from lra_data.corpora.archive import count_hidden
from lra_data.corpora.ignored_files import HIDDEN, in_words
from lra_data.errors import SetError
from lra_data.pathfinder.checks.tracer_agreement import AGREEMENT
from lra_data.pathfinder.config import DIFFICULTIES
from lra_data.pathfinder.released.layout import RELEASED, find_release, in_splits
from lra_data.pathfinder.released.layout_metadata import ReleasedPicture, load_metadata
from lra_data.pathfinder.released.picture_faults import examine, unnamed
from lra_data.paths import local_path
from lra_data.picture_files import read_png

TRACED = 1000

_Z_999 = 3.2905  # half-width of a 99.9 % interval in standard errors
_TOLERANCE = 0.03  # the agreement may be so much lower than on our own pictures without being a fault


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The result of an audit. faults: one line each. facts: counts and shares, as JSON values."""

    folder: Path
    faults: list[str]
    facts: dict[str, Any]


def audit(
    folder: Path | str, *, resolution: int | None = None, difficulty: str | None = None, traced: int = TRACED
) -> Audit:
    """Check one difficulty of one resolution: metadata, files, counts, duplicates, and the labels of `traced` pictures.

    folder: a folder with `imgs` and `metadata`, or a folder above it.

    Raises UsageError if no such folder is found, SetError if there is no metadata at all.
    """
    source = find_release(local_path(folder, "a copy of the release"), resolution, difficulty)
    metadata = load_metadata(source)
    pictures, faults = metadata.pictures, metadata.faults
    if not pictures:
        raise SetError(f"{source}: expected metadata of pictures, found none" + (f": {faults[0]}" if faults else ""))
    faults += _metadata_faults(source, pictures)
    examined = examine(source, pictures)
    faults += [fault.message for fault in examined.faults]
    found_difficulty = _difficulty(pictures)
    splits = in_splits(pictures, found_difficulty or "hard", metadata.lost_lines)
    faults += _duplicate_faults(
        examined.digests, {entry.file: split for split, rows in splits.items() for entry in rows}
    )
    labels = [entry.label for entry in pictures]
    facts: dict[str, Any] = {
        "pictures": len(pictures),
        "batches": len({entry.batch for entry in pictures}),
        "resolution": examined.side,
        "difficulty": found_difficulty,
        "connected": sum(labels) / len(labels),
        "splits": {split: len(rows) for split, rows in splits.items()},
    }
    metadata.passed_over[HIDDEN] += count_hidden(source)
    if words := in_words(metadata.passed_over):
        facts["passed over"] = words
    sound = set(examined.digests) - set(examined.bad)
    if traced and sound and examined.side is not None:
        readable = [entry for rows in splits.values() for entry in rows if entry.file in sound]
        agreement = _trace(source, _sample(readable, traced))
        expected = AGREEMENT.get(f"{examined.side}-{found_difficulty}")
        facts["tracer"] = agreement | {"expected": expected}
        if expected is not None and agreement["high"] < expected - _TOLERANCE:
            faults.append(
                f"labels: expected the tracer to agree with {expected:.1%}, as on pictures drawn here, got "
                f"{agreement['share']:.1%} of {agreement['pictures']} (at most {agreement['high']:.1%}): "
                "labels and pictures do not belong together"
            )
    return Audit(folder=source, faults=faults, facts=facts)


def _metadata_faults(folder: Path, pictures: Sequence[ReleasedPicture]) -> list[str]:
    """Faults of the metadata: wrong counts, repeated pictures, files without a line, and contours of other lengths."""
    faults = []
    if len(pictures) != RELEASED:
        faults.append(f"metadata: expected {RELEASED:,} pictures as in the release, got {len(pictures):,}")
    named = Counter(entry.file for entry in pictures)
    repeated = {file: count for file, count in sorted(named.items()) if count > 1}
    faults += [f"{file}: expected one line of metadata, got {count}" for file, count in repeated.items()]
    faults += [f"{file}: expected a line of metadata, got none" for file in unnamed(folder, pictures)]
    lengths = Counter(entry.contour_length for entry in pictures)
    if _difficulty(pictures) is None:
        faults.append(f"metadata: expected contours of one length, 6, 9 or 14, got {dict(sorted(lengths.items()))}")
    return faults


def _difficulty(pictures: Sequence[ReleasedPicture]) -> str | None:
    lengths = {entry.contour_length for entry in pictures}
    return next((name for name, length in DIFFICULTIES.items() if lengths == {length}), None)


def _duplicate_faults(digests: Mapping[str, bytes], split_of: Mapping[str, str]) -> list[str]:
    """Pictures with the same pixels as an earlier one, within a split and across."""
    first: dict[bytes, str] = {}
    faults = []
    for file, digest in digests.items():
        earlier = first.setdefault(digest, file)
        if earlier != file:
            where = f"within {split_of[file]}"
            if split_of[file] != split_of[earlier]:
                where = f"across {split_of[earlier]} and {split_of[file]}"
            faults.append(f"{file}: expected a picture other than {earlier}, got the same ({where})")
    return faults


def _sample(entries: Sequence[ReleasedPicture], count: int) -> list[ReleasedPicture]:
    """`count` pictures, evenly distributed over their order, which is that of a hash."""
    chosen = np.linspace(0, len(entries) - 1, min(count, len(entries))).astype(np.int64)
    return [entries[place] for place in chosen.tolist()]


def _trace(folder: Path, entries: Sequence[ReleasedPicture]) -> dict[str, Any]:
    """The share of labels that the tracer agrees with, and its 99.9 % interval."""
    from lra_data.kernel_cache import keep
    from lra_data.pathfinder.checks import dash_chains, dashes, tracer

    keep(dashes, dash_chains)

    pictures, labels = [], []
    for entry in entries:
        pictures.append(read_png((folder / entry.file).read_bytes()))
        labels.append(entry.label)
    agrees: NDArray[Any] = tracer.trace(np.array(pictures)) == np.array(labels)
    n, share = len(agrees), float(agrees.mean())
    low, high = wilson_interval(share, n, _Z_999)
    return {"pictures": n, "share": share, "low": low, "high": high}
