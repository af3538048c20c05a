"""`lra-zoo check` as the tests call it, and what it says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner
from msgspec import structs

import lra_data
from lra_data import UsageError
from reference_models.commands.main import cli
from reference_models.drift.check import Report, check
from reference_models.drift.trained import Model, trained_on
from reference_models.model.card import Card, FreshAnswers
from reference_models.model.checkpoint import read_card, write_card
from reference_models.training.runs import Source

MINI = "listops/mini"
CPU = torch.device("cpu")
RECORDED = {"train": 2000, "test": 1000}
FRESH = 2000
# As many rows as are recorded, and some that are not.
SIZES = {"train": 2500, "validation": 10, "test": 1200}


def rewrite(folder: Path, **entries: Any) -> None:
    """Change entries of a model's card."""
    write_card(folder, structs.replace(read_card(folder), **entries))


def fresh_of(card: Card) -> FreshAnswers:
    assert card.fresh is not None
    return card.fresh


@dataclass(frozen=True)
class Checked:
    """What `lra-zoo check` said."""

    exit_code: int
    findings: list[Mapping[str, str]]
    compared: list[str]
    models: Mapping[str, Mapping[str, int]]

    @property
    def causes(self) -> set[str]:
        return {finding["cause"] for finding in self.findings}

    @property
    def text(self) -> str:
        return "\n".join(finding["text"] for finding in self.findings)


def checked(zoo: Path, target: Path | str, *options: str, models: str = "linear") -> Checked:
    command = ["check", str(target), "--checkpoints", str(zoo), "--models", models, "--device", "cpu", "--json"]
    result = CliRunner().invoke(cli, [*command, *options], catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output
    said = Checked(result.exit_code, **json.loads(result.stdout))
    assert said.exit_code == bool(said.findings)
    return said


def refused(zoo: Path, target: Path | str, *options: str) -> str:
    """The text of an error."""
    result = CliRunner().invoke(cli, ["check", str(target), "--checkpoints", str(zoo), *options])
    assert isinstance(result.exception, UsageError), result.output
    return str(result.exception)


def models_of(zoo: Path) -> dict[str, Model]:
    return trained_on(lra_data.get_task(MINI), zoo, None, CPU)


def report_of(models: Mapping[str, Model], *, seed: int = 0, other_seed: int = 2, thorough: bool = True) -> Report:
    source = Source(target=MINI)
    return check(models, source.open_other, seed=seed, other_seed=other_seed, device=CPU, thorough=thorough)


def assert_all_is_well(said: Checked) -> None:
    assert (said.exit_code, said.findings) == (0, [])
    assert said.compared == [
        "train: rows of 2,000 examples, 0 of 2 blocks changed",
        "train: batches of 2,000 examples, 0 of 2 blocks changed",
        "test: rows of 1,000 examples, 0 of 1 blocks changed",
        "test: batches of 1,000 examples, 0 of 1 blocks changed",
        f"seed 2: 2,000 examples answered, 0 of {5 * len(said.models)} figures outside",
    ]
    for found in said.models.values():
        assert (found["compared"], found["different"]) == (3000, 0)
        assert (found["seed"], found["examples"]) == (2, 2000)
