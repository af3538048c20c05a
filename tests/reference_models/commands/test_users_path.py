"""A user's path by the installed commands: build, train, evaluate, table; all of them say the same."""

import json
import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

RUN = "runs/listops/mini/linear"
BUILD = "build listops --preset mini --train 2000 --validation 200 --test 200 --out data"
TRAIN = "train listops/mini linear --root data --steps 40 --evaluate-every 20 --out runs"


def command(folder: Path, name: str, words: str) -> "subprocess.CompletedProcess[str]":
    """Run an installed command in a folder; it must succeed."""
    program = Path(sysconfig.get_path("scripts")) / name
    # Matrices of a small model are no work for two.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [program, *words.split()], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    assert found.returncode == 0, f"{name} {words}:\n{found.stdout}{found.stderr}"
    return found


@pytest.mark.slow
def test_from_nothing_to_a_table(tmp_path: Path) -> None:
    built = command(tmp_path, "lra-data", BUILD).stdout
    assert built.startswith("data/listops/mini: built, 2,400 examples in 3 files")

    trained = command(tmp_path, "lra-zoo", TRAIN)
    card = json.loads((tmp_path / RUN / "card.json").read_text())
    test, validation = card["test"], card["validation"]
    events = [json.loads(line) for line in (tmp_path / RUN / "log.jsonl").read_text().splitlines()]
    looks = {event["step"]: event["validation"] for event in events if "validation" in event}
    assert list(looks) == [20, 40]
    # The better of two looks at validation, of equal ones the first.
    assert card["selected_step"] == max(looks, key=lambda step: int(looks[step]["correct"]))
    assert validation == looks[card["selected_step"]]
    assert card["data"]["examples"] == {"train": 2000, "validation": 200, "test": 200}
    assert test["accuracy"] == test["correct"] / test["examples"] == test["correct"] / 200
    score = f"{test['accuracy']:.2%} ({test['low']:.2%} to {test['high']:.2%})"
    assert trained.stdout == f"{RUN}: test accuracy {score} with the weights of step {card['selected_step']}\n"
    assert [line.split(",")[0] for line in trained.stderr.splitlines()] == [
        "listops/mini linear: step 20",
        "listops/mini linear: step 40",
        f"listops/mini linear: scores test with the weights of step {card['selected_step']}",
        "listops/mini linear: records the model's answers on the first rows",
    ]

    evaluated = command(tmp_path, "lra-zoo", f"evaluate {RUN} listops/mini --root data").stdout
    assert evaluated == (f"linear on listops/mini test: {score}, {test['correct']} of 200, loss {test['loss']:.4f}\n")
    again = json.loads(
        command(tmp_path, "lra-zoo", f"evaluate {RUN} listops/mini --root data --split validation --json").stdout
    )
    assert {name: again[name] for name in validation} == validation

    lines = command(tmp_path, "lra-zoo", "table runs --format md").stdout.splitlines()
    (row,) = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| linear ")]
    (heads,) = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| model ")]
    said = dict(zip(heads, row, strict=True))
    assert said["parameters"] == f"{card['parameters']:,}"
    # Which look is better depends on the machine's rounding.
    assert said["steps"] == ("40" if card["selected_step"] == 40 else f"{card['selected_step']} of 40")
    assert said["correct"] == f"{test['correct']} of 200"
    assert re.fullmatch(rf"{100 * test['accuracy']:.2f} \[.*\]", said["test accuracy"])
    best = max(card["trivial"], key=lambda name: float(card["trivial"][name]))
    assert f"{100 * card['trivial'][best]:.2f}" in said["best trivial"]
