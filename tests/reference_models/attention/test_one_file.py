"""An X-former is one file: put beside the others, it is listed, described, drawn, trained and tested unasked."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from lra_data import UsageError
from reference_models import attention
from reference_models.attention.catalogue import attention_class, attention_names
from reference_models.commands.main import cli
from reference_models.model.classifier import Classifier
from reference_models.model.presets import PRESETS, TASKS, preset
from tests.reference_models import attention as attention_tests
from tests.reference_models.attention import test_contract
from tests.support.harness import build, cases

SOURCE = '''"""Averages all kept tokens.

    O = mean V
"""

import torch
from torch import Tensor

from reference_models.attention.base import Attention, Projected
from reference_models.attention.operations import key_mask, softmax_weights


class MeanAttention(Attention):
    """The mean over the tokens that are kept."""

    family = "fixed pattern"
    cost = "L"
    paper = "nobody 2026"
    has_query = False
    has_key = False

    def mix(self, projected: Projected, keep: Tensor | None) -> Tensor:
        """See Attention."""
        v = projected.v
        kept = torch.ones_like(v[..., :1]) if keep is None else keep[:, None, :, None].to(v.dtype)
        mean = (v.masked_fill(kept == 0, 0.0)).sum(dim=2, keepdim=True) / kept.sum(dim=2, keepdim=True).clamp(min=1)
        return mean.expand(v.shape)

    def written_out(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """See Attention."""
        batch, length, _ = x.shape
        return softmax_weights(x.new_zeros(batch, self.shape.heads, length, length), key_mask(keep))


ATTENTION = MeanAttention
'''
TESTS = "CASES = [{}]\nSLOPE = 1.1\n"


@pytest.fixture
def mean_attention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an attention in a folder that is appended to the package's path, with its test module."""
    name = "mean_of_all"
    for package, file, text in ((attention, f"{name}.py", SOURCE), (attention_tests, f"test_{name}.py", TESTS)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / file).write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    importlib.invalidate_caches()
    yield name
    for package in (attention, attention_tests):
        for module in (f"{package.__name__}.{name}", f"{package.__name__}.test_{name}"):
            sys.modules.pop(module, None)


def test_it_is_listed_and_described(mean_attention: str) -> None:
    assert mean_attention in attention_names()
    rows = json.loads(CliRunner().invoke(cli, ["list", "--json"], catch_exceptions=False).output)
    (row,) = [row for row in rows if row["model"] == mean_attention]
    assert (row["family"], row["cost"], row["paper"]) == ("fixed pattern", "L", "nobody 2026")
    text = CliRunner().invoke(cli, ["describe", mean_attention], catch_exceptions=False).output
    assert "O = mean V" in text
    assert "The mean over the tokens that are kept." in text


def test_it_is_in_every_preset(mean_attention: str) -> None:
    for name in PRESETS:
        for task in TASKS:
            with torch.device("meta"):
                Classifier(preset(name, task=task, attention=mean_attention))


def test_it_is_drawn(mean_attention: str, tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["draw", "--out", str(tmp_path / "pictures")], catch_exceptions=False)
    assert found.exit_code == 0
    assert (tmp_path / "pictures" / f"{mean_attention}.png").exists()


def test_the_contract_tests_find_it(mean_attention: str) -> None:
    assert (mean_attention, {}) in list(cases())
    test_contract.test_dense_weights_are_what_the_layer_computes(mean_attention, {})
    assert isinstance(build(mean_attention, {}), attention_class(mean_attention))


def test_without_the_folder_it_is_unknown() -> None:
    with pytest.raises(UsageError, match="unknown attention 'mean_of_all'"):
        attention_class("mean_of_all")
