"""Attention in pieces is attention at once: Transformer-XL and Compressive cut what is too large."""

import pytest
import torch
from torch import Tensor

from reference_models.attention import operations
from reference_models.attention.base import Shape
from reference_models.attention.catalogue import attention_class

SHAPE = Shape(dim=8, heads=2, head_dim=4, max_length=64, layer=0, num_layers=1, dropout=0.0, seed=0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", ["compressive", "transformer_xl"])
@pytest.mark.parametrize("segments", [1, 3])
def test_pieces_change_nothing(name: str, causal: bool, segments: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of so many of the eight segments, the last one smaller."""
    options = {"segment": 8, "memory": 8, "causal": causal} | ({"compressed": 4} if name == "compressive" else {})
    attention = attention_class(name)(SHAPE, **options).double()
    keep = torch.arange(62) < torch.tensor([[62], [35]])

    def output_and_gradient() -> tuple[Tensor, Tensor]:
        x = torch.randn(2, 62, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        found = attention(x, keep)
        found.square().sum().backward()
        assert x.grad is not None
        return found.detach(), x.grad

    cut: list[int] = []
    split = torch.split

    def counting(tensor: Tensor, size: int, dim: int = 0) -> tuple[Tensor, ...]:
        parts = split(tensor, size, dim=dim)
        cut.extend([len(parts)] * (dim == 2))
        return parts

    monkeypatch.setattr(torch, "split", counting)
    whole, gradient = output_and_gradient()
    assert set(cut) == {1}
    cut.clear()
    keys = {"compressive": 20, "transformer_xl": 16}[name]
    monkeypatch.setattr(operations, "_PIECE_BYTES", segments * 4 * 2 * 2 * 8 * keys)
    in_pieces, of_pieces = output_and_gradient()
    assert set(cut) == {-(-8 // segments)}
    torch.testing.assert_close(in_pieces, whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(of_pieces, gradient, rtol=1e-12, atol=1e-12)
