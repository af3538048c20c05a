"""One drill: kills until enough of them have hit a running build, with checks after each kill and of the final set."""

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crash_drill.builds import (
    COMMAND,
    STRAY_SECONDS,
    UNFINISHED,
    DrillError,
    Reference,
    Run,
    digests_of,
    faults_of_unfinished,
    make_reference,
    run_build,
    time_whole_build,
)
from lra_data.store.manifest import MANIFEST

# Runs a drill may take for each kill, since runs that continue an almost finished build end before their moment.
MOST_RUNS_A_KILL = 20

LOAD = "import sys, datasets; datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])"


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill that hit a running build.

    moment: seconds after the start of the build.
    shards: number of shard files afterwards.
    whole: whether the manifest existed already.
    stray_seconds: seconds until the last process of the run had ended.
    """

    moment: float
    shards: int
    whole: bool
    stray_seconds: float


@dataclass(frozen=True, kw_only=True)
class DrillReport:
    """The result of a drill; `violations` is empty if every check passed.

    seconds: duration of an uninterrupted build.
    builds_finished: number of builds compared with the reference, each after 0 or more kills.
    load_check: how `datasets` reacted to an unfinished set, or why it was not tried.
    """

    workers: int
    kill_group: bool
    seconds: float
    num_shards: int
    kills: tuple[Kill, ...]
    builds_finished: int
    load_check: str
    violations: tuple[str, ...]


def run_drill(
    *,
    workers: int,
    kills: int,
    seed: int,
    build_arguments: list[str],
    folder: Path,
    kill_group: bool,
    check_load: bool = True,
    say: Callable[[str], None] = print,
) -> DrillReport:
    """Kill builds with `workers` workers until `kills` kills have hit, finish the last, and report.

    seed: seed of the moments.
    build_arguments: task and flags of `lra-data build`.
    folder: folder for all files; its `reference` is built unless it exists.
    kill_group: whether the workers are killed with their parent.
    check_load: whether `datasets` must once try to load an unfinished set.
    say: called with one line for each kill.

    Raises DrillError if a build without a kill fails.
    """
    if not COMMAND.exists():
        raise DrillError(f"expected the command {COMMAND.name} next to this Python: install the package first")
    reference = make_reference(folder / "reference", build_arguments)
    seconds = time_whole_build(folder / "timed", workers, build_arguments, reference)
    drill = _Drill(
        root=folder / "drill",
        build_arguments=[*build_arguments, "--workers", str(workers)],
        workers=workers,
        kill_group=kill_group,
        reference=reference,
        load_check="" if check_load else "not tried",
        say=say,
    )
    drill.run(kills, seconds, random.Random(f"{seed} {workers} {kill_group}"))
    return DrillReport(
        workers=workers,
        kill_group=kill_group,
        seconds=seconds,
        num_shards=len(reference.shards),
        kills=tuple(drill.kills),
        builds_finished=drill.builds_finished,
        load_check=drill.load_check or "no kill left an unfinished set with shards of train",
        violations=tuple(drill.violations),
    )


@dataclass(kw_only=True)
class _Drill:
    """The state of one drill: findings so far, and the line of the last kill, printed with the next run's summary."""

    root: Path
    build_arguments: list[str]
    workers: int
    kill_group: bool
    reference: Reference
    load_check: str
    say: Callable[[str], None]
    kills: list[Kill] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    builds_finished: int = 0
    in_place: set[str] = field(default_factory=set)
    waiting_line: str = ""

    @property
    def set_folder(self) -> Path:
        return self.root / self.reference.place

    def run(self, kills: int, seconds: float, moments: random.Random) -> None:
        """Run builds with kills, then one to the end."""
        shutil.rmtree(self.root, ignore_errors=True)
        for _ in range(kills * MOST_RUNS_A_KILL):
            if len(self.kills) == kills:
                break
            run = self._run(moments.uniform(0, seconds))
            if run.killed:
                self._after_kill(run, kills)
            else:
                self._after_end(run)
        if len(self.kills) < kills:
            self._violation(f"only {len(self.kills)} of {kills} kills hit a running build")
        if self.waiting_line or not self.builds_finished:
            self._after_end(self._run(None))

    def _run(self, kill_after: float | None) -> Run:
        run = run_build(self.root, self.build_arguments, kill_after=kill_after, kill_group=self.kill_group)
        if self.waiting_line:
            self.say(f"{self.waiting_line}; next run: {run.summary}")
            self.waiting_line = ""
        if run.strays:
            self._violation(f"{run.strays} processes still alive {STRAY_SECONDS:.0f} s after the end of their parent")
        # Each worker may have been killed between a file and its marker; all other existing files must be kept.
        again = self.in_place & {Path(name).stem for name in run.ranges("made")}
        if len(again) > self.workers:
            self._violation(f"made {len(again)} ranges again that were finished: {', '.join(sorted(again))}")
        return run

    def _after_kill(self, run: Run, kills: int) -> None:
        for fault in faults_of_unfinished(self.set_folder, self.reference):
            self._violation(fault)
        found = digests_of(self.set_folder)
        shards = [name for name in found if name in self.reference.shards]
        whole = MANIFEST in found
        self.kills.append(Kill(moment=run.moment, shards=len(shards), whole=whole, stray_seconds=run.stray_seconds))
        self.in_place = self._whole_ranges(shards)
        verdict = self._verify(whole=whole)
        # Between the writing of the final card and of the manifest all shards exist, so loading does no harm.
        part = len(shards) < len(self.reference.shards) and any(name.startswith("train-") for name in shards)
        if part and not whole and not self.load_check:
            self._load()
        state = "complete" if whole else "all but the manifest" if len(shards) == len(self.reference.shards) else ""
        self.waiting_line = (
            f"  kill {len(self.kills):>2}/{kills} at {run.moment:5.2f} s: {len(shards)} of "
            f"{len(self.reference.shards)} shards{f' ({state})' if state else ''}; verify: {verdict}"
        )

    def _whole_ranges(self, shards: list[str]) -> set[str]:
        """Row ranges whose files exist in every format, by the stem of the files' names."""
        num_formats = len({Path(name).suffix for name in self.reference.shards})
        return {stem for stem, count in Counter(Path(name).stem for name in shards).items() if count == num_formats}

    def _verify(self, *, whole: bool) -> str:
        """`lra-data verify` must call a complete set sound, and refuse any other with one line."""
        verify = _run_quietly([str(COMMAND), "verify", str(self.set_folder)])
        lines = verify.stderr.splitlines()
        if whole and verify.returncode != 0:
            self._violation(f"verify finds faults in a complete set: {verify.stdout}{verify.stderr}")
        if not whole and (verify.returncode == 0 or len(lines) != 1 or verify.stdout):
            self._violation(f"verify of an unfinished set: exit {verify.returncode}, {verify.stdout}{verify.stderr}")
        return "sound" if verify.returncode == 0 else f"exit {verify.returncode}"

    def _load(self) -> None:
        if importlib.util.find_spec("datasets") is None:
            self.load_check = "not tried, datasets is not installed"
            return
        with tempfile.TemporaryDirectory() as cache:
            load = _run_quietly(
                [sys.executable, "-c", LOAD, str(self.set_folder), cache], HF_HUB_OFFLINE="1", HF_HOME=cache
            )
        if load.returncode != 0 and UNFINISHED in load.stderr:
            self.load_check = "refused an unfinished set"
        else:
            self.load_check = f"did not refuse an unfinished set as it should: exit {load.returncode}"
            self._violation(f"load_dataset {self.load_check}; {load.stderr.strip()[-300:]}")

    def _after_end(self, run: Run) -> None:
        """Compare a build that ended by itself with the reference, and remove it."""
        if run.code == 0:
            self._compare()
        else:
            self._violation(f"a run without a kill ended with {run.code}: {run.stderr.strip()[-300:]}")
        self.in_place = set()
        shutil.rmtree(self.root, ignore_errors=True)

    def _compare(self) -> None:
        """Check that the files have the reference's names and bytes, without `.build`, and a new run changes none."""
        found = digests_of(self.set_folder)
        for name in sorted(found.keys() | self.reference.digests.keys()):
            if name not in found:
                self._violation(f"after the end: {name} is missing")
            elif name not in self.reference.digests:
                self._violation(f"after the end: {name} is still there")
            elif found[name] != self.reference.digests[name]:
                self._violation(f"after the end: {name} has other bytes than the reference's")
        self._run_again(found)
        self.builds_finished += 1

    def _run_again(self, found: dict[str, str]) -> None:
        """Check that a run on a complete set says so and changes no file."""
        before = self._times()
        again = run_build(self.root, [*self.build_arguments, "--json"])
        if again.code != 0 or '"was_complete": true' not in again.stdout:
            self._violation(f"a run on a finished set ended with {again.code}: {again.stdout}{again.stderr}")
        if again.stderr:
            self._violation(f"a run on a finished set printed: {again.stderr.splitlines()[0]}")
        if digests_of(self.set_folder) != found or self._times() != before:
            self._violation("a run on a finished set wrote to its files")

    def _times(self) -> dict[str, int]:
        """Time of the last change of each file except the lock."""
        paths = self.set_folder.iterdir() if self.set_folder.is_dir() else []
        return {path.name: path.stat().st_mtime_ns for path in paths if path.name != ".lock"}

    def _violation(self, text: str) -> None:
        self.violations.append(f"after {len(self.kills)} kills: {text}")
        self.say(f"  VIOLATION: {text}")


def _run_quietly(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False, env={**os.environ, **environment})
