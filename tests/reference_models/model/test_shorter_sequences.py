"""Whole models whose layers shorten the sequence: Funnel and TokenLearner against loops, and what padding does."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.funnel import FunnelAttention
from reference_models.attention.token_learner import TokenLearnerAttention
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig
from reference_models.model.encoder import AttentionLayer, FeedForward
from tests.support.harness import lengths_mask

# An attention and its options for a model of three layers.
SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("funnel", {}),
    ("funnel", {"blocks": (1, 1, 1), "separate_cls": False}),
    ("funnel", {"form": "local"}),
    ("token_learner", {"num_tokens": 4}),
    ("token_learner", {"num_tokens": 4, "separate_cls": True, "at_layer": 2}),
    ("token_learner", {"num_tokens": 4, "at_layer": 0, "maps": "sigmoid"}),
]
every_schedule = pytest.mark.parametrize(("attention", "options"), SCHEDULES, ids=str)
poolings = pytest.mark.parametrize("pooling", ["mean", "cls"])


def made(attention: str, options: dict[str, Any], **changes: Any) -> Classifier:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "vocab_size": 20, "num_classes": 3, "max_length": 24, "dim": 16, "heads": 2, "qkv_dim": 8, "mlp_dim": 12,
        "num_layers": 3, "dropout": 0.0, **changes,
    }  # fmt: skip
    return Classifier(ModelConfig(attention=attention, options=options, **settings)).double().eval()


def tokens(batch: int, length: int, *, sequences: int = 1, seed: int = 0) -> Tensor:
    return torch.randint(0, 20, (batch, sequences, length), generator=torch.Generator().manual_seed(seed))


def halved(x: Tensor, *, front: int) -> Tensor:
    """Means of the pairs of one sequence (L, D) after its first token or from it."""
    rows = list(x[:front])
    for place in range(front, len(x), 2):
        rows.append(x[place : place + 2].sum(dim=0) / len(x[place : place + 2]))
    return torch.stack(rows)


def learned(layer: TokenLearnerAttention, x: Tensor, normed: Tensor) -> Tensor:
    """The first token if it is kept apart, then the learned ones, of (L, D)."""
    front = layer.front
    scores = layer.to_maps(normed[front:])
    maps = scores.softmax(dim=0) if layer.maps == "softmax" else scores.sigmoid() / len(scores)
    return torch.cat([x[:front], maps.T @ x[front:]])


def attended(layer: Any, queries: Tensor, keys: Tensor) -> Tensor:
    """Softmax attention of (L', D) to (L, D), head after head."""
    q, k, v = layer.query(queries), layer.key(keys), layer.value(keys)
    parts = [slice(4 * h, 4 * h + 4) for h in range(2)]
    heads = [((q[:, part] @ k[:, part].T) / 2).softmax(dim=1) @ v[:, part] for part in parts]
    out: Tensor = layer.output(torch.cat(heads, dim=1))
    return out


def alone(model: Classifier, ids: Tensor) -> Tensor:
    """Logits of one sequence without padding, layer by layer, from the papers' schedules."""
    encoder, config = model.encoder, model.config
    x = encoder.embedding(ids)
    if encoder.cls is not None:
        x = torch.cat([encoder.cls[None], x])
    x = x + encoder.positions[: len(x)]
    for number, (layer, feed_forward) in enumerate(zip(encoder.attentions, encoder.feed_forwards, strict=True)):
        assert isinstance(layer, AttentionLayer)
        assert isinstance(feed_forward, FeedForward)
        attention, normed = layer.attention, layer.norm(x)
        if isinstance(attention, FunnelAttention):
            blocks = config.options.get("blocks") or (2, 1)
            starts = [sum(blocks[:block]) for block in range(1, len(blocks))]
            front = int(config.options.get("separate_cls", True))
            if config.options.get("form") == "local":
                out = attended(attention, halved(normed, front=front), normed)
                x = x + torch.cat([out[:front], out[front:].repeat_interleave(2, dim=0)])[: len(x)]
            elif number in starts:
                x = halved(x, front=front) + attended(attention, halved(normed, front=front), normed)
            else:
                x = x + attended(attention, normed, normed)
        else:
            assert isinstance(attention, TokenLearnerAttention)
            if number == config.options.get("at_layer", 1):
                few, x = learned(attention, normed, normed), learned(attention, x, normed)
                normed = torch.cat([few[: attention.front], attention.token_norm(few[attention.front :])])
            x = x + attended(attention, normed, normed)
        x = x + feed_forward(x[None])[0]
    vectors = encoder.norm(x)
    pooled = vectors[0] if config.pooling == "cls" else vectors.mean(dim=0)
    logits: Tensor = model.head[1](functional.relu(model.head[0](pooled)))
    return logits.float()


@every_schedule
@poolings
def test_a_batch_with_padding_equals_each_sequence_alone(attention: str, options: dict[str, Any], pooling: str) -> None:
    """Odd and even lengths, a length of 1, and fewer tokens than are learned."""
    model, lengths = made(attention, options, pooling=pooling), [24, 23, 9, 6, 3, 2, 1]
    ids = tokens(len(lengths), 24)
    if pooling == "mean" and options.get("separate_cls") and attention == "token_learner":
        lengths[-1] = 2  # a single token that is kept apart leaves nothing to learn from
    found = model(ids, torch.tensor(lengths)[:, None])
    expected = torch.stack([alone(model, row[0, :length]) for row, length in zip(ids, lengths, strict=True)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    for row, length in enumerate(lengths):
        one = model(ids[row : row + 1, :, :length], torch.tensor([[length]]))
        torch.testing.assert_close(one[0], found[row], rtol=0, atol=1e-6)


@every_schedule
@poolings
@pytest.mark.parametrize("head", ["single", "four-way", "cross"])
def test_what_is_under_padding_and_how_long_it_is_changes_nothing(
    attention: str, options: dict[str, Any], pooling: str, head: str
) -> None:
    model = made(attention, options, pooling=pooling, head=head)
    sequences = model.config.num_sequences
    one, other = tokens(3, 24, sequences=sequences), tokens(3, 24, sequences=sequences, seed=1)
    lengths = torch.tensor([[17, 9], [3, 20], [12, 1]])[:, :sequences]
    there = torch.arange(24) < lengths[..., None]
    found = model(one, lengths)
    assert torch.equal(found, model(torch.where(there, one, other), lengths))
    assert not torch.equal(found, model(other, lengths))
    for length in (20, 21):
        torch.testing.assert_close(model(one[..., :length], lengths), found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 24])
def test_how_long_the_sequence_is_after_each_schedule(length: int) -> None:
    lengths: dict[str, list[int]] = {"funnel": [], "token_learner": []}
    for attention, options in SCHEDULES:
        for pooling in ("mean", "cls"):
            model = made(attention, options, pooling=pooling)
            vectors, mask = model.encoder(tokens(1, length)[:, 0], lengths_mask([length], length))
            assert mask is not None
            assert mask.shape == vectors.shape[:2]
            lengths[attention].append(vectors.shape[1])
    after = [length, length + 1]
    once = [1 + n // 2 for n in after]
    twice = [((n + 1) // 2 + 1) // 2 for n in after]
    assert lengths["funnel"] == [*once, *twice, *after]
    assert lengths["token_learner"] == [4, 4, 5, 5, 4, 4]


@every_schedule
@poolings
def test_every_parameter_gets_a_gradient_or_is_named(attention: str, options: dict[str, Any], pooling: str) -> None:
    for num_layers in (2, 3):
        if num_layers == 2 and ("blocks" in options or options.get("at_layer") == 2):
            continue
        model = made(attention, options, pooling=pooling, num_layers=num_layers).train()
        model.on_step(0)
        logits = model(tokens(2, 24), torch.tensor([[24], [17]]))
        torch.autograd.backward((logits * torch.tensor([1.0, -2.0, 0.7])).sum())
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert still == list(model.never_trained)
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every_schedule
@poolings
def test_a_sequence_of_padding_alone_is_finite(attention: str, options: dict[str, Any], pooling: str) -> None:
    model = made(attention, options, pooling=pooling).train()
    logits = model(tokens(2, 24), torch.tensor([[0], [24]]))
    torch.autograd.backward(logits.sum())
    assert logits.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every_schedule
@poolings
@pytest.mark.parametrize(("batch", "length"), [(0, 0), (0, 2), (0, 7), (2, 0)])
def test_a_batch_of_nothing(attention: str, options: dict[str, Any], pooling: str, batch: int, length: int) -> None:
    """Also where more tokens are learned than a sequence has."""
    model = made(attention, options, pooling=pooling).train()
    logits = model(torch.zeros(batch, 1, length, dtype=torch.int64), torch.zeros(batch, 1, dtype=torch.int64))
    assert logits.shape == (batch, 3)
    torch.autograd.backward(logits.sum())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("attention", ["funnel", "token_learner"])
def test_a_short_sequence_is_not_reversible(attention: str) -> None:
    with pytest.raises(UsageError, match=f"no length for reversible layers, got {attention}"):
        made(attention, {}, reversible=True)


@pytest.mark.parametrize("attention", ["funnel", "token_learner"])
@pytest.mark.parametrize("max_length", [1, 2, 3])
@poolings
def test_without_options_any_length_will_do(attention: str, max_length: int, pooling: str) -> None:
    for num_layers in (1, 2, 4):
        model = made(attention, {}, max_length=max_length, num_layers=num_layers, pooling=pooling)
        assert model(tokens(2, max_length), torch.tensor([[max_length], [1]])).isfinite().all()
