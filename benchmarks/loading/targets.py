"""What a figure should be, and whether it is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Judged:
    """A figure with its target, in words."""

    what: str
    figure: str
    target: str
    met: bool

    def line(self) -> str:
        """For a reader."""
        return f"{self.what}: {self.figure} (target {self.target}: {'met' if self.met else 'MISSED'})"


def at_least(what: str, value: float, target: float) -> Judged:
    """Judge a ratio that should be great."""
    return Judged(what, f"{value:,.2f}", f"at least {target:,.2f}", value >= target)


def at_most(what: str, value: float, target: float, unit: str = "") -> Judged:
    """Judge a value that should be small."""
    return Judged(what, f"{value:,.2f}{unit}", f"at most {target:,.2f}{unit}", value <= target)
