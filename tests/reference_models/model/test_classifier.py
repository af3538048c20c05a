"""Encoder and heads: what padding, pooling and two documents do; and that every model learns through them."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.catalogue import attention_names
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig
from reference_models.model.encoder import Encoder, sinusoids
from tests.support.harness import declared, lengths_mask

SMALL = ModelConfig(
    attention="full", vocab_size=20, num_classes=3, max_length=24, dim=16, heads=2, qkv_dim=8, mlp_dim=12, num_layers=2
)
HEADS = ["single", "concat", "four-way", "cross"]


def model_of(**changes: Any) -> Classifier:
    torch.manual_seed(0)
    return Classifier(replace(SMALL, **changes)).eval()


def tokens(batch: int, sequences: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 20, (batch, sequences, length), generator=torch.Generator().manual_seed(seed))


# The heads do not know the attention, so two of them are enough for most.
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize(
    ("attention", "head"),
    [(name, head) for name in attention_names() for head in (HEADS if name == "full" else ["single", "four-way"])],
)
def test_padding_changes_no_logit_at_all(attention: str, head: str, pooling: str) -> None:
    options = declared(attention, "CASES", None)[0]
    model = model_of(attention=attention, options=options, head=head, pooling=pooling)
    sequences = model.config.num_sequences
    one, other = tokens(3, sequences, 24), tokens(3, sequences, 24, seed=1)
    lengths = torch.tensor([[24, 9], [3, 24], [12, 1]])[:, :sequences]
    there = torch.arange(24) < lengths[..., None]
    assert torch.equal(model(one, lengths), model(torch.where(there, one, other), lengths))
    alone = attention == "no_attention" and pooling == "cls"  # the CLS token learns of no other
    assert torch.equal(model(one, lengths), model(other, lengths)) == alone


@pytest.mark.parametrize("head", HEADS)
def test_examples_do_not_see_each_other(head: str) -> None:
    model = model_of(head=head)
    sequences = model.config.num_sequences
    inputs, lengths = tokens(4, sequences, 20), torch.tensor([[20, 7], [5, 20], [11, 2], [1, 1]])[:, :sequences]
    together = model(inputs, lengths)
    for row in range(4):
        alone = model(inputs[row : row + 1], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-6)


def test_two_towers_share_one_encoder_and_the_contrast_crosses_over() -> None:
    inputs, lengths = tokens(2, 2, 20), torch.full((2, 2), 20)
    changed = inputs.clone()
    changed[:, 1] = tokens(2, 1, 20, seed=9)[:, 0]
    for head in ("concat", "four-way", "cross"):
        model = model_of(head=head)
        before, after = (_towers(model, given, lengths) for given in (inputs, changed))
        assert not torch.equal(before[:, 1], after[:, 1])
        assert torch.equal(before[:, 0], after[:, 0]) == (head != "cross")
    # What the head compares, by hand.
    model = model_of(head="four-way")
    a, b = _towers(model, inputs, lengths).unbind(1)
    x = torch.cat([a, b, a * b, a - b], dim=-1)
    for layer in list(model.head)[:-1]:
        x = layer(x).relu()
    torch.testing.assert_close(model(inputs, lengths), model.head[-1](x))


def _towers(model: Classifier, inputs: Tensor, lengths: Tensor) -> Tensor:
    """What the head sees of each document: (B, 2, D)."""
    keep = lengths_mask(lengths.flatten().tolist(), inputs.shape[-1])
    vectors, mask = model.encoder(inputs.flatten(0, 1), keep)
    if model.cross is not None:
        vectors = model.cross(vectors, mask)
    return model.pooled(vectors, mask).view(inputs.shape[0], 2, -1)


def test_pooling_is_cls_or_the_mean_of_what_is_there() -> None:
    inputs, keep = tokens(2, 1, 10), lengths_mask([10, 4], 10)
    mean = model_of(pooling="mean")
    vectors, mask = mean.encoder(inputs[:, 0], keep)
    expected = torch.stack([vectors[0].mean(dim=0), vectors[1, :4].mean(dim=0)])
    torch.testing.assert_close(mean.pooled(vectors, mask), expected)
    torch.testing.assert_close(mean.pooled(vectors, None)[0], vectors[0].mean(dim=0))
    cls = model_of(pooling="cls")
    vectors, mask = cls.encoder(inputs[:, 0], keep)
    assert vectors.shape == (2, 11, 16)
    assert mask is not None
    assert mask.sum(dim=1).tolist() == [11, 5]
    assert torch.equal(cls.pooled(vectors, mask), vectors[:, 0])
    assert model_of(pooling="mean")(inputs, torch.tensor([[10], [0]])).isfinite().all()


def test_positions() -> None:
    table = sinusoids(50, 6)
    for place in (0, 1, 49):
        for pair in range(3):
            angle = torch.tensor(place / 10_000 ** (2 * pair / 6))
            torch.testing.assert_close(table[place, 2 * pair], angle.sin(), atol=1e-5, rtol=0)
            torch.testing.assert_close(table[place, 2 * pair + 1], angle.cos(), atol=1e-5, rtol=0)
    learned = Encoder(replace(SMALL, positions="learned"))
    assert learned.positions.requires_grad
    assert learned.positions.shape == (25, 16)
    assert not Encoder(SMALL).positions.requires_grad
    # Order matters to the encoder though softmax attention alone does not see it.
    model = model_of()
    inputs = tokens(1, 1, 12)
    full = torch.tensor([[12]])
    assert not torch.allclose(model(inputs, full), model(inputs.flip(2), full))


@pytest.mark.parametrize(
    "attention",
    [pytest.param(name, marks=[] if name in ("full", "linear") else [pytest.mark.slow]) for name in attention_names()],
)
def test_a_model_learns_a_tiny_set_by_heart(attention: str) -> None:
    options = declared(attention, "CASES", None)[0]
    torch.manual_seed(0)
    model = Classifier(replace(SMALL, attention=attention, options=options, dropout=0.0, pooling="mean"))
    inputs, lengths = tokens(12, 1, 24), torch.full((12, 1), 24)
    labels = torch.arange(12) % 3
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(120):
        model.on_step(0)  # one draw for all steps: what is tested is the gradient, not the noise
        loss = torch.nn.functional.cross_entropy(model(inputs, lengths), labels)
        extra = model.auxiliary_loss()
        optimizer.zero_grad()
        (loss if extra is None else loss + extra).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 10 == 9 and loss < 0.1:
            break
    assert loss < 0.3, f"{attention}: {loss:.3f}"


def test_reversible_blocks_give_the_gradients_of_plain_ones() -> None:
    inputs, lengths = tokens(2, 1, 20), torch.tensor([[20], [13]])
    found = []
    for attention in ("full", "reformer"):
        options = declared(attention, "CASES", None)[0]
        model = model_of(attention=attention, options=options, reversible=True, dropout=0.0).double().train()
        model.on_step(0)
        model(inputs, lengths).double().square().sum().backward()
        found.append(all(p.grad is not None and bool(p.grad.any()) for p in model.parameters()))
    assert found == [True, True]


def test_what_a_configuration_refuses() -> None:
    for changes, message in (
        ({"heads": 3}, "expected a qkv_dim that 3 heads divide, got 8"),
        ({"dim": 0}, "dim must be an integer >= 1, got 0"),
        ({"pooling": "max"}, "pooling must be one of cls, mean, got 'max'"),
        ({"dropout": 1.0}, "dropout must be a share from 0 to below 1, got 1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(SMALL, **changes)
    with pytest.raises(ValueError, match="expected an attention that may run twice for reversible layers, got routing"):
        model_of(attention="routing", reversible=True)
    with pytest.raises(ValueError, match="expected 1 sequences an example, got 2"):
        model_of()(tokens(1, 2, 5), torch.ones(1, 2))
    with pytest.raises(ValueError, match="expected at most max_length = 24 tokens, got 30"):
        model_of()(tokens(1, 1, 30), torch.tensor([[30]]))
