"""Reversible layers: gradients are those of plain autograd, through dropout, hashes, autocast and shared weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reference_models.model.reversible import Share, reversible, reversible_layers
from tests.support.harness import build, inputs, lengths_mask


class Attended(nn.Module):
    """A norm, LSH attention with dropout of its weights, and dropout."""

    def __init__(self, dtype: torch.dtype, layer: int) -> None:
        super().__init__()
        options = {"num_hashes": 2, "chunk": 5}
        attention = build("reformer", options, dtype=dtype, seed=layer, layer=layer, num_layers=3, dropout=0.2)
        self.norm, self.attention, self.dropout = nn.LayerNorm(24, dtype=dtype), attention, nn.Dropout(0.2)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        out: Tensor = self.dropout(self.attention(self.norm(x), keep))
        return out


class Block(nn.Module):
    """Both shares as methods of one module."""

    def __init__(self, dtype: torch.dtype, layer: int) -> None:
        super().__init__()
        self.attention, self.fed_by = Attended(dtype, layer), Fed(dtype)

    def attended(self, x: Tensor, keep: Tensor | None) -> Tensor:
        out: Tensor = self.attention(x, keep)
        return out

    def fed(self, x: Tensor, keep: Tensor | None) -> Tensor:
        out: Tensor = self.fed_by(x, keep)
        return out


class Fed(nn.Module):
    """A feed-forward layer, which does not need the mask."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        wide = nn.Linear(24, 40, dtype=dtype), nn.GELU(), nn.Dropout(0.3), nn.Linear(40, 24, dtype=dtype)
        self.layers = nn.Sequential(nn.LayerNorm(24, dtype=dtype), *wide)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        out: Tensor = self.layers(x)
        return out


Layers = list[tuple[Share, Share]]
Run = Callable[[Tensor, Tensor, Layers, Tensor | None], tuple[Tensor, Tensor]]


def _modules(number: int, dtype: torch.dtype = torch.float64) -> Layers:
    return [(Attended(dtype, layer).train(), Fed(dtype).train()) for layer in range(number)]


def _methods(number: int, dtype: torch.dtype = torch.float64) -> Layers:
    blocks = [Block(dtype, layer).train() for layer in range(number)]
    return [(block.attended, block.fed) for block in blocks]


def _parameters(layers: Layers) -> list[nn.Parameter]:
    owners = [share if isinstance(share, nn.Module) else share.__self__ for pair in layers for share in pair]  # type: ignore[attr-defined]
    return list({id(p): p for owner in owners for p in owner.parameters()}.values())


def _plain(x1: Tensor, x2: Tensor, layers: Layers, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    for f, g in layers:
        x1 = x1 + f(x2, keep)
        x2 = x2 + g(x1, keep)
    return x1, x2


def _one_by_one(x1: Tensor, x2: Tensor, layers: Layers, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    for f, g in layers:
        x1, x2 = reversible(x1, x2, f, g, keep)
    return x1, x2


def _results(
    run: Run, layers: Layers, *, dtype: torch.dtype = torch.float64, autocast: bool = False, within: bool = False
) -> list[Any]:
    """Outputs, gradients of inputs and parameters, and a random number drawn afterwards."""
    torch.manual_seed(3)
    x1, x2 = (inputs(2, 17, dtype=dtype, seed=seed).requires_grad_() for seed in (4, 5))
    keep = lengths_mask([17, 9], 17)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        y1, y2 = run(x1, x2, layers, keep)
    loss = (y1.sin() * inputs(2, 17, dtype=dtype, seed=6) + y2.square())[keep].sum()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=within):
        gradients = torch.autograd.grad(loss, [x1, x2, *_parameters(layers)])
    return [y1.detach(), y2.detach(), *gradients, torch.rand(3)]


@pytest.mark.parametrize("run", [reversible_layers, _one_by_one])
@pytest.mark.parametrize("made", [_modules, _methods])
def test_gradients_are_those_of_plain_autograd(run: Run, made: Callable[[int], Layers]) -> None:
    layers = made(3)
    for one, two in zip(_results(run, layers), _results(_plain, layers), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("within", [False, True])
def test_gradients_under_autocast_also_if_the_backward_pass_is_within_it(within: bool) -> None:
    layers = _modules(2, torch.float32)
    found, expected = (
        _results(run, layers, dtype=torch.float32, autocast=True, within=within) for run in (reversible_layers, _plain)
    )
    for one, two in zip(found, expected, strict=True):
        assert (one - two).norm() <= 1e-5 * two.norm()


def test_casts_made_without_gradients_do_not_stay_in_autocasts_cache() -> None:
    class Ignoring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(4, 4)

        def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
            del keep
            out: Tensor = self.dense(x)
            return out

    x, g = torch.ones(1, 2, 4), Ignoring()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reversible(x, x, Ignoring(), g)
        g(x, None).sum().backward()  # the same weights, used outside in the same region
    assert g.dense.weight.grad is not None


def test_weights_that_layers_share_get_the_sum() -> None:
    (f, g), (other, _) = _modules(2)
    layers = [(f, g), (other, g), (f, g)]
    for one, two in zip(_results(reversible_layers, layers), _results(_plain, layers), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-11)


def test_backward_twice_gives_the_same() -> None:
    layers = _modules(2)
    x = inputs(1, 8, dtype=torch.float64).requires_grad_()
    y1, y2 = reversible_layers(x, x, layers)
    first, second = (torch.autograd.grad((y1 * y2).sum(), x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_frozen_parameters_and_unused_outputs_are_no_trouble() -> None:
    layers = _methods(2)
    parameters = _parameters(layers)
    parameters[0].requires_grad_(False)
    x = inputs(1, 8, dtype=torch.float64)
    y1, _ = reversible_layers(x, x, layers)
    found = torch.autograd.grad(y1.sum(), parameters[1:], allow_unused=True)
    assert sum(gradient is not None for gradient in found) > len(parameters) // 2
    with torch.no_grad():
        assert not reversible_layers(x, x, layers)[0].requires_grad


def test_what_is_kept_does_not_grow_with_depth() -> None:
    def kept(run: Run, depth: int) -> int:
        layers = _modules(depth)
        own = {p.data_ptr() for p in _parameters(layers)}
        sizes: dict[int, int] = {}
        held = []

        def pack(tensor: Tensor) -> Tensor:
            held.append(tensor)
            if tensor.data_ptr() not in own:
                sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        x = inputs(1, 30, dtype=torch.float64).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            held.append(run(x, x, layers, None)[0])
        return sum(sizes.values())

    assert kept(reversible_layers, 3) == kept(reversible_layers, 1) == 2 * 30 * 24 * 8
    assert kept(_plain, 1) > 10 * kept(reversible_layers, 1)


def test_parameters_changed_before_the_backward_pass_are_an_error() -> None:
    layers = _modules(1)
    x = inputs(1, 8, dtype=torch.float64)
    y1, _ = reversible_layers(x, x, layers)
    with torch.no_grad():
        _parameters(layers)[0].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(y1.sum(), _parameters(layers))


def test_refuses_a_function_whose_parameters_it_cannot_see() -> None:
    f, g = _modules(1)[0]
    with pytest.raises(TypeError, match="expected a module"):
        reversible(inputs(1, 3), inputs(1, 3), partial(f), g)
