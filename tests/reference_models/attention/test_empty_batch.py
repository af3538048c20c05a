"""A batch without examples, which a rank gets where examples are fewer than ranks: logits (0, C), and gradients."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from torch.nn import functional

import lra_data
from lra_data import UsageError
from lra_data.loading.frameworks.torch_batches import TorchLoader
from reference_models.attention.catalogue import attention_class, attention_names
from reference_models.attention.set_transformer import PoolingByAttention
from reference_models.commands.main import cli
from reference_models.evaluation.scoring import evaluate
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig
from reference_models.model.presets import PRESETS, TASKS, preset
from tests.support.harness import Options, build, cases, inputs

every_attention = pytest.mark.parametrize("attention", attention_names())
# (B, L): without examples, as our loader gives it and with padding, and examples of no token.
SHAPES = [(0, 0), (0, 7), (2, 0)]


def made(attention: str, task: str = "listops", name: str = "mini", **changes: Any) -> Classifier:
    """A preset's model with its options and lengths, but one narrow layer."""
    small = {
        "dim": 8,
        "heads": 2,
        "qkv_dim": 8,
        "mlp_dim": 8,
        "num_layers": 1,
        "dropout": 0.2,
        "attention_dropout": 0.1,
    }
    torch.manual_seed(0)
    model = Classifier(replace(preset(name, task=task, attention=attention), **{**small, **changes}))
    model.on_step(0)
    return model


def empty(model: Classifier, batch: int, length: int) -> tuple[Tensor, Tensor]:
    """inputs (B, S, L) and lengths (B, S), as `lra_data` has them."""
    sequences = model.config.num_sequences
    return torch.zeros(batch, sequences, length, dtype=torch.int32), torch.zeros(batch, sequences, dtype=torch.int32)


def assert_takes(model: Classifier, texts: Tensor, lengths: Tensor) -> None:
    """Finite logits, and a finite gradient for each parameter. Without examples (which have a CLS token): the gradients
    and the attention's loss are 0, and no buffer changes.
    """
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    with torch.no_grad():
        assert model.eval()(texts, lengths).shape == (len(texts), model.config.num_classes)
    logits = model.train()(texts, lengths)
    assert logits.shape == (len(texts), model.config.num_classes)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    loss = logits.sum() * (0 if len(texts) == 0 else 1)
    extra = model.auxiliary_loss()
    assert extra is None or len(texts) or extra == 0
    torch.autograd.backward(loss if extra is None else loss + extra)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert len(texts) or not parameter.grad.any(), name
    assert len(texts) or all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())


@pytest.mark.parametrize(("name", "options"), list(cases()))
@pytest.mark.parametrize(("batch", "length"), SHAPES)
def test_dense_weights_of_nothing_are_an_empty_matrix(name: str, options: Options, batch: int, length: int) -> None:
    layer = build(name, options)
    for keep in (None, torch.zeros(batch, length, dtype=torch.bool)):
        found = layer.dense_weights(torch.zeros(batch, length, layer.shape.dim), keep)
        assert (found.shape, found.dtype) == ((batch, layer.num_matrices, length, length), torch.float32)


@every_attention
def test_the_batch_of_a_rank_without_examples(attention: str) -> None:
    """Our own loader's, in the last step of an epoch."""
    dataset = lra_data.load("listops/mini", split="train[:3]")
    (batch,) = TorchLoader(dataset.batches(2, rank=3, world_size=4))
    model = made(attention)
    assert_takes(model, batch.inputs, batch.lengths)
    loss = functional.cross_entropy(model(batch.inputs, batch.lengths), batch.labels, reduction="sum")
    torch.autograd.backward(loss)
    assert loss == 0


@every_attention
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "mini" else [pytest.mark.slow]) for name in PRESETS]
)
def test_every_presets_model_takes_it(attention: str, name: str) -> None:
    for task in TASKS:
        # A matrix (L, L) for each head takes seconds to draw, and a part of it is the same code.
        shorter = {"max_length": 256} if attention == "synthesizer" else {}
        model = made(attention, task, name, **shorter)
        for batch, length in SHAPES:
            pixels = 64 if model.config.of_pictures and length else length
            assert_takes(model, *empty(model, batch, pixels))
            model.zero_grad()


