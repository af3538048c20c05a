"""Searches recipes: short trainings, judged on the validation split alone, each a line of a JSONL file.

    python -m benchmarks.recipes pathfinder/24-mini full linear no_attention --steps 500,1000 --learning-rate 1e-3,2e-3
    python -m benchmarks.recipes image/lra full --corpus ARCHIVE --allow-partial --model '{"standardised": false}'

Every combination of models, steps, rates, and batch sizes is trained once, with one thread; options that are not given
are the preset's. A trial whose line is in the file is not trained again, so a search that was stopped goes on. Lines of
trials that did not learn stay: they say what was tried. A line has the settings that differ from the preset, the
accuracy on validation at each evaluation, the mean losses of the log, CPU seconds, device, date and versions.

--data '{"contour_length": 4}' changes fields of the task's configuration, --model fields of the model, --recipe further
fields of the recipe.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import torch

import lra_data
from benchmarks.first_use.__main__ import cpu_model
from reference_models import Splits, preset, train
from reference_models.training.recipes import recipe_for, with_changes

TRIALS = Path(__file__).with_name("trials.jsonl")
SETTINGS = ("task", "model", "preset", "data", "model_changes", "recipe_changes", "validation_examples")


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--steps", type=numbers, default=[None])
    parser.add_argument("--learning-rate", type=numbers, default=[None])
    parser.add_argument("--batch-size", type=numbers, default=[None])
    parser.add_argument("--data", type=json.loads, default={})
    parser.add_argument("--model", type=json.loads, default={}, dest="model_changes")
    parser.add_argument("--recipe", type=json.loads, default={})
    parser.add_argument("--validation", type=int, default=4000, help="examples of the validation split, at most")
    parser.add_argument("--corpus")
    parser.add_argument("--allow-partial", action="store_true")
    parser.add_argument("--out", type=Path, default=TRIALS)
    return parser.parse_args()


def opened(options: argparse.Namespace) -> Splits:
    """Validation stands for test too, so that no choice can depend on test scores."""
    corpus = None if options.corpus is None else lra_data.Corpus(options.corpus, allow_partial=options.allow_partial)
    task: Any = lra_data.get_task(options.task)
    if options.data:
        task = replace(task.config, **{k: tuple(v) if isinstance(v, list) else v for k, v in options.data.items()})

    def split(name: str, rows: str = "") -> Any:
        return lra_data.load(task, split=f"{name}{rows}", corpus=corpus)

    some = split("validation", f"[:{options.validation}]")
    return Splits(train=split("train"), validation=some, test=some)


def trial(settings: Mapping[str, Any], splits: Splits) -> dict[str, Any]:
    """One training in a folder that is then removed."""
    task = splits.train.task
    pixels = None if task.picture_shape is None else task.max_length
    model = replace(
        preset(settings["preset"], task=task.family, attention=settings["model"], pixels=pixels),
        **settings["model_changes"],
    )
    usual = recipe_for(settings["preset"], task, settings["model"])
    training = with_changes(usual, settings["recipe_changes"])
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        card = train(model, training, splits, Path(folder), device="cpu")
        seconds = time.process_time() - began
        log = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    return {
        **settings,
        "steps": training.steps,
        "best": round(card.validation.correct / card.validation.examples, 4),
        "selected_step": card.selected_step,
        "evaluations": [
            [line["step"], round(line["validation"]["correct"] / line["validation"]["examples"], 4)]
            for line in log
            if "validation" in line
        ],
        "losses": [[line["step"], round(line["loss"], 4)] for line in log if "loss" in line],
        "parameters": card.parameters,
        "cpu_seconds": round(seconds, 1),
        "device": cpu_model(),
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
    }


def main() -> None:
    options = parsed()
    torch.set_num_threads(1)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    known = [{name: line[name] for name in SETTINGS} for line in map(json.loads, lines)]
    splits = opened(options)
    whole = {"steps": int, "batch_size": int, "learning_rate": float}
    for model, *values in product(options.models, options.steps, options.batch_size, options.learning_rate):
        changes = {
            name: whole[name](value)
            for name, value in zip(("steps", "batch_size", "learning_rate"), values, strict=True)
            if value is not None
        }
        settings = {
            "task": options.task,
            "model": model,
            "preset": options.preset,
            "data": options.data,
            "model_changes": options.model_changes,
            "recipe_changes": {**options.recipe, **changes},
            "validation_examples": len(splits.validation),
        }
        if settings in known:
            continue
        found = trial(settings, splits)
        with options.out.open("a") as file:
            file.write(json.dumps(found) + "\n")
        print(
            f"{found['task']} {model} {settings['data'] or ''} {settings['model_changes'] or ''} "
            f"{settings['recipe_changes']}: {100 * found['best']:.1f} % at {found['selected_step']}, "
            f"{found['cpu_seconds']:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
