"""Reversible residual layers: only the last layer's outputs are kept, and earlier activations are recomputed from them.

    y1 = x1 + f(x2),   y2 = x2 + g(y1)      forward: f is the attention, g the feed-forward layer
    x2 = y2 - g(y1),   x1 = y1 - f(x2)      backward

Gomez et al., "The reversible residual network", NeurIPS 2017, section 3; Kitaev, Kaiser and Levskaya, "Reformer", ICLR
2020, section 3. Memory is that of one layer and of two tensors (B, L, D), for any depth. Time grows by a forward pass.

The backward pass calls f and g again, with the random state (dropout) and the autocast of the forward pass. Anything
else that they depend on must not change between the passes: an attention's rotations stay, statistics of batches do
not. x is recovered up to rounding, so a hash of it may differ where two directions tie in the last bits.

Not here: the beginning and the end of a network (`encoder.py`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import get_device_states, set_device_states

Share = Callable[..., Tensor]  # a module or a method of one: f(x, keep), (B, L, D) to (B, L, D)


def reversible(x1: Tensor, x2: Tensor, f: Share, g: Share, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """y1 and y2 of one layer."""
    return reversible_layers(x1, x2, [(f, g)], keep)


def reversible_layers(
    x1: Tensor, x2: Tensor, layers: Sequence[tuple[Share, Share]], keep: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """y1 and y2 after one or more layers (f, g); only these two are kept for the backward pass."""
    parameters = {id(p): p for layer in layers for share in layer for p in _parameters(share)}
    y1, y2 = _Reversible.apply(layers, x1, x2, keep, *parameters.values())  # type: ignore[no-untyped-call]
    return y1, y2


class _Reversible(torch.autograd.Function):
    """Parameters are inputs, so that autograd handles their gradients (torch.autograd.grad, hooks, DDP)."""

    @staticmethod
    def forward(
        ctx: Any,
        layers: Sequence[tuple[Share, Share]],
        x1: Tensor,
        x2: Tensor,
        keep: Tensor | None,
        *parameters: nn.Parameter,
    ) -> tuple[Tensor, Tensor]:
        """y1, y2."""
        ctx.layers, ctx.parameters, ctx.contexts = layers, parameters, []
        for f, g in layers:
            ctx.contexts.append(_Context.now(x1))
            with ctx.contexts[-1].autocast():
                x1 = x1 + f(x2, keep)
            ctx.contexts.append(_Context.now(x1))
            with ctx.contexts[-1].autocast():
                x2 = x2 + g(x1, keep)
        ctx.save_for_backward(x1, x2, keep, *parameters)  # parameters: autograd fails if they change before backward
        return x1, x2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy1: Tensor, dy2: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs and of the parameters."""
        y1, y2, keep, *_ = ctx.saved_tensors
        sums: dict[int, Tensor] = {}
        contexts = reversed(ctx.contexts)
        for f, g in reversed(ctx.layers):
            share, gradient = _again(g, y1, keep, next(contexts), dy2, sums)
            y2, dy1 = y2 - share, dy1 + gradient  # y2 is x2 from here on
            share, gradient = _again(f, y2, keep, next(contexts), dy1, sums)
            y1, dy2 = y1 - share, dy2 + gradient
        return None, dy1, dy2, None, *(sums.get(id(p)) for p in ctx.parameters)


def _again(
    share: Share, x: Tensor, keep: Tensor | None, context: "_Context", dy: Tensor, sums: dict[int, Tensor]
) -> tuple[Tensor, Tensor]:
    """share(x) once more, and the gradient of x; gradients of parameters are added to `sums`."""
    x = x.detach().requires_grad_()
    parameters = _parameters(share)
    with torch.enable_grad(), context.restored():
        y = share(x, keep)
    wanted = torch.autograd.grad(y, (x, *parameters), dy.to(y.dtype), allow_unused=True)
    for parameter, found in zip(parameters, wanted[1:], strict=True):
        if found is not None:
            before = sums.get(id(parameter))
            sums[id(parameter)] = found if before is None else before + found
    return y.detach(), torch.zeros_like(x) if wanted[0] is None else wanted[0]


def _parameters(share: Share) -> list[nn.Parameter]:
    """The trainable parameters of a module, or of the module of a method."""
    owner = share if isinstance(share, nn.Module) else getattr(share, "__self__", None)
    if not isinstance(owner, nn.Module):  # its parameters would be left without gradients
        raise TypeError(f"expected a module or a method of one, got {share!r}")
    return [parameter for parameter in owner.parameters() if parameter.requires_grad]


class _Context(NamedTuple):
    """What a call depends on besides its arguments: states of the random generators, and autocast."""

    cpu: Tensor
    devices: list[int]
    states: list[Tensor]
    device_type: str
    dtype: torch.dtype
    enabled: bool

    @classmethod
    def now(cls, x: Tensor) -> "_Context":
        """The current context, for calls on x."""
        kind = x.device.type
        dtype, enabled = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        return cls(torch.get_rng_state(), *get_device_states(x), kind, dtype, enabled)

    def autocast(self) -> AbstractContextManager[Any]:
        """The same autocast, without its cache: older torch caches casts of weights made without gradients."""
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=self.enabled, cache_enabled=False)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """The same autocast and random states; on exit, both are as before."""
        with torch.random.fork_rng(self.devices), self.autocast():
            torch.set_rng_state(self.cpu)
            set_device_states(self.devices, self.states)
            yield
