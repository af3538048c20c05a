"""Places that cannot be written: the installation, the home, a set, an --out. And file systems without locks.

A path below a regular file stands for a folder that cannot be written: unlike permissions, it stops root too.
"""

import errno
import fcntl
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lra_data
from lra_data import BuildError, notices
from lra_data.corpora.fetch import Archive, fetch_archive
from lra_data.loading.frameworks.hf_datasets import to_hf
from lra_data.locking import locked_file
from tests.conftest import ROOT, file_bytes

SIZES = {"train": 12, "validation": 4, "test": 4}


@pytest.fixture
def in_the_way(tmp_path: Path) -> Path:
    """A regular file. Nothing can be written below it."""
    file = tmp_path / "file"
    file.write_text("in the way")
    return file


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    monkeypatch.setattr(notices, "_said", set())
    caplog.set_level(logging.WARNING, logger="lra_data")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "lra_data"]


def run_sealed(tmp_path: Path, code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run code with a copy of the package that cannot keep anything, and with no home."""
    copy = tmp_path / "installed"
    if not copy.exists():
        shutil.copytree(ROOT / "lra_data", copy / "lra_data", ignore=shutil.ignore_patterns("__pycache__"))
        for folder in [path for path in copy.rglob("*") if path.is_dir()]:
            (folder / "__pycache__").write_text("a file, so that nothing can be kept in it")
    nowhere = str(tmp_path / "file" / "home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "LRA_DATA", "XDG"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy,
        env={**kept, "HOME": nowhere, "XDG_CACHE_HOME": nowhere, "PYTHONPATH": str(copy), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


DRAW = "import lra_data; print(lra_data.__file__); print(lra_data.take('listops/mini', 'train', [0])['label'][0])"


def test_no_place_for_compiled_kernels(tmp_path: Path, in_the_way: Path) -> None:
    expected = lra_data.take("listops/mini", "train", [0])["label"][0]
    found = run_sealed(tmp_path, DRAW, LRA_DATA_CACHE=str(in_the_way / "cache"))
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [str(tmp_path / "installed" / "lra_data" / "__init__.py"), str(expected)]
    assert found.stderr == (
        "lra-data: no folder for compiled kernels can be written, so each process compiles its own, for seconds: set "
        "NUMBA_CACHE_DIR to a folder that can be written\n"
    )


def test_of_several_workers_one_says_it(tmp_path: Path, in_the_way: Path) -> None:
    code = (
        "from lra_data.building.engines.local_processes import LocalProcesses; from lra_data.notices import say_once\n"
        "say_once('first'); print(list(LocalProcesses(2).run(say_once, ['first', 'second', 'third'])))"
    )
    found = run_sealed(tmp_path, code)
    assert (found.returncode, found.stdout) == (0, "[None, None, None]\n"), found.stderr
    lines = found.stderr.splitlines()
    assert lines.count("lra-data: first") == 1
    assert len(lines) == len(set(lines))


def test_a_finished_set_that_is_read_only(own_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a file system that is read-only cannot be had, and is not needed to see that a set is complete."""
    (own_set / ".lock").unlink()
    (own_set / ".lock").mkdir()  # stops root too
    lra_data.build("listops/mini", own_set.parents[1], num_shards=2, sizes=SIZES)
    with pytest.raises(BuildError, match="cannot write"):
        lra_data.build("listops/mini", own_set.parents[1], num_shards=2, sizes=SIZES, overwrite=True)


def test_compiled_kernels_go_into_our_cache(tmp_path: Path, in_the_way: Path) -> None:
    code = "import numpy as np; from lra_data.random_bits import philox4x64; philox4x64(*map(np.uint64, range(6)))"
    found = run_sealed(tmp_path, code, LRA_DATA_CACHE=str(tmp_path / "cache"))
    assert (found.returncode, found.stderr) == (0, "")
    assert list((tmp_path / "cache" / "kernels").rglob("*.nbc"))


def three(x: int) -> int:
    return 3 * x


@pytest.mark.parametrize("spoil", ["the folder is gone", "the index is damaged"])
def test_a_kernel_cache_that_fails_later(
    tmp_path: Path, said: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    from numba.core import config

    from lra_data.kernel_cache import compiled

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    assert compiled(three)(5) == 15
    (index,) = (tmp_path / "cache").rglob("*.nbi")
    again = compiled(three)
    if spoil == "the folder is gone":
        shutil.rmtree(index.parent)
        index.parent.write_text("in the way")
    else:
        index.write_bytes(b"")  # as after a loss of power
    assert again(6) == 18
    (line,) = said()
    assert str(index.parent) in line
    assert "set NUMBA_CACHE_DIR" in line


@pytest.fixture
def own_set(tmp_path: Path) -> Path:
    lra_data.build("listops/mini", tmp_path / "data", num_shards=2, sizes=SIZES)
    return tmp_path / "data" / "listops" / "mini"


def all_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_datasets_keeps_goes_into_its_own_cache(
    own_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    before = all_names(own_set)
    train = lra_data.load(own_set, split="train")
    for _ in range(2):
        mapped = to_hf(train)
        assert mapped["index"][:] == list(range(12))
        mapped = mapped.map(lambda row: {"twice": 2 * row["label"]})
        mapped = mapped.filter(lambda row: row["index"] > 2).shuffle(seed=1).map(lambda row: {"more": row["twice"]})
        assert sorted(mapped["index"]) == list(range(3, 12))
        part = to_hf(lra_data.load(own_set, split="train[3:]")).map(lambda row: {"one": 1})
        assert part["index"][:] == list(range(3, 12))
    assert all_names(own_set) == before
    assert list((tmp_path / "hf" / "lra-data").rglob("cache-*.arrow"))


def test_a_cache_of_datasets_that_cannot_be_written(
    own_set: Path, in_the_way: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", in_the_way / "hf")
    before = all_names(own_set)
    for _ in range(2):
        assert to_hf(lra_data.load(own_set, split="train")).map(lambda row: {"one": 1})["one"][:] == [1] * 12
    assert all_names(own_set) == before
    (line,) = said()
    assert f"the cache of datasets, {in_the_way / 'hf'}, cannot be written (Not a directory)" in line


def ended(main: Callable[[], Any], arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "listops", "--preset", "mini", "--out", "{}"],
        ["export", "listops/mini", "--out", "{}/tsv"],
        ["show", "path-x", "--num", "1", "--out", "{}/sheet.png"],
        ["explain", "path-x", "test", "0", "--out", "{}/picture.png"],
        ["repair", "{}/listops/mini"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_out_that_cannot_be_written(
    in_the_way: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lra_data.commands.main import main

    monkeypatch.chdir(in_the_way.parent)
    assert ended(main, [word.format(in_the_way) for word in arguments], monkeypatch) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lra-data: error: ")
    assert "Errno" not in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "listops/mini", "local", "--steps", "1", "--out", "{}"],
        ["sweep", "listops/mini:local", "--steps", "1", "--out", "{}"],
        ["draw", "--out", "{}/images"],
        ["table", "--out", "{}/table.md"],
        ["efficiency", "--quick", "--models", "local", "--out", "{}/rows.jsonl"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_out_of_the_zoo_that_cannot_be_written(
    in_the_way: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from reference_models.commands.main import main

    assert ended(main, [word.format(in_the_way) for word in arguments], monkeypatch) == 1
    shown = capsys.readouterr()
    if arguments[0] == "sweep":  # which goes on with the next, and counts
        assert shown.out.splitlines()[-1] == "1 of 1 failed"
        assert str(in_the_way) in shown.out.splitlines()[0]
    else:
        (line,) = shown.err.splitlines()
        assert str(in_the_way) in line
        assert "Errno" not in line


def test_a_plot_that_cannot_be_written(in_the_way: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    from reference_models.figures import efficiency, style
    from reference_models.model.card import CheckpointError
    from tests.support.efficiency_rows import made_up

    rows = [made_up("local", length, 0.1) for length in (1024, 2048)]
    with pytest.raises(CheckpointError, match=r"plot\.png: expected to write"):
        style.save(efficiency.figure(rows, width=3.25), in_the_way / "plot.png")


@pytest.fixture(params=["ENOLCK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS"])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Files cannot be locked, as on some network file systems."""
    number: int = getattr(errno, request.param)

    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    return number


@pytest.mark.filterwarnings("ignore:.*flock.*")  # filelock says so itself, too, where it makes a lock without flock
def test_a_file_system_without_locks(no_locks: int, tmp_path: Path, said: Callable[[], list[str]]) -> None:
    expected = lra_data.build("listops/mini", tmp_path / "data", sizes=SIZES)
    again = lra_data.build("listops/mini", tmp_path / "data", sizes=SIZES)
    assert again == expected
    assert lra_data.verify(tmp_path / "data" / "listops" / "mini") == []
    if no_locks != errno.ENOSYS:
        (line,) = said()
        assert line == (
            f"lra-data: the file system of {tmp_path / 'data' / 'listops' / 'mini'} has no file locks "
            f"({os.strerror(no_locks)}); continuing without a lock: do not run two such commands at the same time"
        )


@pytest.mark.filterwarnings("ignore:.*flock.*")
def test_a_cache_without_locks(
    no_locks: int, tmp_path: Path, own_set: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("LRA_DATA_CACHE", str(tmp_path / "cache"))
    train = lra_data.load("listops/mini", split="train", root=f"file://{tmp_path}/data")
    assert next(train.batches(12)).indices.tolist() == list(range(12))
    content = (own_set / "README.md").read_bytes()
    (tmp_path / "cache" / "corpus").write_bytes(content)
    archive = Archive(name="corpus", urls=("http://127.0.0.1:9/corpus",), bytes=len(content), digest=None)
    assert fetch_archive([archive], lambda *_: None).read_bytes() == content
    if no_locks != errno.ENOSYS:
        assert len(said()) == 2  # of the shards, and of the archives


def test_other_faults_of_a_lock_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error"), locked_file(tmp_path / "lock"):
        pass


def test_a_lock_that_another_holds(tmp_path: Path) -> None:
    from filelock import Timeout

    with locked_file(tmp_path / "lock") as held:
        assert held
        code = (
            "import sys; from pathlib import Path; from lra_data.locking import locked_file\n"
            "with locked_file(Path(sys.argv[1]), wait=False): print('got it')"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "lock")]
        other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert Timeout.__name__ in other.stderr
        assert other.stdout == ""
    assert file_bytes(tmp_path)["lock"] == b""
