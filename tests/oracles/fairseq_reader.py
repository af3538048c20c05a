"""Mega's two fairseq tasks, `lra-text` and `lra-image`, as they read a DATA folder, before any shuffle.

Restated from facebookresearch/mega at 09f1a87 (fairseq/tasks/long_range_arena.py, pixel_sequence_dataset.py) and from
fairseq's dictionary.py, indexed_dataset.py (`raw`) and tokenizer.py. Knows nothing of lra_data.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
END, UNKNOWN = 2, 3


@dataclass(frozen=True)
class TextExample:
    """Ids of each text, cut, and the class."""

    sides: tuple[list[int], ...]
    label: int


def read_dictionary(path: Path) -> list[str]:
    """Words in the order of their ids: the four special ones, then `<word> <count>` a line."""
    words = list(SPECIAL)
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        word, count = line.rstrip().rsplit(" ", 1)
        int(count)
        if word in words:
            raise RuntimeError(f"duplicate word {word!r}")
        words.append(word)
    return words


def _read_raw(path: Path, words: list[str]) -> list[list[int]]:
    """A line an example: split at white space, numbered, </s> appended. Text mode, so CR ends a line too."""
    number = {word: place for place, word in enumerate(words)}
    with path.open("r", encoding="utf-8") as file:
        return [
            [*(number.get(word, UNKNOWN) for word in re.sub(r"\s+", " ", line).strip().split()), END] for line in file
        ]


def read_lra_text(data: Path, split: str, max_positions: int) -> list[TextExample]:
    """split: train, valid or test. Ids of the first text come from src-bin, of a second from src1-bin."""
    words = read_dictionary(data / "src-bin" / "dict.txt")
    classes = read_dictionary(data / "label-bin" / "dict.txt")
    folders = [data / "src-bin"] + ([data / "src1-bin"] if (data / "src1-bin" / split).exists() else [])
    # `--dataset-impl` is inferred: raw where a file of the split's bare name is.
    columns = [_read_raw(folder / split, words) for folder in folders]
    labels = _read_raw(data / "label-bin" / split, classes)
    examples = []
    for label, *sides in zip(labels, *columns, strict=True):
        (class_id,) = [number for number in label if number != END]
        cut = tuple(side[:max_positions] for side in sides)
        examples.append(TextExample(cut, class_id - len(SPECIAL)))
    return examples


def read_lra_image(data: Path, split: str, normalization: tuple[float, float]) -> list[tuple[Any, int]]:
    """Float32 pixels of each picture, and the class."""
    import torch

    mean, deviation = normalization
    with (data / "input" / f"{split}.src").open("r", encoding="utf-8") as file:
        pixels = [
            torch.tensor([int(word) for word in line.split()], dtype=torch.float32).div(255.0).sub(mean).div(deviation)
            for line in file
        ]
    with (data / "label" / f"{split}.label").open() as file:
        labels = [int(line.strip()) for line in file.readlines()]
    return list(zip(pixels, labels, strict=True))
