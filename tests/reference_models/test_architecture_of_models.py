"""The floors of `reference_models`: an attention knows the contract alone, and `lra_data` is met at its public face."""

import subprocess
import sys
from pathlib import Path

from tests.test_architecture import imported

PACKAGE = Path(__file__).parents[2] / "reference_models"
# Each room imports from itself and from the rows above it in this list only.
FLOORS = [
    {"devices", "attention"},
    {"model"},
    {"evaluation"},
    {"attention_maps", "drift", "efficiency"},
    {"training"},
    {"results"},
    {"commands"},
]


# What the torch loader's words are made of, and the interval that `lra-data stats` prints.
_ALSO = (
    "lra_data.confidence.wilson_interval",
    "lra_data.loading.batch_making.collate.Form",
    "lra_data.loading.dataset.Dataset",
    "lra_data.task.Task",
)


def ours(path: Path) -> set[str]:
    """Modules of this package that a file imports, by their names within it."""
    found = {name.removeprefix("reference_models.") for name in imported(path) if name.startswith("reference_models.")}
    modules = {".".join(file.relative_to(PACKAGE).with_suffix("").parts) for file in PACKAGE.rglob("*.py")}
    return {name if name in modules else name.rpartition(".")[0] for name in found} & modules


def test_attentions_import_the_contract_alone() -> None:
    for path in (PACKAGE / "attention").glob("*.py"):
        allowed = set() if path.stem in ("base", "__init__") else {"attention.base"}
        assert ours(path) <= allowed, path.name


def test_imports_only_go_down() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set().union(*FLOORS)
    for number, floor in enumerate(FLOORS):
        below = set().union(*FLOORS[:number])
        for room in floor:
            for path in [PACKAGE / f"{room}.py", *(PACKAGE / room).glob("*.py")]:
                if path.exists():
                    found = {name.partition(".")[0] for name in ours(path)} - {room}
                    assert found <= below, f"{path} imports {found - below}"


def test_lra_data_is_met_at_its_public_face() -> None:
    for path in PACKAGE.rglob("*.py"):
        for name in imported(path):
            if name.startswith("lra_data"):
                face = name.count(".") <= 1 or name in _ALSO
                assert face or name.startswith("lra_data.loading.frameworks.torch_batches"), f"{path}: {name}"


def test_help_loads_no_torch() -> None:
    code = (
        "import sys, contextlib\nfrom reference_models.commands.main import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['--help'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
