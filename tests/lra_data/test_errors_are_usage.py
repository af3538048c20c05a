"""Wrong use raises UsageError, one line; any other error is a bug, and the command lines show where it came from."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lra_data
from lra_data import LraDataError, UsageError
from lra_data.commands.main import cli
from tests.conftest import ROOT

# Errors of Python's own protocols, of callers within the package, and what a caller turns into an error of ours.
BUILTIN = {
    "lra_data/interop/export_tree.py": {"FileExistsError"},
    "lra_data/corpora/ignored_files.py": {"ValueError"},
    "lra_data/image/plain_pickle.py": {"EOFError"},
    "lra_data/loading/passes/position.py": {"TypeError"},
    "lra_data/loading/dataset.py": {"IndexError"},
    "lra_data/loading/frameworks/file_links.py": {"PermissionError"},
    "lra_data/loading/frameworks/grain_source.py": {"IndexError"},
    "lra_data/loading/passes/ledger.py": {"TypeError"},
    "lra_data/pathfinder/released/layout_metadata.py": {"ValueError"},
    "lra_data/picture_files.py": {"ValueError"},
    "lra_data/interop/torch_shuffle.py": {"ValueError"},
    "lra_data/kernel_stamp.py": {"TypeError"},
    "lra_data/downloads/deadline.py": {"TimeoutError"},
    "lra_data/store/manifest.py": {"ValueError"},
    "lra_data/store/outputs/object_store.py": {"ConnectionError"},
    "lra_data/store/shard_entry.py": {"ValueError"},
    "lra_data/store/formats/webdataset_tar.py": {"ValueError"},
    "lra_data/store/shard_table.py": {"IndexError"},
    "reference_models/model/reversible.py": {"TypeError"},
}
EVERYWHERE = {"AssertionError", "StopIteration", "AttributeError", "KeyboardInterrupt"}
BUILTINS = {name for name, kind in vars(__import__("builtins")).items() if isinstance(kind, type)}


def raised(path: Path) -> set[str]:
    """The built-in errors that a file raises."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(kind, ast.Name) and kind.id in BUILTINS:
                found.add(kind.id)
    return found - EVERYWHERE


def test_nothing_raises_a_builtin_error_for_wrong_use() -> None:
    found = {}
    for package in ("lra_data", "reference_models"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            odd = raised(path) - BUILTIN.get(name, set())
            if odd:
                found[name] = odd
    assert found == {}


CALLS: dict[str, Callable[[Path], Any]] = {
    "a split that is no text": lambda _: lra_data.load("listops/mini", split=5),  # type: ignore[arg-type]
    "a list for a split": lambda _: lra_data.take("listops/mini", ["train"], [0]),  # type: ignore[arg-type]
    "no start": lambda _: lra_data.generate("listops/mini", "train", None, 5),  # type: ignore[arg-type]
    "a fraction to stop at": lambda _: lra_data.generate("listops/mini", "train", 0, 2.5),  # type: ignore[arg-type]
    "a stop beyond numbers": lambda _: lra_data.generate("listops/mini", "train", 0, 2**70),
    "more rows than memory": lambda _: lra_data.generate("listops/mini", "train", 0, 2**50),
    "one index": lambda _: lra_data.take("listops/mini", "train", 7),  # type: ignore[arg-type]
    "a fraction as index": lambda _: lra_data.take("listops/mini", "train", [0.5]),  # type: ignore[list-item]
    "sizes without names": lambda root: lra_data.build("listops/mini", root, sizes=5),  # type: ignore[arg-type]
    "no formats": lambda root: lra_data.build("listops/mini", root, formats=None),  # type: ignore[arg-type]
    "a name for a dataset": lambda _: lra_data.trivial_predictors("listops/mini"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_calls(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^(expected|unknown) |must be ") as error:
        CALLS[name](tmp_path)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_one_format_may_be_a_word(tmp_path: Path) -> None:
    sizes = {"train": 4, "validation": 2, "test": 2}
    assert lra_data.build("listops/mini", tmp_path, formats="arrow", sizes=sizes).description.formats == ("arrow",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "{folder}", "--difficulty", "x"], "unknown pathfinder difficulty 'x'; known: easy"),
        (
            ["show", "pathfinder/32-easy", "--num", "1", "--out", "{folder}"],
            "expected a picture's file that ends in .png, got '{folder}'",
        ),
    ],
)
def test_wrong_use_of_the_command(arguments: list[str], message: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, [word.format(folder=tmp_path) for word in arguments])
    assert isinstance(found.exception, LraDataError), found.output
    assert message.format(folder=tmp_path) in str(found.exception)


@pytest.mark.parametrize(
    ("package", "arguments", "inside"),
    [
        ("lra_data", ["show", "listops/mini"], "lra_data.store.row_access.VirtualRows.take"),
        ("reference_models", ["table"], "reference_models.results.rows.read_cards"),
    ],
)
def test_an_error_from_inside_shows_where_it_came_from(package: str, arguments: list[str], inside: str) -> None:
    """An EOFError, too, which click takes for the end of stdin: one was shown as Ctrl-C."""
    slip = "ValueError" if package == "lra_data" else "EOFError"
    code = (
        "import sys\nfrom unittest import mock\n"
        f"from {package}.commands.main import main\nsys.argv = ['it', *{arguments!r}]\n"
        f"with mock.patch({inside!r}, side_effect={slip}('a slip of ours')):\n    main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.lstrip().startswith("Traceback (most recent call last):")
    assert result.stderr.endswith(f"{slip}: a slip of ours\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["describe", "linear", "--task", "texts"], "unknown task 'texts'"),
        (
            ["evaluate", "listops/mini/linear", "listops/mini", "--split", "test[:0]"],
            "expected at least one example in listops/mini test, got none",
        ),
        (
            ["evaluate", "listops/mini/linear", "listops/mini", "--device", "meta"],
            "expected a device such as auto, cpu",
        ),
        (["train", "listops/mini", "linear", "--learning-rate", "nan"], "expected a learning_rate above 0, got nan"),
        (["efficiency", "--cap", "nan"], "expected cap_seconds above 0, got nan"),
        (["span", "listops/mini/linear", "listops/mini", "--width", "5"], "expected no width for listops/mini"),
        (["draw", "--out", "{file}"], "adaptive_sparse.png: expected to write "),
        (["check", "listops/mini", "--checkpoints", "{empty}"], "expected models that were trained on listops/mini"),
        (
            ["evaluate", "{cards}/one", "listops/mini"],
            "card of format 1, got: missing entry attention",
        ),
        (["train", "listops/mini", "linear", "--steps", "1", "--out", "{file}"], "cannot write "),
        (["table", "--json", "--format", "csv"], "expected --json or --format, got both"),
    ],
)
def test_wrong_use_of_the_models(arguments: list[str], message: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from reference_models.commands.main import cli as zoo

    (tmp_path / "file").touch()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "card.json").write_text('{"format": 1}')
    (tmp_path / "one" / "model.safetensors").touch()
    (tmp_path / "empty").mkdir()
    places = {"file": tmp_path / "file", "cards": tmp_path, "empty": tmp_path / "empty"}
    words = [word.format(**places) for word in arguments]
    if words[0] == "train" and "--out" not in words:
        words += ["--out", str(tmp_path / "runs")]
    found = CliRunner().invoke(zoo, words)
    assert isinstance(found.exception, LraDataError), found.output
    assert message in str(found.exception)
    assert "\n" not in str(found.exception)
