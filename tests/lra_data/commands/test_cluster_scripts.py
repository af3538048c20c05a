"""Scripts for clusters: what they run is a build in parts, and wrong options are refused before a cluster sees them."""

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import file_bytes
from tests.support.commands import run

BUILD = ["--preset", "mini", "--train", "20", "--validation", "4", "--test", "4", "--num-shards", "4"]


def lines(script: str) -> list[str]:
    """What a script runs, without comments and settings."""
    return [line for line in script.splitlines() if line and not line.startswith("#")]


@pytest.mark.slow
def test_a_slurm_script_builds_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = run("script", "slurm", "listops", "--parts", "3", "--cpus", "2", *BUILD, "--out", "sets", cwd=tmp_path)
    assert script.returncode == 0, script.stderr
    subprocess.run(["bash", "-n"], input=script.stdout, text=True, check=True)
    assert "#SBATCH --array=0-2\n" in script.stdout
    assert "#SBATCH --cpus-per-task=2\n" in script.stdout
    *_, command = lines(script.stdout)
    words = shlex.split(command)
    assert words[-4:] == ["--part", "auto/3", "--workers", "2"]
    assert words[words.index("--out") + 1] == str(tmp_path / "sets")
    wrapped = next(line for line in script.stdout.splitlines() if "--wrap=" in line).partition("--wrap=")[2]
    (finish,) = shlex.split(wrapped)
    for index in range(3):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(index))
        part = run(*words[1:], cwd=Path("/"))
        assert f"part {index} of 3 built" in part.stdout, part.stderr
    assert run(*shlex.split(finish)[1:], cwd=Path("/")).returncode == 0
    whole = run("build", "listops", *BUILD, "--out", str(tmp_path / "whole"))
    assert whole.returncode == 0
    assert file_bytes(tmp_path / "sets" / "listops" / "mini") == file_bytes(tmp_path / "whole" / "listops" / "mini")


def test_a_kubernetes_job(tmp_path: Path) -> None:
    script = run(
        "script",
        "kubernetes",
        "path-x",
        "--parts",
        "64",
        "--parallel",
        "8",
        "--image",
        "me/lra:1",
        "--out",
        "s3://b/data",
    )
    assert script.returncode == 0, script.stderr
    job = yaml.safe_load(script.stdout)
    assert (job["kind"], job["metadata"]["name"]) == ("Job", "lra-data-path-x")
    assert (job["spec"]["completionMode"], job["spec"]["completions"], job["spec"]["parallelism"]) == ("Indexed", 64, 8)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "me/lra:1"
    assert container["command"] == [
        *["lra-data", "build", "path-x", "--out", "s3://b/data", "--part", "auto/64", "--workers", "1"]
    ]
    rules = job["spec"]["podFailurePolicy"]["rules"]
    assert rules[0]["onExitCodes"] == {"operator": "In", "values": [2]}
    assert "lra-data build path-x --out s3://b/data --finish" in script.stdout


def test_paths_are_absolute(tmp_path: Path) -> None:
    found = run("script", "slurm", "text", "--corpus", "imdb.tar.gz", "--out=here", cwd=tmp_path)
    assert f"--corpus {tmp_path}/imdb.tar.gz --out={tmp_path}/here --part auto/16" in found.stdout
    assert f"--out {tmp_path}/data --part" in run("script", "slurm", "listops", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["listops", "--trian", "5"], "No such option '--trian'"),
        (["no-such-task"], "unknown task 'no-such-task'"),
        (["listops", "--part", "0/2"], "expected no --part among the build options of a script"),
        (["listops", "--overwrite"], "expected no --overwrite among"),
        (["listops", "--engine", "ray"], "expected the engine local in a script"),
        (["listops", "--parts", "0"], "0 is not in the range"),
    ],
)
def test_wrong_options_are_told_at_once(arguments: list[str], message: str) -> None:
    for kind in ("slurm", "kubernetes"):
        found = run("script", kind, *arguments)
        assert (found.returncode, found.stdout) == (2, "")
        assert message in found.stderr
        assert found.stderr.count("\n") == 1
