"""The properties. Each takes a model and a size, and raises `PropertyError` with an example if the model lacks it.

All sequences of a batch are padded on the right. What an attention returns for padding does not matter.
"""

import io
from dataclasses import replace

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from reference_models.attention.base import Attention
from reference_models.attention.operations import joined
from reference_models.contract.trial import PropertyError, Size, Subject, expect, inputs, same, trained_loss

# What one sequence holds must not reach another: their sizes differ.
_SIZES = (1.0, 30.0, 0.1)


def runs(subject: Subject, size: Size, *, padded: bool = True, autocast: bool = False) -> None:
    """Forward and backward give finite numbers, and the output has the input's shape."""
    model = subject.build(max_length=max(64, size.length)).train()
    model.on_step(0)
    x = size.x().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = model(x, size.keep if padded else None)
        loss = out.float().square().mean()
    extra = model.auxiliary_loss()
    torch.autograd.backward(loss if extra is None else loss + extra)
    expect(out.shape == x.shape, f"output of shape {tuple(out.shape)} for input of shape {tuple(x.shape)}")
    expect(bool(out.isfinite().all()), "output is not finite")
    expect(x.grad is not None and bool(x.grad.isfinite().all()), "gradient of the input is missing or not finite")
    for name, parameter in model.named_parameters():
        expect(parameter.grad is None or bool(parameter.grad.isfinite().all()), f"gradient of {name} is not finite")


def ignores_what_is_under_padding(subject: Subject, size: Size) -> None:
    """Other values under padding change no bit of a kept token's output, nor of its weights."""
    model, keep, x = subject.build(), size.keep, size.x()
    poisoned = torch.where(keep[..., None], x, 1e4 * size.x(seed=5))
    same(model(poisoned, keep), model(x, keep), keep, "output with other values under padding")
    if has_weights(model):
        found, expected = (model.dense_weights(given, keep).transpose(1, 2) for given in (poisoned, x))
        same(found, expected, keep, "weights with other values under padding")


def ignores_more_padding(subject: Subject, size: Size) -> None:
    """Padding to a greater length changes nothing but rounding."""
    model, keep = subject.build(dtype=torch.float64), size.keep
    for more in (1, 9):
        longer = replace(size, length=size.length + more)
        x = longer.x(dtype=torch.float64)
        short, long = model(x[:, : size.length], keep), model(x, longer.keep)[:, : size.length]
        same(long, short, keep, f"output with {more} more positions of padding", atol=1e-10)


def ignores_the_batch(subject: Subject, size: Size, *, training: bool = False) -> None:
    """A sequence alone has the output that it has in a batch, up to rounding."""
    keep = size.keep
    x = size.x() * torch.tensor([_SIZES[row % 3] for row in range(len(keep))])[:, None, None]

    def out(rows: slice) -> Tensor:
        model = subject.build()
        if training:
            model.train().on_step(3)
        found: Tensor = model(x[rows], keep[rows])
        return found

    together = out(slice(None))
    for row in range(len(keep)):
        rows = slice(row, row + 1)
        same(out(rows), together[rows], keep[rows], f"sequence {row} alone", rtol=1e-5, atol=2e-6)


def ignores_the_batch_in_training(subject: Subject, size: Size) -> None:
    """The same in training, without dropout: what two ranks compute is then what one computes."""
    ignores_the_batch(subject, size, training=True)


def no_mask_is_a_mask_of_ones(subject: Subject, size: Size) -> None:
    """No mask gives what a mask of ones gives."""
    model, x = subject.build(dtype=torch.float64), size.x(dtype=torch.float64)
    ones = torch.ones_like(size.keep)
    same(model(x), model(x, ones), ones, "output without a mask, not with a mask of ones", atol=1e-12)


def padding_alone_is_finite(subject: Subject, size: Size) -> None:
    """A sequence without any token gives finite numbers, forward and backward; a batch may have no sequence."""
    model = subject.build().train()
    model.on_step(0)
    keep = size.keep
    for empty in (slice(1), slice(None)):  # one of the sequences, then all
        keep[empty] = False
        x = size.x().requires_grad_()
        out = model(x, keep)
        out.sum().backward()
        expect(bool(out.isfinite().all()), "output of a sequence of padding alone is not finite")
        finite = x.grad is not None and bool(x.grad.isfinite().all())
        expect(finite, "gradient with a sequence of padding alone: not finite")
    none = model(x[:0].detach(), keep[:0])
    expect(none.shape == x[:0].shape, f"output of shape {tuple(none.shape)} for input of shape {tuple(x[:0].shape)}")


