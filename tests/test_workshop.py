"""What the project says of itself in several places agrees: versions, the citation, and the scripts that CI runs."""

import re
import tomllib
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lra_data
from tests.conftest import ROOT

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENVIRONMENT = (ROOT / "scripts" / "environment").read_text()


def pins() -> dict[str, str]:
    """Each package of constraints.txt with its exact version."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines)
    return found


def requirements() -> list[Requirement]:
    """What scripts/environment installs for development: the package, most extras, the dev group."""
    (extras,) = re.findall(r"^DEVELOPMENT_EXTRAS=(\S+)$", ENVIRONMENT, re.M)
    project = PYPROJECT["project"]
    texts = list(project["dependencies"]) + PYPROJECT["dependency-groups"]["dev"]
    for extra in extras.split(","):
        texts += project["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def test_constraints_are_in_step_with_the_ranges() -> None:
    pinned = pins()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} has no version in constraints.txt: run scripts/constraints"
        assert requirement.specifier.contains(pinned[name]), (
            f"{requirement} but {pinned[name]}: run scripts/constraints"
        )


def test_the_pytorch_installed_first_is_the_pinned_one() -> None:
    assert re.findall(r"torch==([\d.]+)", ENVIRONMENT) == [pins()["torch"]]


def test_every_extra_is_installed_for_development() -> None:
    (extras,) = re.findall(r"^DEVELOPMENT_EXTRAS=(\S+)$", ENVIRONMENT, re.M)
    (clusters,) = re.findall(r"^CLUSTER_EXTRAS=(\S+)$", ENVIRONMENT, re.M)  # which scripts/test --clusters installs
    # `tensorflow` comes from the dev group, in the build that needs no GPU; `all` is all that need no cluster.
    assert {*extras.split(","), *clusters.split(","), "tensorflow", "all"} == PYPROJECT["project"][
        "optional-dependencies"
    ].keys()


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == lra_data.__version__
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert citation["keywords"] == PYPROJECT["project"]["keywords"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PYPROJECT["project"]["authors"]
    ]
    (paper,) = citation["references"]
    assert "2011.04006" in paper["url"]


def test_the_workflow_runs_what_ci_runs_on_every_python_of_the_classifiers() -> None:
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yml").read_text())["jobs"]["checks"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    versions = [line.rpartition(" :: ")[2] for line in PYPROJECT["project"]["classifiers"] if ":: 3." in line]
    assert job["strategy"]["matrix"]["python"] == versions
    assert PYPROJECT["project"]["requires-python"] == f">={versions[0]}"


def test_a_commit_runs_the_same_checks() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == ["scripts/check"]
    assert (ROOT / "scripts" / "check").exists()
