"""Slurm with two nodes on this machine: munged, slurmctld and two slurmd, with files and ports of their own.

It ends only processes that it started.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "munged")
INSTALL = "apt-get install slurmctld slurmd slurm-client munge"
HOST = "127.0.0.1"

_CONFIGURATION = """
ClusterName=lra-data-test
SlurmctldHost={hostname}({host})
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
MpiDefault=none
ReturnToService=2
SlurmdTimeout=15
KillWait=5
SchedulerParameters=batch_sched_delay=1,sched_interval=2
{nodes}
PartitionName=all Nodes=n1,n2 Default=YES State=UP MaxTime=INFINITE
"""


def missing() -> str:
    """The line that installs what is missing; empty if nothing is."""
    return INSTALL if any(shutil.which(program, path=_path()) is None for program in PROGRAMS) else ""


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


class SlurmCluster:
    """The running cluster. environment: for commands that speak to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start everything, and wait until both nodes are idle."""
        for name in ("state", "spool-n1", "spool-n2", "munge"):
            (self.folder / name).mkdir()
        (self.folder / "munge").chmod(0o755)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr={HOST} Port={_free_port()} CPUs=1 "
            "RealMemory=8000 State=UNKNOWN"
            for name in ("n1", "n2")
        )
        text = _CONFIGURATION.format(
            hostname=socket.gethostname(),
            host=HOST,
            port=_free_port(),
            user=os.environ.get("USER") or "root",
            folder=self.folder,
            nodes=nodes,
        )
        (self.folder / "slurm.conf").write_text(text)
        munge = self.folder / "munge"
        files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "log", "seed")]
        self._run("munged", "--foreground", "--force", f"--socket={munge / 'socket'}", *files)
        self._wait((munge / "socket").exists)
        self._run("slurmctld", "-D")
        for name in ("n1", "n2"):
            self.start_node(name)
        self._wait(lambda: self.command("sinfo", "-h", "-N", "-o", "%T").split() == ["idle", "idle"])

    def start_node(self, name: str) -> None:
        """Start one node."""
        self._run("slurmd", "-D", "-N", name, key=name)

    def kill_node(self, name: str) -> None:
        """End a node at once, with everything that runs on it."""
        for pid in [*_descendants(self._processes[name].pid), self._processes[name].pid]:
            os.kill(pid, signal.SIGKILL)
        self._processes.pop(name).wait()

    def stop(self) -> None:
        """End everything that was started."""
        for name in ("n1", "n2"):
            if name in self._processes:
                self.kill_node(name)
        for process in self._processes.values():
            process.kill()
            process.wait()

    def command(self, *arguments: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(arguments, env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else done.stderr

    def submit(self, *arguments: str, cwd: Path) -> str:
        """`sbatch`; the number of the job."""
        done = subprocess.run(
            ["sbatch", "--parsable", *arguments],
            env=self.environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def wait_for(self, job: str, seconds: float = 180.0) -> None:
        """Wait until no task of a job is left."""
        self._wait(lambda: not self.command("squeue", "-h", "-j", job, "-o", "%i").strip(), seconds)

    def _run(self, *command: str, key: str = "") -> None:
        with (self.folder / f"{key or command[0]}.out").open("wb") as log:
            self._processes[key or command[0]] = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )

    def _wait(self, true: "object", seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():  # type: ignore[operator]
            assert time.monotonic() < deadline, self.command("sinfo", "-N", "-l") + self.command("squeue")
            time.sleep(0.2)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [*_descendants(child), child]
    return found
