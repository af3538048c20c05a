"""The floors of `reference_models`: an attention knows the contract alone, and `lra_data` is met at its public face."""

import subprocess
import sys
from pathlib import Path

from tests.test_architecture import imported

PACKAGE = Path(__file__).parents[2] / "reference_models"
# Each floor imports from those above it in this list only.
FLOORS = [
    {"attention.contract", "config", "devices", "reversible", "metrics", "published", "span_result"},
    {"attention.catalogue", "attention.full"},
    {"presets", "encoder", "pattern"},
    {"classifier", "reading", "recipes"},
    {"checkpoint", "evaluation", "attention_span", "efficiency_cell"},
    {"bundled", "fingerprint", "training_state", "table", "efficiency_report"},
    {"training"},
    {"check", "experiment", "efficiency", "unfinished"},
    {"training_commands"},
    {"measuring_commands"},
    {"cli"},
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
        allowed = set() if path.stem in ("contract", "__init__") else {"attention.contract"}
        assert ours(path) <= allowed, path.name


def test_imports_only_go_down() -> None:
    for number, floor in enumerate(FLOORS):
        below = set().union(*FLOORS[:number])
        for module in floor:
            found = ours(PACKAGE / f"{module.replace('.', '/')}.py")
            assert found <= below, f"{module} imports {found - below}"
    on_floors = set().union(*FLOORS)
    for path in PACKAGE.glob("*.py"):
        assert path.stem in on_floors | {"__init__"}, f"{path.name} stands on no floor"


def test_lra_data_is_met_at_its_public_face() -> None:
    for path in PACKAGE.rglob("*.py"):
        for name in imported(path):
            if name.startswith("lra_data"):
                face = name.count(".") <= 1 or name in _ALSO
                assert face or name.startswith("lra_data.loading.frameworks.torch_batches"), f"{path}: {name}"


def test_help_loads_no_torch() -> None:
    code = (
        "import sys, contextlib\nfrom reference_models.cli import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['--help'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
