#!/usr/bin/env python3
"""Kills builds at random moments and checks that nothing half-made looks whole, and that the end is the same bytes.

    python benchmarks/crash_drill.py [--workers 1 2] [--kills 10] [--seed 0] [flags of `lra-data build listops` ...]

A reference is built without interruption. Then, for each number of workers, builds are killed with SIGKILL, once the
main process alone and once its whole process group, at moments drawn uniformly from the time an uninterrupted build
takes, and started again, until the asked-for number of kills has hit a running build. A build that reaches its end
before its moment is compared with the reference and removed, and the next starts from nothing.

Not here: power cuts, which need a machine that loses its page cache, and the death of a worker under a living parent.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import lra_data
from lra_data.store.manifest import BUILD_FOLDER, MANIFEST, SHARD_NAME

COMMAND = Path(sysconfig.get_path("scripts")) / "lra-data"
CARD = "README.md"
CROISSANT = "croissant.json"

# A worker whose parent has gone ends as soon as its thread wakes up; this is how long it may take on a busy machine.
STRAY_SECONDS = 10.0

# Runs a drill may need for each kill, since runs that go on from a late state end before their moment.
MOST_RUNS_A_KILL = 20

# What the card of an unfinished set names in place of its data, and so what `datasets` must complain about.
UNFINISHED = "this-set-is-unfinished"
LOAD = "import sys, datasets; datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[2])"


class DrillError(RuntimeError):
    """The drill itself could not go on: no command, or a build without any kill that fails."""


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill that hit a running build. moment: seconds after its start. shards: files in place afterwards.

    whole: the manifest was there already. stray_seconds: until the last process of the run had gone.
    """

    moment: float
    shards: int
    whole: bool
    stray_seconds: float


