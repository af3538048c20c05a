"""What the tests of all X-formers share: the cases that each test module lists, inputs, and a plain dense attention.

A test module `test_<name>.py` defines, for the contract tests (`test_contract.py`):

    CASES             options of the class, each set a small variant that is worth testing; at least one
    SLOPE             greatest exponent with which saved bytes may grow in L (None: only measured)
    SLOPE_OPTIONS     function from L to the options for that measurement (default: the first case)
    WEIGHTS_ARE_ALL   whether the heads' outputs are dense_weights @ v (default: True)
    AVERAGES          whether each query's weights sum to 1 (default: True)
    TRAINS_ON_WHOLE_BATCHES   whether a row's output in training depends on its batch (default: False)
"""

import importlib
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from reference_models.attention.base import Attention
from reference_models.attention.catalogue import attention_names
from reference_models.contract.trial import Subject, inputs, lengths_mask

__all__ = [
    "Options", "assert_same", "build", "cases", "declared", "dense", "inputs", "lengths_mask", "with_gradients",
]  # fmt: skip

Options = dict[str, Any]


def declared(name: str, what: str, default: Any) -> Any:
    """What a model's test module says of it."""
    return getattr(importlib.import_module(f"tests.reference_models.attention.test_{name}"), what, default)


def cases() -> Iterator[tuple[str, Options]]:
    """Every model with every small variant."""
    for name in attention_names():
        for options in declared(name, "CASES", None):
            yield name, options


def build(name: str, options: Options, *, dtype: torch.dtype = torch.float32, seed: int = 0, **shape: Any) -> Attention:
    """A small model in evaluation mode: width 24, 3 heads of 8, weights drawn from a seed."""
    return Subject(name, options).build(dtype=dtype, seed=seed, **shape)


def dense(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """softmax(q k^T / sqrt(E)) v, weights written out: q, k, v (B, H, L, E), mask bool, broadcast to (B, H, L, L)."""
    logits = torch.einsum("bhie,bhje->bhij", q, k) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is not None:
        logits = logits.masked_fill(~mask, -math.inf)
    weights = torch.nan_to_num(torch.exp(logits - logits.logsumexp(dim=-1, keepdim=True)))
    return torch.einsum("bhij,bhje->bhie", weights, v)


def with_gradients(
    function: Callable[[Tensor], Tensor], x: Tensor, valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The outputs of the valid rows, and the gradient of a fixed weighted sum of them with respect to x."""
    x = x.detach().requires_grad_()
    out = function(x)
    if valid is not None:
        out = out * valid[..., None].to(out.dtype)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64).to(out.dtype)
    (gradient,) = torch.autograd.grad((out * weights).sum(), x)
    return out.detach(), gradient


def assert_same(one: Callable[..., Tensor], two: Callable[..., Tensor], x: Tensor, keep: Tensor) -> None:
    """Two models, such as a compiled one and the plain, agree in the valid rows and the gradient of x, in float32."""
    found, expected = (with_gradients(partial(model, keep=keep), x, keep) for model in (one, two))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
