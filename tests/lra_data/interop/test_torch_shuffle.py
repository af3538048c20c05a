"""Permutations of torch, computed without it."""

import numpy as np
import pytest

from lra_data.interop.torch_shuffle import torch_randperm


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
@pytest.mark.parametrize("count", [0, 1, 2, 10, 623, 1000, 50_000, 200_000])
def test_permutations_are_torchs(count: int, seed: int) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).numpy()
    np.testing.assert_array_equal(np.asarray(torch_randperm(count, seed)), expected)
