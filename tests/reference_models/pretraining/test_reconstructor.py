"""What is hidden reaches no output, what is told is measured on what was hidden alone, and rows do not mix."""

from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.model.config import ModelConfig
from reference_models.pretraining.reconstructor import Reconstructor
from tests.support.harness import lengths_mask

STEMS: list[dict[str, Any]] = [
    {"stem": "tokens"},
    {"stem": "tokens", "pooling": "cls"},
    {"stem": "strided", "stride": 4},
    {"stem": "grey", "stride": 1, "positions": "grid"},
    {"stem": "grey", "stride": 2, "positions": "grid"},
    {"stem": "convolution", "stride": 4, "positions": "grid"},
]
every_stem = pytest.mark.parametrize("stem", STEMS, ids=lambda stem: "-".join(map(str, stem.values())))


def model_of(ratio: float = 0.4, **changes: Any) -> Reconstructor:
    torch.manual_seed(0)
    settings = {
        "attention": "full", "vocab_size": 256, "num_classes": 2, "max_length": 64, "dim": 16, "heads": 2,
        "qkv_dim": 16, "mlp_dim": 16, "num_layers": 2, "pooling": "mean", "dropout": 0.0,
    }  # fmt: skip
    return Reconstructor(ModelConfig(**{**settings, **changes}), ratio=ratio, seed=5).double().eval()


def batch(rows: int = 4, sequences: int = 1, seed: int = 0) -> Tensor:
    return torch.randint(1, 250, (rows, sequences, 64), generator=torch.Generator().manual_seed(seed))


def full(inputs: Tensor) -> Tensor:
    return torch.full(inputs.shape[:2], 64)


@every_stem
def test_what_is_hidden_reaches_no_answer(stem: dict[str, Any]) -> None:
    model, one, other = model_of(**stem), batch(), batch(seed=1)
    answers: list[Tensor] = []
    model.head.register_forward_hook(lambda module, inputs, output: answers.append(output))
    rows = torch.arange(4)
    *_, counted = model._chosen(one, full(one), rows, 3)
    places = counted if not model.config.of_pictures else model._ungrouped(counted)
    mixed = torch.where(places.reshape(4, 1, -1)[..., :64], other, one)
    assert not torch.equal(mixed, one)
    (losses, counts), (others, _) = (model(inputs, full(inputs), rows, 3) for inputs in (one, mixed))
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=0)
    assert torch.equal(losses != others, counts[:, 0] > 0)


@every_stem
def test_only_what_is_hidden_counts(stem: dict[str, Any]) -> None:
    model, inputs, rows = model_of(**stem), batch(), torch.arange(4)
    _, counts = model(inputs, full(inputs), rows, 3)
    elements = model.hidden_elements(inputs, full(inputs), rows, 3)
    assert int(counts[:, 0].sum()) == len(elements)
    vectors = 4 * model.config.vectors(64)
    assert abs(len(elements) / 256 - 0.4) < 4 * (0.4 * 0.6 / vectors) ** 0.5
    assert (counts[:, 1] <= counts[:, 0]).all()


@every_stem
def test_an_example_alone_has_the_loss_that_it_has_in_a_batch(stem: dict[str, Any]) -> None:
    model, inputs, rows = model_of(**stem), batch(), torch.tensor([9, 2, 40, 7])
    whole, counts = model(inputs, full(inputs), rows, 3)
    for place in range(4):
        alone, own = model(inputs[place : place + 1], full(inputs)[place : place + 1], rows[place : place + 1], 3)
        torch.testing.assert_close(alone[0], whole[place], rtol=1e-5, atol=1e-6)
        assert torch.equal(own[0], counts[place])


@pytest.mark.parametrize("stem", STEMS[:3], ids=["tokens", "tokens-cls", "strided"])
def test_padding_is_neither_hidden_nor_read(stem: dict[str, Any]) -> None:
    model, rows = model_of(**stem), torch.arange(4)
    lengths = torch.tensor([[64], [30], [5], [1]])
    one, other = batch(), batch(seed=1)
    there = lengths_mask(lengths[:, 0].tolist(), 64)[:, None]
    mixed = torch.where(there, one, other)
    for found, expected in zip(model(mixed, lengths, rows, 3), model(one, lengths, rows, 3), strict=True):
        assert torch.equal(found, expected)
    assert (model(one, lengths, rows, 3)[1][:, 0] <= lengths[:, 0]).all()


def test_both_documents_of_a_pair_are_hidden_differently() -> None:
    model = model_of(head="concat")
    one = batch(rows=3)
    pairs = torch.cat([one, one], dim=1)
    *_, hidden, _, _ = model._chosen(pairs, full(pairs), torch.arange(3), 0)
    assert not torch.equal(hidden[0::2], hidden[1::2])


def test_it_learns_what_its_neighbours_tell() -> None:
    """Inputs of one repeated id: what is hidden is what is not."""
    torch.manual_seed(0)
    model = model_of(vocab_size=12).float().train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(120):
        ids = torch.randint(1, 12, (16, 1, 1), generator=torch.Generator().manual_seed(step)).expand(16, 1, 64)
        optimiser.zero_grad()
        loss = model(ids, full(ids), torch.arange(16), step)[0].mean()
        torch.autograd.backward(loss)
        optimiser.step()
    _, counts = model.eval()(ids, full(ids), torch.arange(16), 10_000)
    assert counts[:, 1].sum() > 0.9 * counts[:, 0].sum()


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1, float("nan")])
def test_ratios_are_checked(ratio: float) -> None:
    with pytest.raises(ValueError, match=f"expected a ratio above 0 and below 1, got {ratio}"):
        model_of(ratio)


@pytest.mark.parametrize("attention", ["perceiver", "funnel", "token_learner"])
def test_models_without_an_output_for_each_token_are_refused(attention: str) -> None:
    with pytest.raises(ValueError, match=f"expected an attention with an output for each token .* got {attention}"):
        model_of(attention=attention)
