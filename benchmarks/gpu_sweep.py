"""Everything that needs a GPU, as one command that goes on where it stopped.

    scripts/gpu_sweep [--out gpu] [--minutes 9]       # again and again, until it says that all jobs are done
    scripts/gpu_sweep --toy --device cpu              # the same jobs, so small that a CPU does them in minutes

Jobs are commands of `lra-zoo` in a fixed order: first the efficiency rows of all models (batch 32, allocated peak),
then trainings with the preset `xiong` on ListOps and Pathfinder from virtual rows, then Path-X, a token for each pixel,
with S4D and one X-former. When the minutes are over, the running command gets SIGINT, saves its state or keeps its
finished rows, and the exit code is 75: the next call continues it. Each finished job is a line of OUT/done.jsonl, with
its seconds and the date; rows and cards name the device. A job that fails is a line of OUT/failed.jsonl, is told at the
end, and does not stop the others; --again tries it once more. The exit code is 0 when every job is done, and 1 if one
failed.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from reference_models import attention_names

UNFINISHED = 75  # EX_TEMPFAIL
# How long a command may take to save after SIGINT.
GRACE_S = 60.0
PATH_X = ("s4d", "local")
TOY_MODELS = ("no_attention", "s4d")


class Job(NamedTuple):
    """name: of the lines in done.jsonl. command: what to run."""

    name: str
    command: Sequence[str]


def jobs(out: Path, device: str, *, toy: bool) -> list[Job]:
    """All jobs, in their order."""
    models = TOY_MODELS if toy else attention_names()
    zoo = [sys.executable, "-c", "from reference_models.commands.main import main; main()"]
    rows = ["--models", ",".join(models), "--device", device, "--cap", "5" if toy else "60"]
    lengths = ["--lengths", "128"] if toy else []
    found = [Job("efficiency", [*zoo, "efficiency", *rows, *lengths, "--out", str(out / "efficiency.jsonl")])]
    where = ["--device", device, "--out", str(out / "runs")]
    few = ["--steps", "2", "--batch-size", "2", "--evaluate-every", "2"]
    listops, pathfinder, path_x = "listops/lra", "pathfinder/32-hard", "path-x"
    if toy:
        listops, pathfinder = (str(out / "data" / task) for task in ("listops/mini", "pathfinder/24-mini"))
        path_x = pathfinder
        sizes = ["--train", "20", "--validation", "10", "--test", "10", "--out", str(out / "data")]
        for task in ("listops/mini", "pathfinder/24-mini"):
            found.append(Job(f"build {task}", [sys.executable, "-m", "lra_data", "build", task, *sizes]))
    preset = ["--preset", "mini", *few] if toy else ["--preset", "xiong"]
    for task in (listops, pathfinder):
        found += [Job(f"train {task} {name}", [*zoo, "train", task, name, *preset, *where]) for name in models]
    pixels = ["--preset", "mini-pixels", *(few if toy else ["--steps", "20000", "--batch-size", "32"])]
    where = ["--device", device, "--out", str(out / "pixels")]
    found += [Job(f"pixels {path_x} {name}", [*zoo, "train", path_x, name, *pixels, *where]) for name in PATH_X]
    return found


def names_in(path: Path) -> set[str]:
    """The jobs in a file of lines."""
    return {json.loads(line)["job"] for line in path.read_text().splitlines()} if path.exists() else set()


def run(job: Job, seconds: float) -> int | None:
    """The exit code of a job; None if its time was over, and it ended in order."""
    process = subprocess.Popen(job.command)
    try:
        return process.wait(max(seconds, 1.0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    except KeyboardInterrupt:  # the terminal has sent it to the command as well
        process.wait(GRACE_S)
        raise
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return None


def main() -> None:
    """Run what is left, for some minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="folder for rows and cards (default: gpu)")
    parser.add_argument("--minutes", type=float, default=9.0, help="of this call (default: 9)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--again", action="store_true", help="try the jobs that failed once more")
    parser.add_argument("--toy", action="store_true", help="two models and a few steps")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    done, failed = given.out / "done.jsonl", given.out / "failed.jsonl"
    if given.again:
        failed.unlink(missing_ok=True)
    end = time.monotonic() + 60 * given.minutes
    every = jobs(given.out, given.device, toy=given.toy)
    for number, job in enumerate(every, start=1):
        if job.name in names_in(done) | names_in(failed):
            continue
        print(f"{number} of {len(every)}: {job.name}", flush=True)
        began = time.monotonic()
        code = run(job, end - began)
        if code is None:
            print(f"{given.minutes:g} minutes are over: run the same command again to continue", flush=True)
            sys.exit(UNFINISHED)
        line = {
            "job": job.name,
            "seconds": round(time.monotonic() - began, 1),
            "date": datetime.now(UTC).date().isoformat(),
            **({} if code == 0 else {"exit_code": code}),
        }
        with (done if code == 0 else failed).open("a") as file:
            file.write(json.dumps(line) + "\n")
    wrong = names_in(failed)
    print(
        f"all {len(every)} jobs are done"
        if not wrong
        else f"failed: {', '.join(sorted(wrong))}: see {failed}; --again tries again"
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
