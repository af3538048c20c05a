"""The control without attention: zeros, and what tokens say one by one."""

import pytest
import torch

from reference_models.model.config import ModelConfig
from reference_models.model.encoder import Encoder
from tests.support.harness import Options, assert_same, build, inputs, lengths_mask

CASES: list[Options] = [{}]
SLOPE = 1.1
AVERAGES = False  # a constant becomes 0


def encoder_of(layers: int) -> Encoder:
    config = ModelConfig(
        attention="no_attention", vocab_size=9, num_classes=2, max_length=20, dim=8, heads=1, qkv_dim=8, mlp_dim=16,
        num_layers=layers, pooling="mean", dropout=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    return Encoder(config).eval()


def test_every_output_is_zero_also_of_what_is_not_finite() -> None:
    model = build("no_attention", {})
    x = inputs(2, 9)
    x[0, 3] = torch.inf
    x[1, 4] = torch.nan
    assert torch.equal(model(x, lengths_mask([9, 5], 9)), torch.zeros_like(x))


def test_it_has_no_parameter_and_gives_no_gradient() -> None:
    model, x = build("no_attention", {}), inputs(2, 9).requires_grad_()
    assert list(model.parameters()) == []
    model(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_in_the_encoder_no_token_learns_of_another() -> None:
    encoder = encoder_of(3)
    tokens = torch.randint(0, 8, (1, 20))
    before, _ = encoder(tokens)
    for place in (0, 7, 19):
        changed = tokens.clone()
        changed[0, place] = 8
        moved = (encoder(changed)[0] != before)[0].any(dim=1)
        assert torch.equal(moved, torch.arange(20) == place)


def test_the_encoder_without_it_is_its_feed_forward_layers() -> None:
    encoder = encoder_of(2)
    tokens = torch.randint(0, 9, (2, 20))
    x = torch.nn.functional.embedding(tokens, encoder.get_parameter("embedding.weight")) + encoder.get_buffer(
        "positions"
    )
    for layer in encoder.feed_forwards:
        x = x + layer(x)
    torch.testing.assert_close(encoder(tokens)[0], encoder.norm(x), rtol=0, atol=0)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles() -> None:
    """As one graph, forward and backward; without the code generator, which takes a minute."""
    model = build("no_attention", {})
    x, keep = inputs(2, 12), lengths_mask([12, 7], 12)
    assert_same(torch.compile(model, backend="aot_eager", fullgraph=True), model, x, keep)
