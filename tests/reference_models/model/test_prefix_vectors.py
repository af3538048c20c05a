"""Vectors in front of the sequence, in whole models: how they pass through layers, what is read, and what learns."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lra_data import UsageError
from reference_models.attention.base import Shape
from reference_models.attention.catalogue import attention_class, attention_names
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig, Pooling
from reference_models.model.encoder import AttentionLayer, FeedForward
from reference_models.model.presets import PRESETS, TASKS, preset
from tests.support.harness import Options

# Small variants of all models with vectors in front.
MODELS: dict[str, Options] = {
    "luna": {"projected_length": 4},
    "etc": {"radius": 2, "num_global": 4, "sharing": "none"},
    "perceiver": {"num_latents": 4},
}
NUM_PREFIX = 4

every_model = pytest.mark.parametrize("name", MODELS)
every_pooling = pytest.mark.parametrize("pooling", ["mean", "cls"])


def model_of(name: str, pooling: Pooling = "mean", **changes: Any) -> Classifier:
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "vocab_size": 13, "num_classes": 3, "max_length": 20, "dim": 12, "heads": 2, "qkv_dim": 12, "mlp_dim": 16,
        "num_layers": 2, "dropout": 0.0, "options": MODELS[name],
    }  # fmt: skip
    return Classifier(ModelConfig(attention=name, pooling=pooling, **{**given, **changes})).double().eval()


def batch() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(1, 13, (3, 1, 20), generator=draw), torch.tensor([[20], [7], [1]])


def written_out(model: Classifier, tokens: list[int]) -> Tensor:
    """Logits of one sequence by itself: P and X as two tensors, layer by layer."""
    encoder, attention = model.encoder, model.attentions[0]
    assert encoder.prefix is not None
    p, x = encoder.prefix, encoder.embedding(torch.tensor(tokens))
    if encoder.cls is not None:
        x = torch.cat([encoder.cls[None], x])
    x = x + encoder.positions[: len(x)]
    for layer, feed_forward in zip(encoder.attentions, encoder.feed_forwards, strict=True):
        assert isinstance(layer, AttentionLayer)
        assert isinstance(feed_forward, FeedForward)
        normed = [layer.norm(part) for part in (p, x)]
        share = layer.attention(torch.cat(normed)[None])[0]
        p, x = p + share[: len(p)], x + share[len(p) :]
        if attention.feed_forward != "tokens":
            p = p + feed_forward(p)
        if attention.feed_forward != "prefix":
            x = x + feed_forward(x)
    read = encoder.norm(p if attention.pooled == "prefix" else x)
    pooled: Tensor = read[0] if model.config.pooling == "cls" else read.mean(dim=0)
    for dense in model.head[:-1]:
        pooled = functional.relu(dense(pooled))
    logits: Tensor = model.head[-1](pooled)
    return logits.float()


@every_model
@every_pooling
def test_equals_each_sequence_by_itself(name: str, pooling: Pooling) -> None:
    model = model_of(name, pooling)
    inputs, lengths = batch()
    found = model(inputs, lengths)
    for row, (text, length) in enumerate(zip(inputs[:, 0].tolist(), lengths[:, 0].tolist(), strict=True)):
        torch.testing.assert_close(found[row], written_out(model, text[:length]), rtol=0, atol=1e-6)
    assert torch.equal(model(inputs[:, :, :12], lengths.clamp(max=12))[1:], model(inputs, lengths)[1:])


@every_model
@every_pooling
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_every_parameter_learns_or_is_named(name: str, pooling: Pooling, num_layers: int) -> None:
    model = model_of(name, pooling, num_layers=num_layers).train()
    logits = model(*batch())
    (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    still = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == list(model.never_trained)
    model.check_options()


@every_model
def test_the_vectors_are_learned_and_shared_by_all_examples(name: str) -> None:
    model = model_of(name).train()
    prefix = model.encoder.prefix
    assert isinstance(prefix, torch.nn.Parameter)
    assert prefix.shape == (NUM_PREFIX, 12)
    assert 0.7 < prefix.std() < 1.3
    before = prefix.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(*batch()).square().sum().backward()
    optimizer.step()
    assert (prefix != before).any(dim=1).all()


@every_model
def test_they_take_no_position(name: str) -> None:
    """Positions begin at the first token, or at CLS, and max_length is of tokens alone."""
    model = model_of(name, "cls", positions="learned").train()
    inputs, lengths = batch()
    model(inputs[1:, :, :7], lengths[1:]).square().sum().backward()
    moved = model.encoder.positions.grad
    assert isinstance(moved, Tensor)
    assert moved.any(dim=1).tolist() == [True] * 8 + [False] * 13
    with pytest.raises(UsageError, match="expected at most max_length = 20 tokens, got 21"):
        model(torch.ones(1, 1, 21, dtype=torch.int64), torch.tensor([[21]]))


@every_model
def test_two_documents(name: str) -> None:
    for head in ("concat", "four-way", "cross"):
        model = model_of(name, head=head)
        inputs, lengths = batch()
        pair, sizes = torch.cat([inputs, inputs.flip(2)], dim=1), torch.cat([lengths, lengths.flip(0)], dim=1)
        found = model(pair, sizes)
        assert found.shape == (3, 3)
        alone = torch.cat([model(pair[row : row + 1], sizes[row : row + 1]) for row in range(3)])
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-6)


@every_model
def test_reversible_layers_take_those_that_change_all_positions(name: str) -> None:
    model = model_of(name)
    if model.attentions[0].feed_forward == "all":
        assert model_of(name, reversible=True)(*batch()).shape == (3, 3)
        return
    with pytest.raises(UsageError, match=f"expected an attention whose layers change all positions .* got {name}"):
        model_of(name, reversible=True)


def test_other_models_have_none() -> None:
    """An attention's own option of this name, such as Image Transformer's, is not the encoder's."""
    shape = Shape(dim=4, heads=2, head_dim=2, max_length=16)
    for name in set(attention_names()) - set(MODELS):
        given = [preset(name=each, task=task, attention=name).options for each in PRESETS for task in TASKS]
        for options in ({}, *(options for options in given if "num_prefix" in options)):
            with torch.device("meta"):
                model = attention_class(name)(shape, **options)
            assert model.num_prefix == 0, (name, options)


