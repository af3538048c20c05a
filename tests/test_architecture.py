"""The floors of both packages (docs/architecture.md), held by walking their imports, and the light import."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("lra_data", "reference_models")
TASKS = sorted(path.parent.name for path in (ROOT / "lra_data").glob("*/task.py"))

# The one table of floors. Each row lists rooms; a module imports from its own room and from rows above. A room is a
# folder, or a module, with what lies in it, unless a longer name stands in the table as well.
FLOORS = [
    # What everything knows
    ["lra_data.*"],
    ["lra_data.downloads"],
    ["lra_data.corpora", "lra_data.store.atomic_files"],
    # One task a folder; how rows lie on disk
    [*(f"lra_data.{task}" for task in TASKS), "lra_data.store.formats"],
    ["lra_data.store"],
    ["lra_data.interop"],
    # What is done with a set
    ["lra_data.building.engines", "lra_data.loading.epoch", "lra_data.checking"],
    ["lra_data.building", "lra_data.loading.batch_making"],
    ["lra_data.loading.passes"],
    ["lra_data.loading"],
    ["lra_data.loading.frameworks"],
    ["lra_data.results"],
    ["lra_data.report"],
    ["lra_data.commands"],
    ["lra_data.__main__"],
    # The models know `lra_data` at its public face
    ["reference_models.attention", "reference_models.devices", "reference_models.strict_json"],
    ["reference_models.model", "reference_models.contract"],
    ["reference_models.evaluation", "reference_models.pretraining"],
    ["reference_models.attention_maps", "reference_models.drift", "reference_models.efficiency"],
    ["reference_models.training"],
    ["reference_models.results"],
    ["reference_models.figures"],
    ["reference_models.commands"],
]
# Modules that `lra_data.*` stands for: those at its root, but for the public face, which hands on to every floor.
FACES = {"lra_data", "reference_models"}
# One file a format, code base or X-former: as many as there are.
CATALOGUES = {"lra_data", "lra_data.interop", "lra_data.store.formats", "reference_models.attention"}
MOST_MODULES = 12

# What the models take from beneath the public face: parts of the torch loader, what `lra-data stats` prints, and the
# page of `lra-data report`, which `lra-zoo report` adds to.
FROM_BELOW = (
    "lra_data.building.parts",
    "lra_data.commands.reporting.page_",
    "lra_data.confidence.",
    "lra_data.corpus.corpus_from_options",
    "lra_data.loading.batch_making.collate.BatchShape",
    "lra_data.loading.dataset.Dataset",
    "lra_data.loading.frameworks.torch_batches",
    "lra_data.report.charts",
    "lra_data.report.contents.write_site",
    "lra_data.report.zoo_section.ZooFigures",
    "lra_data.task.Task",
)
HEAVY = {
    "tenacity",
    "msgspec",
    "certifi",
    "datasketch",
    "jinja2",
    "torch",
    "numba",
    "cv2",
    "pandas",
    "tensorflow",
    "jax",
    "ray",
    "numpy",
    "pyarrow",
    "datasets",
    "webdataset",
}


def modules() -> dict[str, Path]:
    """Every module of both packages by its dotted name."""
    names = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            names[".".join(part for part in parts if part != "__init__")] = path
    return names


def imported(path: Path) -> set[str]:
    """Full names of everything a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def project_imports(path: Path, names: dict[str, Path]) -> set[str]:
    """Modules of the packages that a file imports."""
    found = {name if name in names else name.rpartition(".")[0] for name in imported(path)}
    return found & names.keys()


def room_of(module: str) -> tuple[int, str]:
    """The floor and the room of a module: the longest entry of the table that its name begins with."""
    found = [
        (len(room), floor, room)
        for floor, rooms in enumerate(FLOORS)
        for room in rooms
        if module == room or module.startswith(f"{room}.")
    ]
    if found:
        return max(found)[1:]
    assert module.count(".") == 1, f"{module} is on no floor: add it to FLOORS and docs/architecture.md"
    return 0, f"{module.partition('.')[0]}.*"


