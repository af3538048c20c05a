"""What every X-former must do, tested on all of them unasked (`harness.py` says what their test modules declare)."""

import math
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_models.attention.catalogue import attention_class, attention_names
from reference_models.attention.operations import joined
from tests.conftest import ROOT
from tests.support.harness import Options, build, cases, declared, inputs, lengths_mask

CASES = [pytest.param(name, options, id=f"{name}-{options}") for name, options in cases()]


def first_two(name: str) -> list[Options]:
    """As a model is made without options, as a rule, and its first variant."""
    found: list[Options] = declared(name, "CASES", None)[:2]
    return found


every_case = pytest.mark.parametrize(("name", "options"), CASES)


def test_every_model_has_tests_and_says_what_it_is() -> None:
    for name in attention_names():
        found = attention_class(name)
        assert found.family in {
            "none", "fixed pattern", "learnable pattern", "memory", "low rank", "kernel", "recurrence", "downsampling",
            "sparse", "not attention",
        }  # fmt: skip
        assert found.cost
        assert "§" in found.paper
        assert found.__doc__
        assert "torch.compile" in found.__doc__, name
        assert declared(name, "CASES", None), name


@every_case
@pytest.mark.parametrize(
    ("length", "padded", "autocast"),
    [
        *product((17,), (False, True), (False, True)),
        (1000, True, True),
        *(
            pytest.param(1000, *flags, marks=pytest.mark.slow)
            for flags in ((False, False), (False, True), (True, False))
        ),
    ],
)
def test_runs_forward_and_backward(name: str, options: Options, length: int, padded: bool, autocast: bool) -> None:
    model = build(name, options, max_length=1024).train()
    model.on_step(0)
    x = inputs(2, length).requires_grad_()
    keep = lengths_mask([length, length // 3], length) if padded else None
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = model(x, keep)
        loss = out.float().square().mean()
    extra = model.auxiliary_loss()
    (loss if extra is None else loss + extra).backward()
    assert out.shape == x.shape
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every_case
def test_what_stands_under_padding_changes_nothing(name: str, options: Options) -> None:
    model = build(name, options)
    for lengths in ([40, 23, 1], [17, 16, 33]):
        keep = lengths_mask(lengths, 40)
        x = inputs(3, 40)
        poisoned = torch.where(keep[..., None], x, 1e4 * inputs(3, 40, seed=5))
        assert torch.equal(model(x, keep)[keep], model(poisoned, keep)[keep])
        assert torch.equal(model.dense_weights(x, keep)[_rows(keep)], model.dense_weights(poisoned, keep)[_rows(keep)])


def _rows(keep: Tensor) -> tuple[Tensor, Any, Tensor]:
    """Index of the valid queries of (B, H, L, L)."""
    batch, place = keep.nonzero(as_tuple=True)
    return batch, slice(None), place


@every_case
def test_a_row_alone_equals_the_row_in_a_batch(name: str, options: Options) -> None:
    model = build(name, options)
    keep = lengths_mask([37, 12, 25], 37)
    x = inputs(3, 37) * torch.tensor([1.0, 30.0, 0.1])[:, None, None]  # what one row holds must not reach another
    together = model(x, keep)
    for row in range(3):
        alone = model(x[row : row + 1], keep[row : row + 1])
        torch.testing.assert_close(alone[0][keep[row]], together[row][keep[row]], rtol=1e-5, atol=2e-6)


@every_case
def test_in_training_too_a_row_alone_equals_the_row_in_a_batch(name: str, options: Options) -> None:
    """Without dropout. A model whose training depends on the batch says why, and still has its own test."""
    if declared(name, "TRAINS_ON_WHOLE_BATCHES", False):
        return
    keep = lengths_mask([37, 12, 25], 37)
    x = inputs(3, 37) * torch.tensor([1.0, 30.0, 0.1])[:, None, None]

    def trained(rows: slice) -> Tensor:
        model = build(name, options).train()
        model.on_step(3)
        out: Tensor = model(x[rows], keep[rows])
        return out

    together = trained(slice(None))
    for row in range(3):
        alone = trained(slice(row, row + 1))
        torch.testing.assert_close(alone[0][keep[row]], together[row][keep[row]], rtol=1e-5, atol=2e-6)


@every_case
def test_a_constant_stays_that_constant(name: str, options: Options) -> None:
    """The weights of a query with any key sum to 1: fails where parts are summed with other scales or counts.

    All projections of values read the first channel alone, which is 1 everywhere.
    """
    if not declared(name, "AVERAGES", True):
        return
    model = build(name, options, dtype=torch.float64)
    value = torch.randn(24, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "value" in parameter_name and parameter.shape == (24, 24):
                parameter.zero_()[:, 0] = value
    x, keep = inputs(2, 37, dtype=torch.float64), lengths_mask([37, 12], 37)
    x[..., 0] = 1.0
    mixed = joined(model.mix(model.project(x), keep))
    torch.testing.assert_close(mixed[keep], value.expand_as(mixed[keep]), rtol=0, atol=1e-9)


@every_case
def test_more_padding_changes_nothing(name: str, options: Options) -> None:
    model = build(name, options, dtype=torch.float64)
    x = inputs(2, 40, dtype=torch.float64)
    keep = lengths_mask([31, 14], 40)
    short, long = model(x[:, :31], keep[:, :31]), model(x, keep)
    torch.testing.assert_close(short[keep[:, :31]], long[keep], rtol=0, atol=1e-10)


@every_case
def test_no_mask_is_a_mask_of_ones(name: str, options: Options) -> None:
    model = build(name, options, dtype=torch.float64)
    x = inputs(2, 33, dtype=torch.float64)
    torch.testing.assert_close(model(x), model(x, torch.ones(2, 33, dtype=torch.bool)), rtol=0, atol=1e-12)


@every_case
def test_a_sequence_of_padding_alone_is_finite(name: str, options: Options) -> None:
    model = build(name, options).train()
    x = inputs(2, 20).requires_grad_()
    keep = lengths_mask([0, 20], 20)
    out = model(x, keep)
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@every_case
def test_every_parameter_gets_a_gradient(name: str, options: Options) -> None:
    model = build(name, options).train()
    model.on_step(0)
    loss = (model(inputs(2, 64), lengths_mask([64, 50], 64)) * inputs(2, 64, seed=3)).sum()
    extra = model.auxiliary_loss()
    (loss if extra is None else loss + extra).backward()
    for parameter_name, parameter in model.named_parameters():
        moved = parameter.grad is not None and bool(parameter.grad.any())
        assert moved, f"{parameter_name} gets no gradient"
        if parameter.ndim:
            # A position's or head's part that never moves would hide behind the others.
            assert parameter.grad is not None
            assert parameter.grad.flatten(1).any(dim=1).float().mean() > 0.5 if parameter.ndim > 1 else True


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(
            name, options, id=f"{name}-{options}", marks=[] if options in first_two(name) else pytest.mark.slow
        )
        for name, options in cases()
    ],
)
def test_gradients_are_those_of_finite_differences(name: str, options: Options) -> None:
    model = build(name, options, dtype=torch.float64, dim=6, heads=2, head_dim=3, max_length=16)
    x = inputs(1, 9, dim=6, dtype=torch.float64).requires_grad_()
    keep = lengths_mask([7], 9)
    assert torch.autograd.gradcheck(lambda x: model(x, keep)[keep], (x,), eps=1e-6, atol=1e-5)


@every_case
def test_dense_weights_are_what_the_layer_computes(name: str, options: Options) -> None:
    model = build(name, options, dtype=torch.float64)
    for length, lengths in ((40, [40, 21]), (13, [13, 5])):
        x, keep = inputs(2, length, dtype=torch.float64), lengths_mask(lengths, length)
        weights = model.dense_weights(x, keep)
        assert weights.shape == (2, model.num_matrices, length, length)
        assert not weights.transpose(1, 3)[~keep].any(), "padding has weight"
        if declared(name, "WEIGHTS_ARE_ALL", True):
            out = model.output(joined(weights @ model.project(x).v))
            torch.testing.assert_close(model(x, keep)[keep], out[keep], rtol=0, atol=1e-10)


@every_case
def test_bf16_is_near_float32(name: str, options: Options) -> None:
    model = build(name, options)
    x, keep = inputs(2, 48), lengths_mask([48, 30], 48)
    exact = model(x, keep)[keep]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = model(x, keep)[keep].float()
    assert (near - exact).norm() < declared(name, "BF16_TOLERANCE", 2e-2) * exact.norm()


@every_case
def test_evaluation_is_deterministic_and_training_follows_seed_and_step(name: str, options: Options) -> None:
    x = inputs(2, 30)
    model = build(name, options)
    assert torch.equal(model(x), model(x))
    found = []
    for _ in range(2):
        model = build(name, options, dropout=0.1).train()
        outs = []
        for step in range(3):
            torch.manual_seed(step)
            model.on_step(step)
            outs.append(model(x))
        found.append(torch.stack(outs))
    assert torch.equal(found[0], found[1])


@every_case
def test_saved_bytes_grow_as_they_should(name: str, options: Options) -> None:
    """Bytes that autograd keeps at L, 2L, 4L: the exponent between the last two."""
    bound = declared(name, "SLOPE", None)
    chosen = declared(name, "SLOPE_OPTIONS", lambda length: options)
    found = []
    for length in (512, 1024, 2048):
        model = build(name, chosen(length), max_length=2048).train()
        model.on_step(0)
        found.append(_saved_bytes(model, inputs(1, length), lengths_mask([length - 3], length)))
    exponent = math.log2(found[2] / found[1])
    print(f"{name} {chosen(2048)}: {found} bytes at 512, 1024, 2048; exponent {exponent:.2f}")
    assert bound is None or exponent <= bound


def _saved_bytes(model: torch.nn.Module, x: Tensor, keep: Tensor) -> int:
    """Bytes of all tensors that the forward pass saves for the backward pass, each storage once."""
    storages: dict[int, int] = {}
    held = []

    def pack(tensor: Tensor) -> Tensor:
        held.append(tensor)  # or another tensor may get the address of a freed one
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {parameter.untyped_storage().data_ptr() for parameter in (*model.parameters(), *model.buffers())}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(x.requires_grad_(), keep)
    return sum(size for address, size in storages.items() if address not in own)


SAVED_AND_LOADED = """
import sys
import torch
from tests.support.harness import build, cases, inputs, lengths_mask

folder, action = sys.argv[1:]
keep = lengths_mask([40, 23], 40)
for number, (name, options) in enumerate(cases()):
    model = build(name, options, seed=0 if action == "save" else 99)
    path = f"{folder}/{number}.pt"
    if action == "save":
        model.train()
        model.on_step(5)  # what a step changes must be saved too
        model(inputs(2, 40), keep)
        model.eval()
        torch.save({"state": model.state_dict(), "out": model(inputs(2, 40), keep)[keep]}, path)
    else:
        stored = torch.load(path, weights_only=True)
        model.load_state_dict(stored["state"])
        assert torch.equal(model(inputs(2, 40), keep)[keep], stored["out"]), (name, options)
"""


@pytest.mark.slow
def test_a_saved_model_gives_the_same_in_another_process(tmp_path: Path) -> None:
    for action, hash_seed in (("save", "1"), ("load", "2")):
        found = subprocess.run(
            [sys.executable, "-c", SAVED_AND_LOADED, str(tmp_path), action],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