def changed(model: Classifier, change: Callable[[Tensor], None]) -> bool:
    """Whether logits depend on the vectors in front in the way of this change."""
    before = model(*batch())
    with torch.no_grad():
        assert model.encoder.prefix is not None
        change(model.encoder.prefix)
    return not torch.allclose(model(*batch()), before, rtol=0, atol=1e-6)


@every_model
def test_all_of_them_are_read(name: str) -> None:
    for row in range(NUM_PREFIX):
        assert changed(model_of(name), lambda prefix, row=row: prefix[row].mul_(-2.0))  # type: ignore[misc]


def test_only_the_perceivers_latents_are_read_and_fed() -> None:
    """Tokens reach the classifier as keys alone: the mean, or the first of CLS pooling, is of latents."""
    model = model_of("perceiver")
    inputs, lengths = batch()
    vectors, mask = model.encoder(inputs[:, 0], torch.arange(20) < lengths)
    assert vectors.shape == (3, NUM_PREFIX, 12)
    assert mask is None
    # Layer 0 reads the tokens and layer 1 does not: without the share of layer 0, tokens do not matter.
    for layer, matters in ((0, False), (1, True)):
        other = model_of("perceiver")
        with torch.no_grad():
            other.attentions[layer].get_parameter("output.prefix.weight").zero_()
        logits = other(inputs, lengths)
        assert torch.allclose(logits, logits[:1].expand_as(logits), rtol=0, atol=1e-6) != matters


def test_the_perceivers_read_out_has_no_vectors_in_front() -> None:
    options: Options = {"num_latents": 4, "form": "read-out"}
    for pooling in ("mean", "cls"):
        model = model_of("perceiver", pooling, options=options).train()
        assert (model.encoder.num_prefix, model.encoder.prefix) == (0, None)
        vectors, _ = model.encoder(torch.ones(1, 20, dtype=torch.int64))
        assert vectors.shape == (1, 20 + (pooling == "cls"), 12)
        logits = model(*batch())
        (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert model_of("perceiver", options=options, reversible=True)(*batch()).shape == (3, 3)


def test_lunas_feed_forward_layers_leave_p() -> None:
    model = model_of("luna", num_layers=1)
    seen: list[Tensor] = []
    model.encoder.feed_forwards[0].register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    model(*batch())
    assert [part.shape for part in seen] == [(3, 20, 12)]
