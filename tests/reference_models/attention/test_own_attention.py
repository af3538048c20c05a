"""An attention that a user brings: named by file, module, package or from Python, trained, scored, compared, tested."""

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import reference_models
from lra_data import UsageError, build
from reference_models.attention.catalogue import attention_class, attention_names, source_digest
from reference_models.attention.registration import GROUP, forget, load
from reference_models.commands.main import cli
from reference_models.efficiency.row import read_rows
from reference_models.model.card import CheckpointError
from reference_models.model.checkpoint import CARD, load_model
from reference_models.training import runs
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "own_attention.md").read_text()
(SOURCE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TRAIN = ["train", "listops/mini", "--steps", "2", "--batch-size", "2", "--evaluate-every", "2", "--threads", "1"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments])


@pytest.fixture(autouse=True)
def _nothing_registered() -> Iterator[None]:
    yield
    for name in ("DecayAttention", "BlindAttention"):
        forget(name)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's file in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_attention.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained model of the page's class."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_attention.py").write_text(SOURCE)
    place = f"{folder / 'my_attention.py'}:DecayAttention"
    build("listops/mini", folder, sizes={"train": 40, "validation": 10, "test": 20})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "FRESH_EXAMPLES", 20)
        found = run(*TRAIN, "--root", str(folder), "--attention", place, "--out", str(folder / "runs"))
    assert found.exit_code == 0, found.output
    forget("DecayAttention")
    return folder / "runs" / "listops" / "mini" / "DecayAttention"


def test_the_pages_commands_are_commands(file: Path) -> None:
    """The first is run; the others, which other tests run with small sets, have words that their commands take."""
    lines = [line.split("  #")[0].strip() for line in PAGE.splitlines() if line.startswith("lra-zoo ")]
    assert [shlex.split(line)[1] for line in lines] == ["test", "train", "evaluate", "table", "efficiency"]
    for line in lines:
        _, name, *words = shlex.split(line)
        cli.commands[name].make_context(name, words)
    found = run(*shlex.split(lines[0])[1:])
    assert found.exit_code == 0, found.output
    assert found.output.splitlines()[-1] == "DecayAttention: all 13 properties that every model needs hold"


def test_a_card_has_name_and_digest_and_no_path(trained: Path) -> None:
    text = (trained / CARD).read_text()
    card = json.loads(text)
    assert (card["attention"], card["model"]["attention"]) == ("DecayAttention", "DecayAttention")
    assert card["attention_sha256"] == hashlib.sha256(SOURCE.encode()).hexdigest()
    assert "my_attention" not in text
    assert str(trained.parents[3]) not in text


def test_cards_of_the_zoo_have_no_such_entry() -> None:
    assert source_digest("linear") is None
    for path in (ROOT / "reference_models" / "checkpoints").rglob(CARD):
        assert "attention_sha256" not in path.read_text()


