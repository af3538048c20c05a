"""The faults of `scripts/mutants`, which runs too long for every change, can still be put where they belong."""

import pytest

from reference_models.attention.catalogue import attention_names
from tests.mutants.__main__ import ROOT, models, mutants_of, source_of


def test_every_attention_has_faults() -> None:
    assert set(attention_names()) <= set(models())


@pytest.mark.parametrize("model", models())
def test_the_text_of_each_fault_is_there_once(model: str) -> None:
    for mutant in mutants_of(model):
        assert (ROOT / source_of(model, mutant)).read_text().count(mutant.old) == 1, mutant.name
        assert mutant.new != mutant.old
