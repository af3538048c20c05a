"""Each parameter of each model gets a gradient in a training step, or the configuration says why not."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from lra_data import UsageError
from reference_models.attention.catalogue import attention_names
from reference_models.attention.compressive import CompressiveAttention
from reference_models.attention.sinkhorn import SinkhornAttention
from reference_models.commands.main import cli
from reference_models.model.classifier import Classifier
from reference_models.model.config import ModelConfig, Pooling
from reference_models.model.presets import PRESETS, TASKS, preset
from reference_models.training.trainer import train
from tests.support.harness import Options, build
from tests.support.training_process import small_config, small_recipe, small_splits

every_attention = pytest.mark.parametrize("attention", attention_names())
# Of users' own models: around the sizes that an attention takes where it is told none. CLS is one position more.
LENGTHS: list[tuple[int, Pooling]] = [
    (5, "mean"), (50, "cls"), (128, "mean"), (1023, "cls"),
]  # fmt: skip
MORE_LENGTHS: list[tuple[int, Pooling]] = [(23, "cls"), (50, "mean"), (512, "mean"), (1024, "cls")]


def still(config: ModelConfig, examples: int = 1) -> list[str]:
    """Parameters without a gradient but 0 in a step on examples of full length."""
    torch.manual_seed(0)
    model = Classifier(config).train()
    model.on_step(0)
    texts = torch.randint(1, config.vocab_size, (examples, config.num_sequences, config.max_length))
    logits = model(texts, torch.full(texts.shape[:2], config.max_length))
    loss, extra = (logits * torch.randn(logits.shape)).sum(), model.auxiliary_loss()
    torch.autograd.backward(loss if extra is None else loss + extra)
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def narrow(config: ModelConfig, **changes: Any) -> ModelConfig:
    """With the same attention, positions and pooling."""
    small = {"dim": 8, "heads": 2, "qkv_dim": 8, "mlp_dim": 32, "num_layers": 1, "dropout": 0.0}
    return replace(config, **{**small, "attention_dropout": 0.0, **changes})


def presets_of(attention: str) -> Iterator[tuple[str, ModelConfig]]:
    """The models of all presets and tasks that an attention can tell apart, by the first of each kind."""
    seen: dict[object, str] = {}
    for name in PRESETS:
        for task in TASKS:
            config = preset(name, task=task, attention=attention)
            if attention == "synthesizer":
                # A matrix (L, L) for each head takes seconds to draw; all of it follows from max_length.
                config = replace(config, max_length=min(config.max_length, 256))
            # Half of the heads of Routing are local; other heads are alike.
            config = narrow(config, heads=min(config.heads, 2 if attention == "routing" else 1))
            kind = (config.max_length, config.pooling, str(config.options), config.heads)
            if kind not in seen:
                seen[kind] = f"{name} {task}"
                yield seen[kind], config


@every_attention
@pytest.mark.slow
def test_of_every_preset(attention: str) -> None:
    for name, config in presets_of(attention):
        assert still(config) == list(Classifier(config).never_trained), name


@every_attention
@pytest.mark.parametrize("lengths", [LENGTHS, pytest.param(MORE_LENGTHS, marks=pytest.mark.slow)], ids=["few", "more"])
def test_of_models_of_any_length_without_options(attention: str, lengths: list[tuple[int, Pooling]]) -> None:
    for length, pooling in lengths:
        config = ModelConfig(
            attention=attention, vocab_size=9, num_classes=3, max_length=length, dim=8, heads=2, qkv_dim=8, mlp_dim=32,
            num_layers=1, pooling=pooling, dropout=0.0,
        )  # fmt: skip
        assert still(config, examples=2) == list(Classifier(config).never_trained), length


def test_longformers_last_window_is_not_read_by_a_cls_token() -> None:
    config = narrow(preset("lra-paper", task="image", attention="longformer"), num_layers=3, max_length=40)
    found = Classifier(config).never_trained
    prefix = "encoder.attentions.2.attention"
    assert list(found) == [f"{prefix}.query.weight", f"{prefix}.key.weight", f"{prefix}.value.weight"]
    assert still(config) == list(found)
    for changes in ({"pooling": "mean"}, {"head": "cross"}, {"options": {"num_global": 0}}):
        other = replace(config, **changes)
        assert Classifier(other).never_trained == {}, changes
        assert still(other) == [], changes


def test_describe_says_it() -> None:
    text = CliRunner().invoke(cli, ["describe", "longformer", "--preset", "lra-release", "--task", "text"]).output
    assert "  never trained: encoder.attentions.3.attention.key.weight: only outputs of global tokens are read" in text
    assert "never trained:" not in CliRunner().invoke(cli, ["describe", "longformer"]).output


def compressive(length: int, **options: Any) -> CompressiveAttention:
    model = build("compressive", options, max_length=length)
    assert isinstance(model, CompressiveAttention)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "options", "expected"),
    [
        (4000, {}, (512, 512, 512)),
        (1025, {}, (512, 512, 512)),
        (1024, {}, (256, 256, 256)),
        (128, {}, (32, 32, 32)),
        (5, {}, (2, 2, 2)),
        (3, {}, (2, 0, 2)),
        (300, {"rate": 4}, (76, 76, 76)),
        (2000, {"segment": 128}, (128, 512, 512)),
        (128, {"segment": 64}, (64, 62, 64)),
        (128, {"compressed": 7}, (32, 32, 7)),
        (128, {"memory": 0}, (32, 0, 32)),
        (128, {"memory": 40, "compression": "mean"}, (32, 40, 32)),
    ],
)
def test_the_sizes_of_compressive_follow_the_length(length: int, options: Options, expected: tuple[int, ...]) -> None:
    """Where the paper's compress nothing, all that are not given."""
    model = compressive(length, **options)
    assert (model.segment, model.memory, model.compressed) == expected
    if model.compression == "conv":
        x = torch.randn(1, length, 24)
        before = model(x)
        with torch.no_grad():
            model.convolution.bias.add_(1.0)
        assert not torch.equal(model(x)[:, -1], before[:, -1]), "the last token sees no slot"