@dataclass(frozen=True, kw_only=True)
class DrillReport:
    """What a drill found; `violations` is empty if all was as it should be.

    seconds: of an uninterrupted build. builds_finished: builds compared with the reference, each after 0 or more kills.
    load_check: what `datasets` made of an unfinished set, or why it was not asked.
    """

    workers: int
    kill_group: bool
    seconds: float
    num_shards: int
    kills: tuple[Kill, ...]
    builds_finished: int
    load_check: str
    violations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An uninterrupted build. place: of the set below a root, such as listops/lra. digests: SHA-256 of every file."""

    place: Path
    digests: dict[str, str]

    @property
    def shards(self) -> list[str]:
        """Names of the shard files."""
        return [name for name in self.digests if SHARD_NAME.fullmatch(name)]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of the build that ended by itself or was killed. made, kept: row ranges, by the first file of each."""

    code: int
    moment: float
    stray_seconds: float
    strays: int
    stdout: str
    stderr: str

    @property
    def killed(self) -> bool:
        """Whether the kill came before its end."""
        return self.code == -signal.SIGKILL

    def ranges(self, verb: str) -> list[str]:
        """Files of the progress lines that begin with `verb`."""
        lines = [line.split() for line in self.stderr.splitlines()]
        return [words[1] for words in lines if len(words) > 1 and words[0] == verb]

    @property
    def summary(self) -> str:
        """What the run did, in few words."""
        if "already complete" in self.stdout:
            return "already complete"
        end = "killed" if self.killed else "finished" if self.code == 0 else f"exit {self.code}"
        return f"kept {len(self.ranges('kept'))}, made {len(self.ranges('made'))}, {end}"


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

    build_arguments: further flags of `lra-data build listops`. folder: where everything is written; its `reference` is
    built unless it is there. kill_group: kill the workers with their parent. check_load: ask `datasets` once to load
    an unfinished set. say: takes one line a kill. Raises DrillError if a build fails that nobody disturbed.
    """
    if not COMMAND.exists():
        raise DrillError(f"expected the command {COMMAND.name} beside this Python: install the package first")
    reference = make_reference(folder / "reference", build_arguments)
    seconds = time_whole_build(folder / "timed", workers, build_arguments, reference)
    drill = _Drill(
        root=folder / "drill",
        build_arguments=[*build_arguments, "--workers", str(workers)],
        workers=workers,
        kill_group=kill_group,
        reference=reference,
        load_check="" if check_load else "not asked",
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


def make_reference(root: Path, build_arguments: list[str]) -> Reference:
    """Build with one worker and without interruption; a reference that is there already is used again."""
    run = run_build(root, [*build_arguments, "--workers", "1", "--json"])
    if run.code != 0:
        raise DrillError(f"the reference could not be built: {run.stderr.strip()}")
    set_folder = Path(json.loads(run.stdout)["set"])
    digests = digests_of(set_folder)
    for shard in json.loads((set_folder / MANIFEST).read_text())["shards"]:
        if digests.get(shard["file"]) != shard["sha256"]:
            raise DrillError(f"the reference's manifest gives {shard['file']} another sha256 than the file has")
    return Reference(place=set_folder.relative_to(root), digests=digests)


def time_whole_build(root: Path, workers: int, build_arguments: list[str], reference: Reference) -> float:
    """Seconds of an uninterrupted build, whose files must be those of the reference too."""
    began = time.monotonic()
    run = run_build(root, [*build_arguments, "--workers", str(workers)])
    seconds = time.monotonic() - began
    if run.code != 0:
        raise DrillError(f"a build with {workers} workers and no kill ended with {run.code}: {run.stderr.strip()}")
    found = digests_of(root / reference.place)
    other = sorted(name for name in found.keys() | reference.digests if found.get(name) != reference.digests.get(name))
    if other:
        raise DrillError(f"a build with {workers} workers and no kill differs from the reference in {', '.join(other)}")
    shutil.rmtree(root)
    return seconds


def run_build(root: Path, arguments: list[str], *, kill_after: float | None = None, kill_group: bool = False) -> Run:
    """Run the build as a child in a session of its own, kill it after some seconds, and wait for all its processes."""
    # Files and not pipes: a worker that outlives its parent would hold a pipe open.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as log:
        began = time.monotonic()
        child = subprocess.Popen(
            [str(COMMAND), "build", "listops", "--out", str(root), *arguments],
            stdout=out,
            stderr=log,
            start_new_session=True,
        )
        try:
            child.wait(kill_after)
        except subprocess.TimeoutExpired:
            # The child is not waited for yet, so that its number is still its own.
            (os.killpg if kill_group else os.kill)(child.pid, signal.SIGKILL)
            child.wait()
        ended = time.monotonic()
        while (strays := session_members(child.pid)) and time.monotonic() - ended < STRAY_SECONDS:
            time.sleep(0.001)
        gone = time.monotonic()
        for process in strays:
            os.kill(process, signal.SIGKILL)
        out.seek(0)
        log.seek(0)
        return Run(
            code=child.returncode,
            moment=ended - began,
            stray_seconds=gone - ended,
            strays=len(strays),
            stdout=out.read(),
            stderr=log.read(),
        )


def session_members(session: int) -> list[int]:
    """Living processes of a session; where there is no /proc, none are seen."""
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name in brackets, which may hold anything: state, parent, group, session.
            state, _parent, _group, of_session = entry.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(of_session) == session and state not in "ZX":
            members.append(int(entry.parent.name))
    return members


def digests_of(set_folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a folder, by name; folders inside it appear as `name/`."""
    digests = {}
    for path in sorted(set_folder.iterdir()) if set_folder.is_dir() else []:
        if path.is_dir():
            digests[f"{path.name}/"] = "folder"
        else:
            with path.open("rb") as file:
                digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def faults_of_unfinished(set_folder: Path, reference: Reference) -> list[str]:
    """What in a folder after a kill would make a reader take a part for the whole, or a wrong file for a right one."""
    found = digests_of(set_folder)
    faults = [
        f"{name} has other bytes than the reference's"
        for name, digest in found.items()
        if SHARD_NAME.fullmatch(name) and digest != reference.digests.get(name)
    ]
    missing = [name for name in reference.shards if found.get(name) != reference.digests[name]]
    if MANIFEST in found:
        # The reference's manifest names the digests of the reference's shards, see make_reference.
        if found[MANIFEST] != reference.digests[MANIFEST]:
            faults.append(f"{MANIFEST} has other bytes than the reference's")
        wrong = [name for name in (CARD, CROISSANT) if found.get(name) != reference.digests[name]]
        faults += [f"{MANIFEST} is there, {name} is missing or wrong" for name in (*missing, *wrong)]
    elif set(found) & set(reference.shards) and not _card_refuses(set_folder) and missing:
        faults.append(f"{CARD} does not say that the set is unfinished, {missing[0]} is missing")
    return faults


def _card_refuses(set_folder: Path) -> bool:
    path = set_folder / CARD
    return path.exists() and UNFINISHED in path.read_text()


