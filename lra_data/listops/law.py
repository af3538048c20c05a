"""The exact law of ListOps lengths: acceptance of a window and the chance of drawing one example twice.

A tree is drawn by a branching process, so the probability of each length is a power series in L that follows from
the depth rule by convolution; the same recursion with squared probabilities gives the chance that two independent
draws are the same tree. Both are exact up to rounding (about 1e-15), so a build can reject a hopeless window before it
starts.

`kernel.py` draws; a test compares its measured acceptance with this law.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lra_data.listops.config import Config


@dataclass(frozen=True, kw_only=True)
class Law:
    """The exact probabilities of one configuration.

    acceptance: the share of drawn trees whose length is in the window.
    collision: the probability that two independent accepted examples are the same tree.
    """

    acceptance: float
    collision: float


def exact_law(config: Config) -> Law:
    """Acceptance and collision probability of `config`, by convolution over lengths 0 .. max_length - 1."""
    window = slice(config.min_length + 1, config.max_length)
    acceptance = float(length_distribution(config)[window].sum())
    same_tree = float(np.maximum(_series(config, squared=True)[window], 0.0).sum())
    return Law(acceptance=acceptance, collision=same_tree / acceptance**2 if acceptance > 0 else 1.0)


def length_distribution(config: Config) -> NDArray[np.float64]:
    """P(length = L) of one draw, before the window is applied: float64, shape (max_length,), indexed by L."""
    return np.maximum(_series(config, squared=False), 0.0)


def _series(config: Config, *, squared: bool) -> NDArray[np.float64]:
    """Sum over trees of P(tree), or of P(tree)^2, by length; coefficients beyond max_length are dropped."""
    power = 2 if squared else 1
    digit = 10 * (1 / 10) ** power
    arities = range(config.min_args, config.max_args + 1)
    choice = len(config.operators) * (1 / (len(config.operators) * len(arities))) ** power

    leaf = np.zeros(config.max_length)
    leaf[1] = digit
    series = leaf  # at max_depth every node is a digit
    for _ in range(config.max_depth - 1):
        # An operator adds two tokens to those of its arguments: itself and its closing bracket.
        arguments = _sum_of_powers(series, config.min_args, config.max_args)
        node = np.zeros(config.max_length)
        node[2:] = config.OPERATOR_PROBABILITY**power * choice * arguments[:-2]
        series = (1 - config.OPERATOR_PROBABILITY) ** power * leaf + node
    return series


def _sum_of_powers(series: NDArray[np.float64], lowest: int, highest: int) -> NDArray[np.float64]:
    """series^lowest + ... + series^highest, truncated, by Horner's rule with FFT products."""
    one = np.zeros_like(series)
    one[0] = 1.0
    total = one
    for _ in range(highest - lowest):
        total = one + _product(series, total)
    for _ in range(lowest):
        total = _product(series, total)
    return total


def _product(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    size = 2 * len(left)
    product = np.fft.irfft(np.fft.rfft(left, size) * np.fft.rfft(right, size), size)
    return np.asarray(product[: len(left)])
