"""The layout of the released Pathfinder images, `pathfinder<R>/<difficulty's folder>/{imgs,metadata}/…`.

Pictures are numbered within batches; a batch is a folder of pictures and a text file, called `.npy` as in the release,
with one line a picture: folder, file, number, label, continuity, contour length, distractor length, paddle length,
paddle thickness, margin, number of contrasts (LRA data/pathfinder.py:86-101 reads the first two and the label).
"""

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

from lra_data.corpora.ignored_files import is_hidden
from lra_data.errors import UsageError, unknown_name
from lra_data.pathfinder.config import DIFFICULTIES, Config
from lra_data.pathfinder.released.layout_metadata import ReleasedPicture, read_metadata
from lra_data.splits import SPLITS

__all__ = [
    "RELEASED",
    "ReleasedPicture",
    "find_release",
    "in_splits",
    "read_metadata",
    "release_folder",
]

# Number of pictures in a folder of the release (issue 38 of LRA; its TRAIN_EXAMPLES, 160,000, are 80 %).
RELEASED = 200_000

# Folders by difficulty (PF0 snakes2_wrapper.py:81-92).
FOLDERS = {"easy": "curv_baseline", "intermediate": "curv_contour_length_9", "hard": "curv_contour_length_14"}


def release_folder(config: Config) -> Path:
    """`pathfinder128/curv_contour_length_14`; contour lengths that are not in the release have names of this form."""
    difficulty = next((name for name, length in DIFFICULTIES.items() if length == config.contour_length), None)
    folder = FOLDERS[difficulty] if difficulty is not None else f"curv_contour_length_{config.contour_length}"
    return Path(f"pathfinder{config.resolution}") / folder


def find_release(folder: Path, resolution: int | None, difficulty: str | None) -> Path:
    """The folder with `imgs` and `metadata`: `folder` itself, or the folder for resolution and difficulty below it.

    Raises UsageError, naming the wanted folder, if none or several fit.
    """
    if difficulty is not None and difficulty not in FOLDERS:
        raise unknown_name("pathfinder difficulty", difficulty, FOLDERS)
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder, found none: unpack the release, name pathfinder<R>/<curv_...>")
    if (folder / "metadata").is_dir():
        return folder
    wanted = f"pathfinder{resolution if resolution is not None else '*'}/{FOLDERS[difficulty] if difficulty else '*'}"
    found = sorted(
        path.parent
        for pattern in (wanted, wanted.partition("/")[2], f"lra_release/{wanted}", f"lra_release/lra_release/{wanted}")
        for path in folder.glob(f"{pattern}/metadata")
        if not is_hidden(path.relative_to(folder).as_posix())
    )
    if len(found) != 1:
        named = ", ".join(str(path) for path in found) if found else "none"
        raise UsageError(
            f"expected one folder {wanted} with imgs and metadata in {folder}, found {named}: name it, or give "
            "--res and --difficulty"
        )
    return found[0]


def in_splits(pictures: Iterable[ReleasedPicture], difficulty: str, lost: int = 0) -> dict[str, list[ReleasedPicture]]:
    """The pictures as LRA splits them: 80, 10 and 10 % of their order in TensorFlow Datasets.

    For a whole release the cuts are exact. For a part, the exact cuts are unknown. There a picture's split follows from
    its MD5 alone, which gives the same split as in the whole release, except for pictures next to a cut.

    lost: number of unreadable lines of metadata. If only these are missing from a whole release, the cuts are moved by
        their share, so that at most as many pictures next to a cut change their split.
    """
    ordered = sorted(pictures, key=lambda picture: picture.order(difficulty))
    if len(ordered) in (RELEASED, RELEASED - lost):
        cuts = [len(ordered) * tenths // 10 for tenths in (8, 9)]
    else:
        places = [int.from_bytes(picture.order(difficulty), "big") for picture in ordered]
        cuts = [bisect_left(places, 2**128 * tenths // 10) for tenths in (8, 9)]
    return dict(zip(SPLITS, (ordered[: cuts[0]], ordered[cuts[0] : cuts[1]], ordered[cuts[1] :]), strict=True))
