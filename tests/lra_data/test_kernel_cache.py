"""The cache of compiled kernels follows what a kernel is made of, in any file, and nothing else."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from lra_data.kernel_cache import compiled, compiled_part
from lra_data.kernel_stamp import stamp
from tests.conftest import ROOT

pytestmark = pytest.mark.long

FILES = {
    "__init__.py": "",
    "entry.py": '''"""A kernel."""
from lra_data.kernel_cache import compiled
from small_package.parts import scaled

@compiled
def run(x):
    return later(x) + 1

from lra_data.kernel_cache import compiled_part

@compiled_part
def later(x):
    """Defined below the kernel that calls it."""
    return scaled(x)
''',
    "parts.py": '''"""What the kernel calls."""
from lra_data.kernel_cache import compiled_part
from small_package.numbers_of import FACTOR, PAIR
from small_package.emitted import plus

def unrelated(x):
    return x

@compiled_part
def scaled(x):
    return plus(FACTOR * x, PAIR[1])
''',
    "numbers_of.py": "FACTOR = 10\nPAIR = (0, 0)\nUNUSED = 5\n",
    "emitted.py": '''"""An intrinsic, whose code a function of this file emits."""
from numba import types
from numba.extending import intrinsic

def emit_sum(builder, a, b):
    return builder.add(a, b)

@intrinsic
def plus(typing_context, a, b):
    def emit(context, builder, signature, arguments):
        return emit_sum(builder, *arguments)

    return types.int64(types.int64, types.int64), emit
''',
}
RUN = "import sys; from small_package.entry import run; print(run(4), sum(run.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a kernel that calls parts in other files."""
    folder = tmp_path / "small_package"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def run(package: Path) -> tuple[int, bool]:
    """What the kernel gives for 4 in a new process, and whether it came from the cache."""
    result = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=package.parent,
        env={
            **os.environ,
            "PYTHONPATH": f"{package.parent}{os.pathsep}{ROOT}",
            "NUMBA_CACHE_DIR": str(package.parent / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    answer, hits = result.stdout.split()
    return int(answer), hits == "1"


def edit(package: Path, name: str, old: str, new: str) -> None:
    text = (package / name).read_text()
    assert old in text
    (package / name).write_text(text.replace(old, new))


CHANGES = [
    ("parts.py", "plus(FACTOR * x, PAIR[1])", "plus(FACTOR * x, PAIR[1] + 2)", 43),
    ("entry.py", "return scaled(x)", "return scaled(x) + 7", 50),
    ("numbers_of.py", "FACTOR = 10", "FACTOR = 100", 410),
    ("numbers_of.py", "(0, 0)", "(0, 9)", 419),
    ("emitted.py", "builder.add", "builder.sub", 397),
    ("emitted.py", "emit_sum(builder, *arguments)", "emit_sum(builder, *reversed(arguments))", -381),
]


@pytest.mark.slow
def test_a_change_in_what_a_kernel_reaches_is_seen(package: Path) -> None:
    assert run(package) == (41, False)
    for name, old, new, expected in CHANGES:
        edit(package, name, old, new)
        assert run(package) == (expected, False)
    assert run(package) == (expected, True)


@pytest.mark.slow
def test_an_unrelated_edit_compiles_nothing(package: Path) -> None:
    assert run(package) == (41, False)
    edit(package, "parts.py", "def unrelated(x):\n    return x", "def unrelated(x):\n    # longer\n    return x + 1")
    edit(package, "parts.py", "What the kernel calls.", "What the kernel calls.\n\nIn more words.")
    edit(package, "entry.py", "Defined below", "It is defined below")
    edit(package, "entry.py", '"""A kernel."""', '"""A kernel,\nfurther down."""')
    edit(package, "numbers_of.py", "UNUSED = 5", "UNUSED = 6")
    assert run(package) == (41, True)


FACTOR = 3


@compiled_part
def tripled(x: int) -> int:
    return FACTOR * x


@compiled
def once(x: int) -> int:
    return int(tripled(x))


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def once_without_the_lock(x: int) -> int:
    return int(tripled(x))


def test_options_and_values_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = stamp(once)
    assert stamp(once) == before
    assert stamp(once_without_the_lock) != before
    monkeypatch.setitem(globals(), "FACTOR", 4)
    assert stamp(once) != before


def test_a_value_that_cannot_be_followed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FACTOR", {"a": 1})
    with pytest.raises(TypeError, match="FACTOR, a dict"):
        stamp(once)


def on_a_terminal(code: str, cache: Path) -> str:
    """What a process writes to stderr if that is a terminal."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 1024)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert child.wait() == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.slow
def test_a_terminal_is_told_of_a_compilation(tmp_path: Path) -> None:
    code = "import lra_data; lra_data.take('listops/mini', 'train', [0])"
    assert on_a_terminal(code, tmp_path) == "lra-data: compiling kernels (first use)\n"
    assert on_a_terminal(code, tmp_path) == ""


@pytest.mark.slow
def test_a_pipe_is_not_told(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import lra_data; lra_data.take('listops/mini', 'train', [0])"],
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert result.stderr == b""
    assert list(tmp_path.rglob("*.nbc"))
