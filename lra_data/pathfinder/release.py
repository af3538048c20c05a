"""The layout of the released Pathfinder images, `pathfinder<R>/<difficulty's folder>/{imgs,metadata}/…`.

Pictures are numbered within batches; a batch is a folder of pictures and a text file, called `.npy` as in the release,
with one line a picture: folder, file, number, label, continuity, contour length, distractor length, paddle length,
paddle thickness, margin, number of contrasts (LRA data/pathfinder.py:86-101 reads the first two and the label).
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
from PIL import Image

from lra_data.columns import numbers, rows_of
from lra_data.errors import UsageError
from lra_data.pathfinder.config import DIFFICULTIES, Config
from lra_data.splits import SPLITS

BATCH = 1000

# Folders by difficulty (PF0 snakes2_wrapper.py:81-92).
FOLDERS = {"easy": "curv_baseline", "intermediate": "curv_contour_length_9", "hard": "curv_contour_length_14"}


def release_folder(config: Config) -> Path:
    """`pathfinder128/curv_contour_length_14`; contour lengths that the release does not have are named alike."""
    difficulty = next((name for name, length in DIFFICULTIES.items() if length == config.contour_length), None)
    folder = FOLDERS[difficulty] if difficulty is not None else f"curv_contour_length_{config.contour_length}"
    return Path(f"pathfinder{config.resolution}") / folder


def metadata_line(config: Config, batch: int, number: int, label: int, margin: int) -> str:
    """One line of a batch's metadata."""
    return (
        f"imgs/{batch} sample_{number}.png {number} {label} {config.continuity} {config.contour_length} "
        f"{config.distractor_length} {config.paddle_length} {config.paddle_thickness:g} {margin} "
        f"{len(config.paddle_contrast_list)}\n"
    )


def write_release(
    config: Config, split: str, batches: Iterable[pa.RecordBatch], folder: Path, sizes: Mapping[str, int]
) -> Iterator[Path]:
    """Write one split and yield each finished file. Batches are numbered through, train first."""
    if not config.geometry:
        raise UsageError("expected a set with geometry, for the release states each picture's margin: build one")
    target = folder / release_folder(config)
    number_of_batch = sum(-(-sizes[earlier] // BATCH) for earlier in SPLITS[: SPLITS.index(split)])
    written = 0
    lines: list[str] = []
    for rows in batches:
        pictures = rows_of(rows["inputs"]).reshape(len(rows), config.resolution, config.resolution)
        for picture, label, margin in zip(pictures, numbers(rows["label"]), numbers(rows["margin"]), strict=True):
            path = target / "imgs" / str(number_of_batch) / f"sample_{len(lines)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
            lines.append(metadata_line(config, number_of_batch, len(lines), int(label), int(margin)))
            written += 1
            yield path
            if len(lines) == BATCH or written == sizes[split]:
                path = target / "metadata" / f"{number_of_batch}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("".join(lines), encoding="ascii")
                yield path
                number_of_batch, lines = number_of_batch + 1, []