def every_parameter_learns(subject: Subject, size: Size) -> None:
    """Each parameter gets a gradient, and of each matrix at least half of the rows do."""
    model = subject.build().train()
    model.on_step(0)
    torch.autograd.backward(trained_loss(model, size.x().requires_grad_(), size.keep))
    for name, parameter in model.named_parameters():
        moved = parameter.grad is not None and bool(parameter.grad.any())
        expect(moved, f"{name} gets no gradient")
        # A position's or head's part that never moves would hide behind the others.
        if parameter.ndim > 1 and parameter.grad is not None:
            share = parameter.grad.flatten(1).any(dim=1).float().mean().item()
            expect(share > 0.5, f"only {share:.0%} of the rows of {name} get a gradient")


def gradients_are_those_of_finite_differences(subject: Subject, size: Size) -> None:
    """The gradient of the input is that of finite differences, in float64."""
    model = subject.build(dtype=torch.float64, dim=6, heads=2, head_dim=3, max_length=16)
    x, keep = size.x(dim=6, dtype=torch.float64).requires_grad_(), size.keep
    try:
        torch.autograd.gradcheck(lambda x: model(x, keep)[keep], (x,), eps=1e-6, atol=1e-5)
    except GradcheckError as error:
        raise PropertyError("the gradient of the input is not that of finite differences") from error


def weights_have_no_padding(subject: Subject, size: Size) -> None:
    """`dense_weights` is (B, H, L, L), and its columns of padding are 0."""
    model, keep = subject.build(dtype=torch.float64), size.keep
    weights = model.dense_weights(size.x(dtype=torch.float64), keep)
    expected = (len(keep), model.num_matrices, size.length, size.length)
    expect(weights.shape == expected, f"weights of shape {tuple(weights.shape)}, expected {expected}")
    expect(not weights.transpose(1, 3)[~keep].any(), "padding has weight")


def weights_make_the_output(subject: Subject, size: Size) -> None:
    """The heads' outputs are `dense_weights` times the values."""
    model, keep, x = subject.build(dtype=torch.float64), size.keep, size.x(dtype=torch.float64)
    out = model.output(joined(model.dense_weights(x, keep) @ model.project(x).v))
    same(model(x, keep), out, keep, "output, not that of dense_weights", atol=1e-10)


def averages(subject: Subject, size: Size) -> None:
    """Values that are equal everywhere come out as they are: the weights of a query with any key sum to 1.

    All projections of values read the first channel alone, which is 1 everywhere.
    """
    model = subject.build(dtype=torch.float64)
    value = inputs(1, 1, dtype=torch.float64, seed=3)[0, 0]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "value" in name and parameter.shape == (len(value), len(value)):
                parameter.zero_()[:, 0] = value
    x = size.x(dtype=torch.float64)
    x[..., 0] = 1.0
    mixed = joined(model.mix(model.project(x), size.keep))
    same(mixed, value.expand_as(mixed), size.keep, "equal values", atol=1e-6)


def bfloat16_is_near(subject: Subject, size: Size, *, tolerance: float = 2e-2) -> None:
    """Under autocast the output is near that of float32."""
    model, x, keep = subject.build(), size.x(), size.keep
    exact = model(x, keep)[keep]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        near = model(x, keep)[keep].float()
    off = ((near - exact).norm() / exact.norm().clamp(min=torch.finfo(exact.dtype).tiny)).item()
    expect(off < tolerance, f"relative difference {off:.2g} under autocast, expected less than {tolerance}")


def is_determined(subject: Subject, size: Size) -> None:
    """Evaluation is deterministic, and training follows the seed and the step."""
    x, keep = size.x(), size.keep
    model = subject.build()
    same(model(x, keep), model(x, keep), keep, "the second evaluation")

    def steps() -> Tensor:
        model = subject.build(dropout=0.1).train()
        outs = []
        for step in range(3):
            torch.manual_seed(step)
            model.on_step(step)
            outs.append(model(x, keep))
        return torch.cat(outs)

    same(steps(), steps(), keep.repeat(3, 1), "the second training from the same seed")


def is_saved_whole(subject: Subject, size: Size) -> None:
    """A state that was saved after a step gives the same outputs in another model, built from another seed."""
    keep, x = size.keep, size.x()
    model = subject.build(seed=0).train()
    model.on_step(5)  # what a step changes must be saved too
    model(x, keep)
    model.eval()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = subject.build(seed=99)
    other.load_state_dict(torch.load(file, weights_only=True))
    same(other(x, keep), model(x, keep), keep, "output of a model with the saved state")


def saved_bytes(model: Attention, x: Tensor, keep: Tensor) -> int:
    """Bytes of all tensors that the forward pass saves for the backward pass, each storage once."""
    storages: dict[int, int] = {}
    held = []

    def pack(tensor: Tensor) -> Tensor:
        held.append(tensor)  # or another tensor may get the address of a freed one
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(x.requires_grad_(), keep)
    return sum(size for address, size in storages.items() if address not in own)


def has_weights(model: Attention) -> bool:
    """Whether a model defines `written_out`."""
    return type(model).written_out is not Attention.written_out