def test_imports_only_go_down() -> None:
    names = modules()
    wrong = []
    for module in names.keys() - FACES:
        floor, room = room_of(module)
        for target in project_imports(names[module], names):
            if target in FACES:
                # Only commands, and the models, know the public face of lra_data.
                if floor < room_of("lra_data.commands")[0] or target == "reference_models":
                    wrong.append(f"{module} imports the public face of {target}")
                continue
            target_floor, target_room = room_of(target)
            if not (target_floor < floor or target_room == room):
                wrong.append(f"{module} imports {target}")
    assert not sorted(wrong)


def test_there_are_no_circles() -> None:
    names = modules()
    graph = {module: project_imports(names[module], names) - {module} for module in names.keys() - FACES}
    assert list(TopologicalSorter(graph).static_order())


def test_folders_are_small() -> None:
    folders: dict[str, int] = {}
    for module, path in modules().items():
        if path.name != "__init__.py":
            folder = module.rpartition(".")[0]
            folders[folder] = folders.get(folder, 0) + 1
    assert not {folder: count for folder, count in folders.items() if count > MOST_MODULES and folder not in CATALOGUES}


@pytest.mark.parametrize("module", sorted(name for name in modules() if name.startswith("lra_data")))
def test_never_imports(module: str) -> None:
    tops = {name.split(".")[0] for name in imported(modules()[module])}
    assert "reference_models" not in tops
    if not module.startswith("lra_data.loading.frameworks.torch"):
        assert "torch" not in tops


def test_attentions_import_the_contract_and_shared_operations_alone() -> None:
    names = ("base", "operations", "convolutions", "windows")
    base, operations, *_ = shared = [f"reference_models.attention.{name}" for name in names]
    allowed = {"__init__": set(), "operations": set(), "base": {operations}}
    allowed |= {name: {operations} for name in names[2:]}
    allowed["catalogue"] = {base, "reference_models.attention", "reference_models.attention.registration"}
    for path in (ROOT / "reference_models" / "attention").glob("*.py"):
        found = {name for name in project_imports(path, modules()) if name.startswith("reference_models")}
        assert found <= allowed.get(path.stem, set(shared)), path.name


def test_the_models_know_lra_data_at_its_public_face() -> None:
    for path in (ROOT / "reference_models").rglob("*.py"):
        for name in imported(path):
            if name.startswith("lra_data"):
                assert name.count(".") <= 1 or name.startswith(FROM_BELOW), f"{path}: {name}"


def test_no_module_bears_a_library_name() -> None:
    libraries = set(sys.stdlib_module_names) | set(metadata.packages_distributions()) - set(PACKAGES)
    ours = {part for module in modules() for part in module.split(".")[1:]} - {"__main__"}
    assert not ours & libraries


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a child Python after it has run `code`."""
    report = "\nimport sys, json; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(json.loads(result.stderr.splitlines()[-1]))


def run_command(line: str, package: str = "lra_data") -> str:
    """Code that runs `lra-data LINE`, or another package's command, in a child without ending it."""
    return (
        f"import contextlib\nfrom {package}.commands.main import cli\n"
        f"with contextlib.suppress(SystemExit): cli.main({line.split()!r}, standalone_mode=False)"
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("import lra_data")


@pytest.mark.parametrize(
    "line", ["--help", "list", "build --help", "build listops --help", "build pathfinder --help", "audit --help"]
)
def test_help_loads_nothing_heavy(line: str) -> None:
    assert not HEAVY & loaded_by(run_command(line))


@pytest.mark.framework
def test_help_of_the_models_loads_no_torch() -> None:
    assert "torch" not in loaded_by(run_command("--help", "reference_models"))


def test_info_and_quick_verify_do_not_load_the_compiler(small_set: Path) -> None:
    assert "numba" not in loaded_by(run_command("info listops/lra"))
    assert "numba" not in loaded_by(run_command(f"info {small_set}"))
    assert "numba" not in loaded_by(run_command(f"verify --quick {small_set}"))
    assert "numba" in loaded_by(run_command(f"verify {small_set}"))


@pytest.mark.framework
def test_building_leaves_frameworks_unloaded(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="without torch installed the test could not fail")
    sizes = "--train 20 --validation 5 --test 5"
    line = f"build listops --preset mini {sizes} --format arrow,parquet,webdataset --out {tmp_path}"
    loaded = loaded_by(run_command(line))
    assert "pyarrow" in loaded
    assert not {"torch", "tensorflow", "jax", "ray", "datasets", "webdataset"} & loaded
