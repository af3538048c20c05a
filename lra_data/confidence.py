"""Confidence intervals of shares."""

from math import sqrt


def wilson_interval(share: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's interval of a share measured on n examples; z is its half-width in standard errors (1.96 for 95 %)."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return centre - half, centre + half
