"""The floors of the house (docs/architecture.md), held by walking the imports, and the light import."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lra_data"
TASKS = sorted(path.parent.name for path in PACKAGE.glob("*/task.py"))

# Rooms a floor; a module of a room may import its own room and lower floors.
FLOORS: list[list[set[str]]] = [
    [
        {
            "errors",
            "splits",
            "optional_import",
            "task",
            "catalogue",
            "arrow_columns",
            "random_bits",
            "picture_files",
            "confidence",
            "checks",
            "interrupts",
            "kernel_cache",
            "locking",
            "notices",
            "paths",
            "stream_key",
            "corpora",
        }
    ],
    [*({task} for task in TASKS), {"store"}],
    [{"interop"}],
    [{"building"}, {"loading"}, {"checking"}],
    [{"commands", "__main__"}],
]
HEAVY = {
    "requests",
    "pooch",
    "datasketch",
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
    names = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
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
    """Modules of the package that a file imports."""
    found = set()
    for name in imported(path):
        module = name if name in names else name.rpartition(".")[0]
        if module.startswith("lra_data") and module in names:
            found.add(module)
    return found


def floor_and_room(module: str) -> tuple[int, int]:
    top = module.split(".")[1]
    for floor, rooms in enumerate(FLOORS):
        for number, room in enumerate(rooms):
            if top in room:
                return floor, number
    raise AssertionError(f"{module} stands on no floor: add it to FLOORS and docs/architecture.md")


def test_imports_only_go_down() -> None:
    names = modules()
    wrong = []
    for module, path in names.items():
        if module == "lra_data":
            continue  # the public face, which hands on to every floor
        floor, room = floor_and_room(module)
        for target in project_imports(path, names) - {"lra_data"}:
            target_floor, target_room = floor_and_room(target)
            if not (target_floor < floor or (target_floor, target_room) == (floor, room)):
                wrong.append(f"{module} imports {target}")
        if "lra_data" in project_imports(path, names) and floor < 4:
            wrong.append(f"{module} imports the public face")
    assert not wrong


def test_there_are_no_circles() -> None:
    names = modules()
    graph = {module: project_imports(path, names) - {module} for module, path in names.items() if module != "lra_data"}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", sorted(modules()))
def test_never_imports(module: str) -> None:
    tops = {name.split(".")[0] for name in imported(modules()[module])}
    assert "reference_models" not in tops
    if not module.startswith("lra_data.loading.frameworks.torch"):
        assert "torch" not in tops


def test_no_module_bears_a_library_name() -> None:
    libraries = set(sys.stdlib_module_names) | set(metadata.packages_distributions()) - {"lra_data"}
    ours = {part for module in modules() for part in module.split(".")[1:]} - {"__main__"}
    assert not ours & libraries


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a child Python after it has run `code`."""
    report = "\nimport sys, json; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(json.loads(result.stderr.splitlines()[-1]))


def run_command(line: str) -> str:
    """Code that runs `lra-data LINE` in a child without ending it."""
    return (
        "import contextlib\nfrom lra_data.commands.main import cli\n"
        f"with contextlib.suppress(SystemExit): cli.main({line.split()!r}, standalone_mode=False)"
    )


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("import lra_data")


@pytest.mark.parametrize(
    "line", ["--help", "list", "build --help", "build listops --help", "build pathfinder --help", "audit --help"]
)
def test_help_loads_nothing_heavy(line: str) -> None:
    assert not HEAVY & loaded_by(run_command(line))


def test_info_and_quick_verify_do_not_load_the_compiler(small_set: Path) -> None:
    assert "numba" not in loaded_by(run_command("info listops/lra"))
    assert "numba" not in loaded_by(run_command(f"info {small_set}"))
    assert "numba" not in loaded_by(run_command(f"verify --quick {small_set}"))
    assert "numba" in loaded_by(run_command(f"verify {small_set}"))


def test_building_leaves_frameworks_unloaded(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="without torch installed the test could not fail")
    sizes = "--train 20 --validation 5 --test 5"
    line = f"build listops --preset mini {sizes} --format arrow,parquet,webdataset --out {tmp_path}"
    loaded = loaded_by(run_command(line))
    assert "pyarrow" in loaded
    assert not {"torch", "tensorflow", "jax", "ray", "datasets", "webdataset"} & loaded
