"""The parameters of ListOps and its presets. Light: nothing numerical is imported here."""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from lra_data.checks import plain_int
from lra_data.errors import UsageError, unknown_name
from lra_data.family import Family
from lra_data.task import Preset

# Names as the original writes them in its tokens: MED is the median, SM the sum modulo 10 (LRA data/listops.py:54-62).
OPERATORS = ("MIN", "MAX", "MED", "SM")

SPELLINGS = {"MEDIAN": "MED", "SUM_MOD": "SM"}

# The kernel counts the arguments of an operator in five-bit fields.
LARGEST_ARGS = 31
LARGEST_DEPTH = 64
LARGEST_LENGTH = 1_000_000

# A build first computes the exact law (law.py). The time grows with this product: about five seconds at the bound.
LARGEST_PRODUCT = 30_000_000


def _field(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which ListOps trees are drawn and kept. The defaults are those of the original (LRA data/listops.py:36-47).

    The metadata of each field holds its meaning; the command line shows the same text.
    """

    max_depth: int = _field(10, "Maximum depth of a node; the root has depth 1")
    min_args: int = _field(2, "Minimum number of arguments of an operator")
    max_args: int = _field(10, "Maximum number of arguments of an operator; the number is uniform")
    min_length: int = _field(500, "Exclusive lower bound of the tokens in an expression, brackets included")
    max_length: int = _field(2000, "Exclusive upper bound of the tokens in an expression, brackets included")
    operators: tuple[str, ...] = _field(
        OPERATORS, "Operators, drawn with equal probability; MEDIAN and SUM_MOD are also accepted"
    )

    # VALUE_P in LRA data/listops.py:65. It decides the branching. It is not a field, as no published set varies it.
    OPERATOR_PROBABILITY: ClassVar[float] = 0.25

    def __post_init__(self) -> None:
        for parameter in fields(self):
            if parameter.name != "operators":
                value = getattr(self, parameter.name)
                number = plain_int(value)
                if number is None:
                    raise UsageError(f"listops: {parameter.name} must be an integer, got {value!r}")
                object.__setattr__(self, parameter.name, number)
        _within("max_depth", self.max_depth, 2, LARGEST_DEPTH)
        _within("max_args", self.max_args, 2, LARGEST_ARGS)
        _within("min_args", self.min_args, 2, self.max_args)
        _within("max_length", self.max_length, 5, LARGEST_LENGTH)
        _within("min_length", self.min_length, 1, self.max_length - 2)
        if self.max_depth * self.max_args * self.max_length > LARGEST_PRODUCT:
            raise UsageError(
                f"listops: max_depth x max_args x max_length must be at most {LARGEST_PRODUCT:,}, got "
                f"{self.max_depth * self.max_args * self.max_length:,}: lower one of them"
            )
        if not isinstance(self.operators, tuple) or not all(isinstance(name, str) for name in self.operators):
            raise UsageError(f"listops: operators must be a tuple of names, got {self.operators!r}")
        names = tuple(SPELLINGS.get(name, name) for name in self.operators)
        for operator in names:
            if operator not in OPERATORS:
                raise unknown_name("listops operator", operator, OPERATORS)
        if not names or len(set(names)) != len(names):
            raise UsageError(f"listops: operators must be distinct and at least one, got {self.operators!r}")
        object.__setattr__(self, "operators", tuple(name for name in OPERATORS if name in names))
        self._check_reachable()

    def _check_reachable(self) -> None:
        """Reject a length window that no tree of this depth and arity can reach."""
        shortest = 2 + self.min_args
        longest = 1
        for _ in range(self.max_depth - 1):
            longest = 2 + self.max_args * longest
        if self.max_length - 1 < shortest or self.min_length + 1 > longest:
            raise UsageError(
                f"listops: no tree has a length between {self.min_length} and {self.max_length}, both excluded: "
                f"with this depth and these numbers of arguments, an expression has {shortest} to {longest:,} tokens"
            )
        if self.min_args == self.max_args:
            # Replacing a digit with an operator adds max_args + 1 tokens, so lengths are 1 modulo max_args + 1.
            step = self.max_args + 1
            first = self.min_length + 1 + (1 - (self.min_length + 1)) % step
            if first >= self.max_length:
                raise UsageError(
                    f"listops: operators with exactly {self.max_args} arguments give only lengths 1 + {step}k, none of "
                    f"them between {self.min_length} and {self.max_length}, both excluded: widen the window"
                )


def _within(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise UsageError(f"listops: {name} must be from {lowest} to {highest}, got {value}")


_LRA_SIZES = {"train": 96_000, "validation": 2_000, "test": 2_000}


def _preset(summary: str, **parameters: Any) -> Preset:
    return Preset(config=Config(**parameters), sizes=_LRA_SIZES, summary=summary)


PRESETS = {
    "lra": _preset("the benchmark's set: 500 < L < 2000, depth 10, up to 10 arguments"),
    "mini": _preset("short expressions for quick runs: 17 to 127 tokens", max_args=5, min_length=16, max_length=128),
    "4k": _preset("2000 < L < 4000, depth 12", max_depth=12, min_length=2_000, max_length=4_000),
    "8k": _preset("4000 < L < 8000, depth 14", max_depth=14, min_length=4_000, max_length=8_000),
    "16k": _preset("8000 < L < 16000, depth 15", max_depth=15, min_length=8_000, max_length=16_000),
}

FAMILY = Family(config=Config, presets=PRESETS)
