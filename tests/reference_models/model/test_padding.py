"""Dense layers are computed for real tokens alone, and nothing that is read depends on it."""

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from reference_models import Classifier, ModelConfig, attention_names
from reference_models.attention import base
from reference_models.attention.operations import picked, real_tokens, spread
from reference_models.model import encoder
from tests.support.harness import lengths_mask

KEEP = lengths_mask([5, 0, 7, 2], 7)
SMALL: dict[str, Any] = {"vocab_size": 9, "num_classes": 3, "max_length": 24, "dim": 16, "heads": 2}


def test_only_real_tokens_are_picked_in_their_order() -> None:
    real = real_tokens(KEEP)
    assert real is not None
    assert real.tolist() == [row * 7 + column for row, length in enumerate([5, 0, 7, 2]) for column in range(length)]
    x = torch.arange(4 * 7 * 2.0).view(4, 7, 2)
    rows = picked(x, real)
    assert torch.equal(rows, x[KEEP])
    assert torch.equal(spread(rows, real, x), x * KEEP[..., None])


@pytest.mark.parametrize("keep", [None, torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.bool)])
def test_without_padding_or_tokens_all_positions_are_computed(keep: Tensor | None) -> None:
    x = torch.rand(2, 3, 4)
    real = real_tokens(keep)
    assert real is None
    assert picked(x, real) is x
    assert spread(x, real, x) is x


def test_gradients_are_numerical_gradients() -> None:
    real = real_tokens(KEEP)
    x = torch.rand(4, 7, 2, dtype=torch.float64, requires_grad=True)
    rows = torch.rand(14, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: picked(x, real).sin(), [x])
    assert torch.autograd.gradcheck(lambda rows: spread(rows, real, x).cos(), [rows])


def test_dense_layers_see_no_padding() -> None:
    model = Classifier(ModelConfig(attention="full", mlp_dim=20, num_layers=2, qkv_dim=16, pooling="mean", **SMALL))
    seen: list[int] = []
    for layer in model.encoder.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].numel() // given[0].shape[-1]))
    lengths = torch.tensor([[24], [3], [11]])
    model(torch.randint(9, (3, 1, 24)), lengths)
    assert seen == [38] * 12


@pytest.mark.parametrize("pooling", ["mean", pytest.param("cls", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", attention_names())
def test_logits_and_gradients_are_those_of_computing_padding_too(
    name: str, pooling: Literal["mean", "cls"], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ModelConfig(attention=name, mlp_dim=20, num_layers=2, qkv_dim=16, pooling=pooling, **SMALL)
    torch.manual_seed(0)
    model = Classifier(config).double().eval()
    lengths = torch.tensor([[24], [3], [11], [0]])
    tokens = torch.randint(9, (4, 1, 24))

    def found() -> list[Tensor]:
        model.zero_grad()
        logits = model(tokens, lengths)
        logits.sin().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        return [logits.detach(), *(one.clone() for one in gradients if one is not None)]

    confined = found()
    for module in (base, encoder):
        monkeypatch.setattr(module, "real_tokens", lambda _: None)
    for one, other in zip(confined, found(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
