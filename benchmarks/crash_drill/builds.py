"""The builds of a drill: run as child processes, killed or not, and compared with an uninterrupted reference."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lra_data.store.manifest import MANIFEST, SHARD_NAME

COMMAND = Path(sysconfig.get_path("scripts")) / "lra-data"
CARD = "README.md"
CROISSANT = "croissant.json"

# A worker whose parent has died ends when its watching thread next runs; on a busy machine it may take this long.
STRAY_SECONDS = 10.0

# The card of an unfinished set names this in place of its data, so the error of `datasets` must contain it.
UNFINISHED = "this-set-is-unfinished"


class DrillError(RuntimeError):
    """The drill itself cannot continue: the command is missing, or a build without any kill fails."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """An uninterrupted build.

    place: path of the set within a root, such as listops/lra.
    digests: SHA-256 of every file.
    """

    place: Path
    digests: dict[str, str]

    @property
    def shards(self) -> list[str]:
        """Names of the shard files."""
        return [name for name in self.digests if SHARD_NAME.fullmatch(name)]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of the build that ended by itself or was killed.

    code: exit status, negative for a signal.
    moment: duration in seconds.
    stray_seconds: seconds from the end of the main process to that of its last descendant.
    strays: number of descendants that were still alive after STRAY_SECONDS.
    """

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
        """The files named in the progress lines that begin with `verb`."""
        lines = [line.split() for line in self.stderr.splitlines()]
        return [words[1] for words in lines if len(words) > 1 and words[0] == verb]

    @property
    def summary(self) -> str:
        """A short description of what the run did."""
        if "already complete" in self.stdout:
            return "already complete"
        end = "killed" if self.killed else "finished" if self.code == 0 else f"exit {self.code}"
        return f"kept {len(self.ranges('kept'))}, made {len(self.ranges('made'))}, {end}"


def make_reference(root: Path, build_arguments: list[str]) -> Reference:
    """Build with one worker and without interruption; an existing reference is used again."""
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
    shutil.rmtree(root, ignore_errors=True)
    run = run_build(root, [*build_arguments, "--workers", str(workers)])
    if run.code != 0:
        raise DrillError(f"a build with {workers} workers and no kill ended with {run.code}: {run.stderr.strip()}")
    found = digests_of(root / reference.place)
    other = sorted(name for name in found.keys() | reference.digests if found.get(name) != reference.digests.get(name))
    if other:
        raise DrillError(f"a build with {workers} workers and no kill differs from the reference in {', '.join(other)}")
    shutil.rmtree(root)
    return run.moment


def run_build(root: Path, arguments: list[str], *, kill_after: float | None = None, kill_group: bool = False) -> Run:
    """Run the build as a child in a session of its own, kill it after some seconds, and wait for all its processes."""
    # Files instead of pipes: a worker that outlives its parent would keep a pipe open.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as log:
        began = time.monotonic()
        child = subprocess.Popen(
            [str(COMMAND), "build", *arguments, "--out", str(root)],
            stdout=out,
            stderr=log,
            start_new_session=True,
        )
        try:
            child.wait(kill_after)
        except subprocess.TimeoutExpired:
            # The child was not waited for yet, so its process id cannot belong to another process.
            (os.killpg if kill_group else os.kill)(child.pid, signal.SIGKILL)
            child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)  # Ctrl-C does not reach another session
            raise
        ended = time.monotonic()
        while (strays := session_members(child.pid)) and time.monotonic() - ended < STRAY_SECONDS:
            time.sleep(0.001)
        gone = time.monotonic()
        for process in strays:
            with suppress(ProcessLookupError):
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
    """The living processes of a session; an empty list on systems without /proc."""
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may contain anything; after it come state, parent, group and session.
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
    """Faults in a folder after a kill that would let a reader take a partial set or a wrong file for a good one."""
    found = digests_of(set_folder)
    faults = [
        f"{name} has other bytes than the reference's"
        for name, digest in found.items()
        if SHARD_NAME.fullmatch(name) and digest != reference.digests.get(name)
    ]
    missing = [name for name in reference.shards if found.get(name) != reference.digests[name]]
    if MANIFEST in found:
        # The reference's manifest has the digests of the reference's shards (see make_reference).
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