def test_a_card_never_makes_code_run(trained: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(CheckpointError, match=r"expected the file of DecayAttention .* got none: name that file with"):
        load_model(trained)
    assert not {name for name in set(sys.modules) - before if "my_attention" in name}


def test_a_table_needs_no_code(trained: Path) -> None:
    found = run("table", str(trained.parents[2]), "--json")
    assert found.exit_code == 0, found.output
    (row,) = json.loads(found.output)
    assert row["model"] == "DecayAttention"
    assert row["command"].endswith("--attention FILE.py:DecayAttention")


def test_evaluate_takes_the_file_as_it_was(trained: Path, file: Path) -> None:
    arguments = ["evaluate", str(trained), "listops/mini", "--split", "test[:20]", "--json", "--threads", "1"]
    found = run(*arguments, "--attention", f"{file}:DecayAttention")
    assert json.loads(found.output)["examples"] == 20
    forget("DecayAttention")
    file.write_text(SOURCE.replace("/ 8", "/ 9"))
    changed = run(*arguments, "--attention", f"{file}:DecayAttention")
    assert isinstance(changed.exception, CheckpointError)
    assert "expected the file of DecayAttention with sha256" in str(changed.exception)


def test_a_finished_training_is_one_of_its_file(trained: Path, file: Path) -> None:
    file.write_text(SOURCE.replace("/ 8", "/ 9"))
    root, out = str(trained.parents[3]), str(trained.parents[2])
    found = run(*TRAIN, "--root", root, "--attention", f"{file}:DecayAttention", "--out", out)
    assert isinstance(found.exception, CheckpointError)
    assert "expected a training with attention.sha256" in str(found.exception)


@pytest.mark.slow
def test_efficiency_measures_it_in_another_process(file: Path) -> None:
    arguments = [
        "efficiency",
        "--lengths",
        "64",
        "--attention",
        "my_attention.py:DecayAttention",
        "--out",
        "rows.jsonl",
    ]
    found = run(*arguments)
    assert found.exit_code == 0, found.output
    (row,) = read_rows(file.with_name("rows.jsonl"))
    assert (row.model, row.outcome) == ("DecayAttention", "ok")
    assert row.attention_sha256 == hashlib.sha256(SOURCE.encode()).hexdigest()
    forget("DecayAttention")
    file.write_text(SOURCE + "\n# another file\n")
    assert "skipped" not in run(*arguments).output  # another file is another model


def test_one_given_from_python_is_known_by_its_name(file: Path) -> None:
    load(f"{file}:DecayAttention")
    kind = attention_class("DecayAttention")
    forget("DecayAttention")
    assert reference_models.register(kind) is kind
    assert attention_class("DecayAttention") is kind
    assert "DecayAttention" not in attention_names()
    config = reference_models.preset("mini", task="text", attention="DecayAttention")
    assert type(reference_models.Classifier(config).attentions[0]) is kind


def test_an_installed_package_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package_with_attention.py").write_text(SOURCE)
    info = tmp_path / "package_with_attention-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: package-with-attention\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nDecayAttention = package_with_attention:DecayAttention\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with pytest.raises(UsageError, match=r"unknown attention 'DecayAttentio'.*Did you mean 'DecayAttention'"):
            attention_class("DecayAttentio")
        assert "package_with_attention" not in sys.modules  # a name alone imports nothing
        assert attention_class("DecayAttention").__module__ == "package_with_attention"
    finally:
        sys.modules.pop("package_with_attention", None)


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        ("absent.py:DecayAttention", SOURCE, "expected a Python file there, found none"),
        ("my_attention.py", SOURCE, "expected an attention as FILE.py:CLASS or PACKAGE.MODULE:CLASS, got 'my_"),
        ("my_attention.py:Decay", SOURCE, "expected a class Decay in"),
        ("my_attention.py:torch", SOURCE, "expected a subclass of reference_models.Attention"),
        ("my_attention.py:DecayAttention", "def (", "expected code that can be imported, got SyntaxError"),
        ("my_attention.py:DecayAttention", "import absent_library", "got ModuleNotFoundError: No module named 'absent"),
        (
            "my_attention.py:DecayAttention",
            SOURCE.replace("def mix", "def mixed"),
            "expected an attention that defines mix",
        ),
        ("my_attention.py:decay", SOURCE.replace("DecayAttention", "decay"), "expected a class name with a capital"),
        ("absent_module.attention:Decay", SOURCE, "expected code that can be imported, got ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_imported_is_one_line(file: Path, place: str, text: str, message: str) -> None:
    file.write_text(text)
    found = run("list", "--attention", place)
    assert isinstance(found.exception, UsageError)
    assert message in str(found.exception)
    assert "\n" not in str(found.exception)


def test_two_classes_of_one_name_are_an_error(file: Path) -> None:
    other = file.with_name("other.py")
    other.write_text(SOURCE + "\n# another file\n")
    load(f"{file}:DecayAttention")
    assert load(f"{file}:DecayAttention") == "DecayAttention"
    with pytest.raises(UsageError, match="expected a class of another name, got DecayAttention again"):
        load(f"{other}:DecayAttention")


BLIND = """
from reference_models import Attention


class BlindAttention(Attention):
    def mix(self, projected, keep):
        _, q, k, v = projected
        return self.scaled_logits(q, k).softmax(dim=-1) @ v
"""


def test_the_smallest_example_is_shown(file: Path) -> None:
    """A model without a mask fails with two tokens, and with one it cannot."""
    file.write_text(BLIND)
    found = run("test", "my_attention.py:BlindAttention")
    assert found.exit_code == 1
    lines = found.output.splitlines()
    failed = [number for number, line in enumerate(lines) if line.startswith("FAILS")]
    assert [lines[number][6:].split(" ")[1:4] for number in failed] == [
        ["Padding", "to", "a"],
    ]
    assert lines[failed[0] + 1].strip().startswith("L = 1, 1 kept: output with 1 more positions of padding: sequence 0")
    assert lines[-1] == "BlindAttention: 1 of the 13 properties that every model needs fail"
    rows = json.loads(run("test", "my_attention.py:BlindAttention", "--json").output)
    assert sum(row["holds"] is False for row in rows) == 1


@pytest.mark.parametrize(
    ("old", "new", "property_of"),
    [
        ("logits.softmax(dim=-1)", "(logits - logits.mean(dim=0)).softmax(dim=-1)", "A sequence alone"),
        ("@ v", "@ v.detach()", "Each parameter gets"),
        pytest.param("logits.softmax(dim=-1)", "(logits * 40).exp()", "Forward and backward", marks=pytest.mark.slow),
        pytest.param(
            "self.scaled_logits(q, k)",
            "self.scaled_logits(q, k) + torch.rand(())",
            "Evaluation is deterministic",
            marks=pytest.mark.slow,
        ),
        pytest.param("@ v", "@ v + torch.randn_like(v)", "Evaluation is deterministic", marks=pytest.mark.slow),
        pytest.param("-1e30", "float('-inf')", "A sequence without any token", marks=pytest.mark.slow),
    ],
)
def test_faults_are_found(file: Path, old: str, new: str, property_of: str) -> None:
    assert old in SOURCE
    file.write_text(SOURCE.replace(old, new))
    found = run("test", "my_attention.py:DecayAttention")
    failed = [line for line in found.output.splitlines() if line.startswith("FAILS")]
    assert any(property_of in line for line in failed), found.output


def test_what_only_some_papers_promise_is_no_failure(file: Path) -> None:
    file.write_text(SOURCE.replace("logits.softmax(dim=-1)", "logits.exp()"))
    found = run("test", "my_attention.py:DecayAttention")
    assert found.exit_code == 0
    assert "no     Values that are equal everywhere" in found.output


def test_models_of_the_zoo_pass() -> None:
    found = run("test", "linformer", "--options", '{"k": 8}')
    assert found.exit_code == 0, found.output
    assert "no     Values that are equal everywhere" in found.output
    assert isinstance(run("test", "linformer", "--options", "k=8").exception, UsageError)
    wrong = run("test", "linformer", "--options", '{"slots": 8}')
    assert "unknown option of linformer 'slots'; known: k, sharing" in str(wrong.exception)
    assert "or the name of a model, got 'nosuch'" in str(run("test", "nosuch").exception)


def test_errors_of_the_users_code_are_one_line(file: Path) -> None:
    start = "\n    def __init__(self, shape):\n        super().__init__(shape)\n        raise ValueError('my\\nown')\n"
    file.write_text(SOURCE + start)
    failing = run("test", "my_attention.py:DecayAttention")
    assert isinstance(failing.exception, UsageError)
    assert "to be made, got ValueError: my own: `lra-zoo test` tries it" in str(failing.exception)
    forget("DecayAttention")
    file.write_text(SOURCE.replace("@ v", "@ v[..., 1:]"))
    narrow = run("test", "my_attention.py:DecayAttention").output
    assert "DecayAttention.mix to return a tensor of shape (B, H, L, E) = (1, 3, 1, 8), got (1, 3, 1, 7)" in narrow
    forget("DecayAttention")
    file.write_text(SOURCE.replace("logits.softmax", "logits.nothing"))
    (first, *_) = [
        line for line in run("test", "my_attention.py:DecayAttention").output.splitlines() if "AttributeError" in line
    ]
    number = (
        file.read_text().splitlines().index(next(line for line in file.read_text().splitlines() if "nothing" in line))
    )
    assert first.endswith(f"(my_attention.py, line {number + 1})")
    forget("DecayAttention")
    for text, said in (
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("open('none.txt')", "got FileNotFoundError"),
        ("class Other:\n    pass\n", "got classes: Other"),
    ):
        file.write_text(text)
        assert said in str(run("test", "my_attention.py:DecayAttention").exception)
    assert "expected a Python file there, found none" in str(run("test", "none.py:DecayAttention").exception)
