"""CPU time of training steps of the preset `mini`: its parts, its ratio to the bare products, and to another version.

    python -m benchmarks.training_step [--task listops] [--models linear,full] [--steps 20]
    python -m benchmarks.training_step --compiled
    python -m benchmarks.training_step --beside DIR [--rounds 3]

The first prints, for each model, the milliseconds of a step and the shares of the loader, the embedding, the attention,
the feed-forward layers, the optimiser, and the rest; then the ratio of the step to its matrix products alone, which are
recorded in a step and repeated with the same shapes. One thread, CPU seconds of the process.

The second takes each step twice, without and with `torch.compile`, and prints the ratio.

The third trains with this checkout and with the one in DIR, each in a process of its own, turn by turn, and prints the
ratio of their steps a second for each model, and the geometric mean. DIR may be a version of another layout, such as
`git worktree add DIR ef67265`: only the public `preset`, `TrainConfig`, `Splits` and `train` are used.
"""

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import geometric_mean, median

import torch

from benchmarks.first_use.__main__ import cpu_model
from benchmarks.training_step.compiled import compared
from benchmarks.training_step.parts import measured
from reference_models import attention_names

ROOT = Path(__file__).parents[2]
# Trains for two numbers of steps; the difference has neither the set-up nor the evaluations.
CHILD = """
import sys, tempfile, time
from pathlib import Path
import torch, lra_data
from reference_models import Splits, TrainConfig, preset, train
torch.set_num_threads(1)
task, model, few, many = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
name = {"listops": "listops/mini", "pathfinder": "pathfinder/32-easy"}[task]
splits = Splits(**{split: lra_data.load(name, split=f"{split}[:{rows}]")
    for split, rows in {"train": 4096, "validation": 32, "test": 32}.items()})
def seconds(steps):
    recipe = TrainConfig(steps=steps, batch_size=32, learning_rate=1e-3, warmup=1, clip_norm=1.0, evaluate_every=steps)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        train(preset("mini", task=task, attention=model), recipe, splits, Path(folder), device="cpu")
        return time.process_time() - began
seconds(1)
short = seconds(few)
print((seconds(many) - short) / (many - few))
"""


def seconds_a_step(checkout: Path, task: str, model: str, steps: int) -> float:
    """CPU seconds of a step of a checkout's trainer, in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-c", CHILD, task, model, "2", str(2 + steps)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        raise SystemExit(f"{checkout}, {model}: {found.stderr.strip().splitlines()[-1]}")
    return float(found.stdout.split()[-1])


def compare(other: Path, task: str, models: list[str], steps: int, rounds: int) -> None:
    """Print the ratio of steps a second of this checkout to the other's."""
    print("| model | other, ms | here, ms | ratio |\n| --- | ---: | ---: | ---: |")
    ratios = []
    for model in models:
        times: dict[Path, list[float]] = {other: [], ROOT: []}
        for _ in range(rounds):
            for checkout, found in times.items():
                found.append(seconds_a_step(checkout, task, model, steps))
        there, here = (median(found) for found in times.values())
        ratios.append(there / here)
        print(f"| {model} | {1e3 * there:.1f} | {1e3 * here:.1f} | {ratios[-1]:.2f} |", flush=True)
    print(f"\ngeometric mean of {len(ratios)} models: {geometric_mean(ratios):.2f}")


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="listops", choices=("listops", "pathfinder"))
    parser.add_argument("--models", help="names with commas; default: all")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compiled", action="store_true", help="compare compiled steps with others")
    parser.add_argument("--beside", type=Path, help="another checkout")
    given = parser.parse_args()
    models = given.models.split(",") if given.models else attention_names()
    torch.set_num_threads(1)
    print(
        f"{cpu_model()}, torch {torch.__version__}, Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}\n"
    )
    if given.beside is not None:
        compare(given.beside.resolve(), given.task, models, given.steps, given.rounds)
        return
    if given.compiled:
        print("| model | eager, ms | compiled, ms | ratio | first step, s |\n| --- | ---: | ---: | ---: | ---: |")
        for model in models:
            pair = compared(given.task, model, given.steps)
            print(
                f"| {model} | {1e3 * pair.eager:.1f} | {1e3 * pair.compiled:.1f} | {pair.eager / pair.compiled:.2f} | "
                f"{pair.first:.0f} |",
                flush=True,
            )
        return
    print(
        "| model | step, ms | loader | embedding | attention | feed-forward | optimiser | rest | products, ms | ratio |"
    )
    print("| --- |" + " ---: |" * 9)
    for model in models:
        found = measured(given.task, model, given.steps)
        shares = " | ".join(f"{share:.0%}" for share in found.shares)
        print(
            f"| {model} | {1e3 * found.step:.1f} | {shares} | {1e3 * found.products:.1f} | "
            f"{found.step / found.products:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
