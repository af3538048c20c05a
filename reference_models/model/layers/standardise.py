"""Standardises the pooled vectors before the head: batch normalisation without a learned scale and shift.

    y = (x - mean) / sqrt(variance + epsilon)

in training with the mean and the variance of the step's whole batch, over all ranks; afterwards with fixed ones, so
that a row alone gives what it gives in a batch. Those follow the steps, mean += (mean of the step - mean) / 10, until a
training measures them for the weights that it scores (`training/calibration.py`). A mean over hundreds of mostly equal
tokens is nearly the same vector for every example, and a head cannot see within few steps what differs.

Ioffe and Szegedy, "Batch normalization", 2015, section 3. Running statistics in training too, without a gradient
through them, were tried: the loss rises above that of chance (docs/log.md).
"""

import torch
from torch import Tensor, nn

from reference_models.attention.operations import sum_over_ranks

_EPSILON = 1e-5
_SHARE = 0.1  # of the last step in the running statistics


class _SumOverRanks(torch.autograd.Function):
    """The sum over the ranks. A rank's loss depends on all ranks' terms, so gradients are summed, too."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        """The same on each rank."""
        return sum_over_ranks(x.clone())

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        """The same on each rank."""
        return sum_over_ranks(gradient.clone())


class Standardise(nn.Module):
    """(N, D) to (N, D), in float32 or better. A step is one batch: micro-batches would have statistics of their own.

    mean, variance: float32 (D), those of evaluations.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, D)."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, variance = self._of_step(x) if self.training else (self.mean.to(x.dtype), self.variance.to(x.dtype))
        result: Tensor = (x - mean) * (variance + _EPSILON).rsqrt()
        return result

    def _of_step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance over the ranks' examples."""
        sums = _SumOverRanks.apply(sums_of(x))  # type: ignore[no-untyped-call]
        mean, variance = _moments(sums)
        if sums[-1] > 0:  # otherwise no rank has an example, and nothing is known of this step
            for running, found in ((self.mean, mean), (self.variance, variance)):
                running.lerp_(found.detach().to(running.dtype), _SHARE)
        return mean.to(x.dtype), variance.to(x.dtype)

    def take(self, sums: Tensor) -> None:
        """Use the mean and the variance of many batches from now on. sums: of `sums_of`, over all ranks."""
        for kept, found in zip((self.mean, self.variance), _moments(sums), strict=True):
            kept.copy_(found)


def sums_of(x: Tensor) -> Tensor:
    """Sums of vectors (N, D) and of their squares, and N: (2 D + 1). In float64, so that their order hardly matters."""
    wide = x.double()
    return torch.cat([wide.sum(dim=0), wide.square().sum(dim=0), wide.new_full((1,), len(x))])


def _moments(sums: Tensor) -> tuple[Tensor, Tensor]:
    mean, square = (sums[:-1] / sums[-1].clamp(min=1)).chunk(2)
    return mean, (square - mean.square()).clamp(min=0.0)
