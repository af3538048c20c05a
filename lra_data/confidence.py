"""Confidence intervals of shares."""

from math import ceil, floor, sqrt


def wilson_interval(share: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a share measured on n examples; z is its half-width in standard errors (1.96 for 95 %)."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return centre - half, centre + half


def outward(low: float, high: float) -> tuple[str, str]:
    """An interval of shares in percent with two decimals, rounded outward, so that it is never printed narrower."""
    # A float's own error must not move a number that is whole in the last digit.
    least, most = (round(10_000 * share, 6) for share in (low, high))
    return f"{floor(least) / 100:.2f}", f"{ceil(most) / 100:.2f}"
