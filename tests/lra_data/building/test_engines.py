"""The contract of engines: results in any order, twice, from processes elsewhere; and how an engine is found."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import lra_data
from lra_data import UsageError
from lra_data.building import engines
from lra_data.building.build_set import Progress
from lra_data.building.engines import engine
from lra_data.building.engines.engine import engine_names, get_engine
from lra_data.building.engines.local_processes import LocalProcesses
from tests.conftest import file_bytes
from tests.support.commands import run
from tests.support.small_builds import MINI

OPTIONS: dict[str, Any] = {"num_shards": 4, "sizes": {"train": 20, "validation": 4, "test": 4}}

_ELSEWHERE = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
calls = pickle.load(sys.stdin.buffer)
pickle.dump([function(job) for function, job in calls], sys.stdout.buffer)
"""


class Elsewhere:
    """Runs all jobs in another process, in another folder; gives results backwards, and one of them twice."""

    def run(self, function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        sent = pickle.dumps(sys.path) + pickle.dumps([(function, job) for job in jobs])
        done = subprocess.run([sys.executable, "-c", _ELSEWHERE], input=sent, capture_output=True, cwd="/", check=True)
        results = pickle.loads(done.stdout)
        yield from [*results[::-1], results[2]]


def test_the_same_files_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lra_data.build(MINI, tmp_path / "here", **OPTIONS)
    steps: list[Progress] = []
    lra_data.build(MINI, "relative", **OPTIONS, engine=Elsewhere(), progress=steps.append)
    assert file_bytes(tmp_path / "relative" / MINI) == file_bytes(tmp_path / "here" / MINI)
    assert [step.ranges_done for step in steps] == list(range(1, 7))
    assert steps[-1].rows_done == 28


def test_names() -> None:
    assert set(engine_names()) >= {"local", "ray", "dask"}
    assert isinstance(get_engine("local"), LocalProcesses)
    with pytest.raises(UsageError, match=r"unknown engine 'rya'. Did you mean 'ray'\? Known: "):
        get_engine("rya")
    for name in ("ray", "dask"):
        with pytest.raises(UsageError, match=f"expected no --workers with --engine {name}"):
            get_engine(name, 2)


def test_another_engine_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quiet_one.py").write_text(
        "class Quiet:\n    def run(self, function, jobs):\n        yield from map(function, jobs)\n\n"
        "def engine_for(workers):\n    return Quiet()\n"
    )
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(tmp_path)])
    engine._modules.cache_clear()
    try:
        assert "quiet" in engine_names()
        lra_data.build(MINI, tmp_path / "sets", **OPTIONS, engine=get_engine("quiet"))
    finally:
        monkeypatch.undo()
        engine._modules.cache_clear()
        sys.modules.pop("lra_data.building.engines.quiet_one", None)
    assert lra_data.verify(tmp_path / "sets" / MINI) == []


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("dask", "distributed")])
def test_an_engine_without_its_library(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    def missing(module: str) -> Any:
        if module == library:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
        return import_module(module)

    monkeypatch.setattr("lra_data.optional_import.importlib.import_module", missing)
    with pytest.raises(
        UsageError, match=rf"expected the library {library}, found none: pip install 'lra-data\[{name}\]'"
    ):
        get_engine(name)


def test_the_command_line_refuses_in_one_line(tmp_path: Path) -> None:
    build = ["build", "listops", "--preset", "mini", "--train", "8", "--out", str(tmp_path)]
    for flags, message in (
        (["--engine", "spark"], "unknown engine 'spark'"),
        (["--engine", "ray", "--workers", "2"], "expected no --workers with --engine ray"),
    ):
        found = run(*build, *flags)
        assert (found.returncode, found.stderr.count("\n")) == (2, 1)
        assert message in found.stderr
    assert list(tmp_path.iterdir()) == []