@every_attention
@pytest.mark.parametrize(
    "changes",
    [
        {"head": "concat"},
        pytest.param({"head": "four-way", "pooling": "cls"}, marks=pytest.mark.slow),
        pytest.param({"head": "cross"}, marks=pytest.mark.slow),
        {"head": "cross", "pooling": "cls", "positions": "learned"},
        {"reversible": True},
        {"reversible": True, "head": "concat", "num_layers": 2},
    ],
    ids=str,
)
def test_with_every_head_and_residual(attention: str, changes: dict[str, Any]) -> None:
    kind = attention_class(attention)
    if changes.get("reversible") and not (kind.repeatable and kind.feed_forward == "all" and not kind.changes_length):
        pytest.skip("may not be reversible")
    model = made(attention, **changes)
    for batch, length in SHAPES:
        assert_takes(model, *empty(model, batch, length))
        model.zero_grad()


@pytest.mark.parametrize(("attention", "options"), [pytest.param(*case, id=str(case)) for case in cases()])
@pytest.mark.parametrize("keep", [True, False])
def test_an_attention_by_itself(attention: str, options: Options, keep: bool) -> None:
    model = build(attention, options, dropout=0.1).train()
    for batch, length in SHAPES:
        x = inputs(batch, length).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=length == 7):
            out = model(x, torch.zeros(batch, length, dtype=torch.bool) if keep else None)
        assert out.shape == x.shape
        torch.autograd.backward(out.sum())
        assert x.grad is not None
        assert x.grad.shape == x.shape
        assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


@every_attention
def test_what_follows_is_as_if_it_had_not_been(attention: str) -> None:
    """In evaluation to the bit; training without dropout, which draws from the process's generator."""
    texts, lengths = torch.randint(1, 16, (3, 1, 40)), torch.tensor([[40], [12], [33]])
    found = []
    for first in (False, True):
        model = made(attention, dropout=0.0, attention_dropout=0.0).train()
        if first:
            model(*empty(model, 0, 0))
        model(texts, lengths)
        found.append((model(texts, lengths), model.auxiliary_loss(), model.eval()(texts, lengths)))
    for one, other in zip(*found, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


# torch 2.13 itself uses what it deprecates.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.slow
def test_compiles_for_it_and_for_others() -> None:
    model = build("linear", {})
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    for x in (inputs(0, 5), inputs(2, 5), inputs(0, 0)):
        assert torch.equal(compiled(x), model(x))


def test_pooling_by_attention() -> None:
    pooling = PoolingByAttention(8, 2, num_seeds=3)
    for batch, length in SHAPES:
        for keep in (None, torch.zeros(batch, length, dtype=torch.bool)):
            out = pooling(torch.zeros(batch, length, 8), keep)
            assert out.shape == (batch, 3, 8)
            assert out.isfinite().all()


def test_a_model_without_a_mask() -> None:
    config = ModelConfig(
        attention="full", vocab_size=9, num_classes=2, max_length=8, dim=8, heads=2, qkv_dim=8, mlp_dim=8, num_layers=2
    )
    vectors, mask = Classifier(config).encoder(torch.zeros(0, 5, dtype=torch.int64))
    assert vectors.shape == (0, 6, 8)
    assert mask is None


def test_a_score_of_no_examples_is_one_clear_line() -> None:
    expected = "expected at least one example in listops/mini test, got none: choose another split or slice"
    with pytest.raises(UsageError, match=expected):
        evaluate(made("linear"), lra_data.load("listops/mini", split="test[:0]"))
    command = ["evaluate", "listops/mini/linear", "listops/mini", "--split", "test[:0]"]
    found = CliRunner().invoke(cli, command)
    assert str(found.exception) == expected
