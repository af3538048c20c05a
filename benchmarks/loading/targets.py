"""Targets of figures, and whether they are reached."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Judged:
    """A figure with its target, as text."""

    what: str
    figure: str
    target: str
    met: bool

    def line(self) -> str:
        """The figure, its target and the verdict in one line."""
        return f"{self.what}: {self.figure} (target {self.target}: {'met' if self.met else 'MISSED'})"


def at_least(what: str, value: float, target: float) -> Judged:
    """Compare a ratio with its lower bound."""
    return Judged(what, f"{value:,.2f}", f"at least {target:,.2f}", value >= target)


def at_most(what: str, value: float, target: float, unit: str = "") -> Judged:
    """Compare a value with its upper bound."""
    return Judged(what, f"{value:,.2f}{unit}", f"at most {target:,.2f}{unit}", value <= target)