MEMORY = "no token leaves a memory of {} within {} positions: choose a smaller segment and memory, or omit both, so"
BLOCK = "one block of {} holds all {} positions, which leaves no order to learn: choose a smaller block, or omit it, so"


@pytest.mark.parametrize(
    ("attention", "length", "options", "part", "reason"),
    [
        ("compressive", 128, {"segment": 512, "memory": 512}, "convolution.weight", MEMORY.format(512, 128)),
        ("compressive", 128, {"memory": 512}, "convolution.weight", MEMORY.format(512, 128)),
        ("compressive", 512, {"segment": 512, "memory": 512}, "convolution.weight", MEMORY.format(512, 512)),
        ("compressive", 64, {"segment": 16, "memory": 64}, "convolution.weight", MEMORY.format(64, 64)),
        ("sinkhorn", 64, {"block": 64}, "sort.weight", BLOCK.format(64, 64)),
        ("sinkhorn", 24, {"block": 50}, "sort.weight", BLOCK.format(50, 24)),
    ],
)
def test_given_sizes_that_leave_a_part_untrained(
    attention: str, length: int, options: Options, part: str, reason: str, tmp_path: Path
) -> None:
    """The model says so, and our own training refuses it; a test of another kind may want such a layer."""
    config = replace(small_config(attention), max_length=length, options=options, num_layers=2)
    found = Classifier(config).never_trained
    assert still(config) == list(found)
    assert len(found) == (4 if attention == "compressive" else 2)
    assert found[f"encoder.attentions.1.attention.{part}"].startswith(reason)
    given = f"{attention} with options {options}"
    expected = f"expected options with which all of a model learns, got {given}: {part} cannot learn: "
    with pytest.raises(UsageError) as error:
        Classifier(config).check_options()
    assert str(error.value).startswith(expected + reason)
    if length >= 127:
        with pytest.raises(UsageError, match="expected options with which all of a model learns"):
            train(config, small_recipe(), small_splits(), tmp_path, device="cpu")
    Classifier(replace(config, options={})).check_options()


def test_sizes_that_just_leave_something() -> None:
    for options in (
        {"segment": 16, "memory": 63},
        {"segment": 64, "memory": 63},
        {"memory": 64, "compression": "mean"},
    ):
        config = replace(small_config("compressive"), max_length=64, options=options)
        assert Classifier(config).never_trained == {}
        assert still(config) == []


@pytest.mark.parametrize(
    ("length", "block", "expected"), [(2000, None, 50), (51, None, 50), (50, None, 25), (5, None, 3), (8, 7, 7)]
)
def test_sinkhorn_has_more_than_one_block(length: int, block: int | None, expected: int) -> None:
    model = build("sinkhorn", {} if block is None else {"block": block}, max_length=length)
    assert isinstance(model, SinkhornAttention)
    assert model.block == expected
    assert model.num_blocks > 1