@dataclass(kw_only=True)
class _Drill:
    """The state of one drill: what was found so far, and the kill whose line waits for what comes next."""

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
        """Runs with kills, then one to the end."""
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
        # Each worker may have been killed between a file and its marker; everything else that was there must be kept.
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
        if not whole and not self.load_check and any(name.startswith("train-") for name in shards):
            self._load()
        state = "complete" if whole else "all but the manifest" if len(shards) == len(self.reference.shards) else ""
        self.waiting_line = (
            f"  kill {len(self.kills):>2}/{kills} at {run.moment:5.2f} s: {len(shards)} of "
            f"{len(self.reference.shards)} shards{f' ({state})' if state else ''}; verify: {verdict}"
        )

    def _whole_ranges(self, shards: list[str]) -> set[str]:
        """Row ranges whose files are there in every format, by the name that their files share."""
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
            self.load_check = "not asked, datasets is not installed"
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
        """Compare a build that came to its end, run it once more, and remove it."""
        if run.code != 0:
            self._violation(f"a run that nobody killed ended with {run.code}: {run.stderr.strip()[-300:]}")
        found = digests_of(self.set_folder)
        for name in sorted(found.keys() | self.reference.digests.keys()):
            if found.get(name) != self.reference.digests.get(name):
                what = "missing" if name not in found else "not in the reference" * (name not in self.reference.digests)
                self._violation(f"after the end: {name} is {what or 'not what it is in the reference'}")
        if f"{BUILD_FOLDER}/" in found:
            self._violation(f"after the end: {BUILD_FOLDER} is still there")
        self._run_again(found)
        self.builds_finished += 1
        self.in_place = set()
        shutil.rmtree(self.root, ignore_errors=True)

    def _run_again(self, found: dict[str, str]) -> None:
        """A run on a complete set says so and leaves every file as it was."""
        before = self._times()
        again = run_build(self.root, [*self.build_arguments, "--json"])
        if again.code != 0 or '"was_complete": true' not in again.stdout:
            self._violation(f"a run on a finished set ended with {again.code}: {again.stdout}{again.stderr}")
        if again.stderr:
            self._violation(f"a run on a finished set said: {again.stderr.splitlines()[0]}")
        if digests_of(self.set_folder) != found or self._times() != before:
            self._violation("a run on a finished set wrote to its files")

    def _times(self) -> dict[str, int]:
        """Moments of the last change of each file, but for the lock."""
        paths = self.set_folder.iterdir() if self.set_folder.is_dir() else []
        return {path.name: path.stat().st_mtime_ns for path in paths if path.name != ".lock"}

    def _violation(self, text: str) -> None:
        self.violations.append(f"after {len(self.kills)} kills: {text}")
        self.say(f"  VIOLATION: {text}")


def _run_quietly(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def summary_lines(report: DrillReport) -> list[str]:
    """A drill in few lines."""
    states = Counter(
        "complete"
        if kill.whole
        else "no shard"
        if kill.shards == 0
        else "all shards, no manifest"
        if kill.shards == report.num_shards
        else "some shards"
        for kill in report.kills
    )
    found = ", ".join(f"{state} {count}" for state, count in states.items())
    slowest = max((kill.stray_seconds for kill in report.kills), default=0.0)
    return [
        f"  an uninterrupted build takes {report.seconds:.2f} s",
        f"  {len(report.kills)} kills ({found}); {report.builds_finished} builds finished and compared; "
        f"all processes gone within {1000 * slowest:.0f} ms of a kill",
        f"  load_dataset: {report.load_check}; {len(report.violations)} violations",
    ]


def parse_arguments(arguments: list[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The drill's own flags, and those for the build."""
    parser = argparse.ArgumentParser(
        description="Kill full-size builds of listops at random moments.",
        epilog="Other flags go to `lra-data build listops`, such as --train 2000 --num-shards 4 --format parquet.",
        allow_abbrev=False,
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers (default: 1 2)")
    parser.add_argument("--kills", type=int, default=10, help="kills for each drill (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, not of the set (default: 0)")
    return parser.parse_known_args(arguments)


def digest_of_sources() -> str:
    """One digest for the sources of lra_data: an edit while a drill runs looks like a file with wrong bytes."""
    folder = Path(lra_data.__file__).parent
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).hexdigest()


def main() -> None:
    """Run the drills and exit with 1 on any violation."""
    options, build_arguments = parse_arguments()
    sources = digest_of_sources()
    try:
        reports = run_drills(options, build_arguments)
    except DrillError as error:
        print(f"the drill could not go on: {error}")
        reports = []
    violations = [text for report in reports for text in report.violations]
    num_kills = sum(len(report.kills) for report in reports)
    num_builds = sum(report.builds_finished for report in reports)
    print(f"in all: {num_kills} kills, {num_builds} builds finished and compared, {len(violations)} violations")
    if digest_of_sources() != sources:
        print("the sources of lra_data were edited meanwhile: the drill says nothing, run it again")
        sys.exit(1)
    sys.exit(1 if violations or not reports else 0)


def run_drills(options: argparse.Namespace, build_arguments: list[str]) -> list[DrillReport]:
    """Every number of workers, with the main process killed and with its group."""
    reports: list[DrillReport] = []
    asked = False
    with tempfile.TemporaryDirectory(prefix="lra-data-drill-") as name:
        for workers in options.workers:
            for kill_group in (False, True):
                target = "the process group" if kill_group else "the main process"
                print(f"workers {workers}, SIGKILL to {target}:", flush=True)
                report = run_drill(
                    workers=workers,
                    kills=options.kills,
                    seed=options.seed,
                    build_arguments=build_arguments,
                    folder=Path(name),
                    kill_group=kill_group,
                    check_load=not asked,
                    say=lambda line: print(line, flush=True),
                )
                # Slow, and the same for every drill: once is enough.
                asked = asked or report.load_check.startswith(("refused", "did not"))
                reports.append(report)
                print("\n".join(summary_lines(report)), flush=True)
    return reports


if __name__ == "__main__":
    main()
