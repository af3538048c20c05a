"""Standardised pooled vectors: against PyTorch's batch normalisation, over ranks, and a row alone."""

from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from lra_data import UsageError
from reference_models import Classifier, ModelConfig, TrainConfig
from reference_models.model.checkpoint import load_model
from reference_models.model.layers.standardise import Standardise
from reference_models.training.splits import Splits
from reference_models.training.trainer import train
from tests.support.training_process import small_config, small_splits
from tests.support.two_ranks import two_ranks

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)) * 3 + 100


def made() -> Standardise:
    return Standardise(5).train()


def test_training_is_batch_normalisation() -> None:
    ours, theirs = made(), nn.BatchNorm1d(5, affine=False).train()
    x, y = X.clone().requires_grad_(), X.clone().requires_grad_()
    for _ in range(3):
        found, expected = ours(x), theirs(y)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    (found * X.cos()).sum().backward()
    (expected * X.cos()).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)
    assert theirs.running_mean is not None
    torch.testing.assert_close(ours.mean, theirs.running_mean)


def test_gradients_are_those_of_finite_differences() -> None:
    model = made()
    assert torch.autograd.gradcheck(lambda x: model(x).sin(), [X.double().requires_grad_()])


def test_in_evaluation_a_row_alone_is_what_it_is_in_a_batch() -> None:
    model = made()
    model(X)
    model.eval()
    before = model.mean.clone()
    together = model(X)
    assert torch.equal(torch.cat([model(row[None]) for row in X]), together)
    assert torch.equal(model.mean, before)
    torch.testing.assert_close(together, (X - model.mean) / (model.variance + 1e-5).sqrt())


def test_equal_vectors_are_finite() -> None:
    model = made()
    x = torch.ones(4, 5, requires_grad=True)
    model(x).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def of_rank(rank: int) -> Tensor:
    """The gradient and the statistics of a rank, which has two or four of the six vectors."""
    rows = slice(0, 2) if rank == 0 else slice(2, 6)
    model, x = made(), X[rows].clone().requires_grad_()
    (model(x) * X[rows].cos()).sum().backward()
    assert x.grad is not None
    whole = torch.zeros(6, 5)
    whole[rows] = x.grad
    distributed.all_reduce(whole)
    return torch.cat([whole, model.mean[None], model.variance[None]])


def test_two_ranks_are_one(tmp_path: Path) -> None:
    model, x = made(), X.clone().requires_grad_()
    (model(x) * X.cos()).sum().backward()
    assert x.grad is not None
    expected = torch.cat([x.grad, model.mean[None], model.variance[None]])
    with two_ranks(tmp_path, __name__, of_rank.__name__):
        found = of_rank(0)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_it_is_between_pooling_and_head() -> None:
    config = ModelConfig(
        attention="full", vocab_size=9, num_classes=3, max_length=8, dim=8, heads=2, qkv_dim=8, mlp_dim=8,
        num_layers=1, standardised=True,
    )  # fmt: skip
    model = Classifier(config).eval()
    seen: list[Tensor] = []
    assert model.standardise is not None
    model.standardise.register_forward_hook(lambda _, given, out: seen.extend([given[0], out]))
    model.head[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(torch.randint(9, (2, 1, 8)), torch.tensor([[8], [3]]))
    pooled, standardised, read = seen
    assert pooled.shape == (2, 8)
    assert torch.equal(standardised, read)


def test_micro_batches_are_refused(tmp_path: Path) -> None:
    config = ModelConfig(**{**vars(small_config("linear")), "standardised": True})
    recipe = TrainConfig(steps=2, batch_size=4, accumulate=2)
    with pytest.raises(UsageError, match=r"expected a recipe without micro-batches .* got accumulate = 2"):
        train(config, recipe, small_splits(), tmp_path, device="cpu")


@torch.no_grad()
def pooled_in_training_order(model: Classifier, splits: Splits, recipe: TrainConfig) -> Tensor:
    """What the head would be given without standardising, for the first 1,024 or more examples of the training."""
    assert model.standardise is not None
    seen: list[Tensor] = []
    model.standardise.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batches = splits.train.batches(
        recipe.batch_size, shuffle=True, seed=recipe.seed, epochs=None, remainder="drop", pad_to=128
    )
    for batch in islice(iter(batches), -(-1024 // recipe.batch_size)):
        model(torch.tensor(batch.inputs), torch.tensor(batch.lengths))
    return torch.cat(seen).double()


def test_statistics_are_those_of_the_weights_that_are_scored(tmp_path: Path) -> None:
    """Also while the rate is high, and with dropout in training: vectors move far in each of these steps."""
    config = small_config("linear", standardised=True)
    recipe = TrainConfig(steps=6, batch_size=30, learning_rate=0.1, schedule="constant", warmup=1)
    splits = small_splits()
    train(config, recipe, splits, tmp_path, device="cpu")
    model = load_model(tmp_path)[0].eval()
    assert model.standardise is not None
    vectors = pooled_in_training_order(model, splits, recipe)
    assert len(vectors) == 1050
    torch.testing.assert_close(model.standardise.mean.double(), vectors.mean(dim=0), rtol=1e-5, atol=1e-6)
    variance = vectors.var(dim=0, correction=0)
    torch.testing.assert_close(model.standardise.variance.double(), variance, rtol=1e-4, atol=1e-6)
