"""What was measured on the original ListOps generator: the tables of shared/reference/original_lra.md, section 1.4.

Every figure keeps the unit it is printed to and the number of examples behind it, so that a test can allow for both.
Where the text leaves the number open, the smaller of its two runs is given. Not here: how the figures are tested.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A figure as the text prints it: it stands for every number within half a `unit` of `value`."""

    value: float
    unit: float
    num_examples: int

    def nearest(self, ours: float) -> float:
        """The number nearest to `ours` that is printed as this figure."""
        return min(max(ours, self.value - self.unit / 2), self.value + self.unit / 2)

    def distance(self, ours: float) -> float:
        """How far `ours` lies from the nearest number that is printed as this figure; 0 if it is such a number."""
        return abs(ours - self.nearest(ours))


LARGE = 100_000  # the full run
SMALL = 20_000  # the run behind the root's arities and the predictors


def _percent(value: float, unit: float, num_examples: int) -> Printed:
    return Printed(value=value / 100, unit=unit / 100, num_examples=num_examples)


# The full run kept 100,000 trees of these.
NUM_PROPOSALS = 1_210_319
BARE_DIGIT = _percent(75.0, 0.1, NUM_PROPOSALS)
TOO_SHORT = _percent(90.6, 0.1, NUM_PROPOSALS)
TOO_LONG = _percent(1.13, 0.01, NUM_PROPOSALS)

# Labels 0 to 9. They add up to 99.99 %: ten of the 100,000 are lost to rounding.
LABELS = [_percent(share, 0.01, LARGE) for share in (16.82, 9.16, 7.63, 8.36, 8.88, 8.61, 7.70, 7.21, 8.71, 16.91)]

# "25.1/25.1/24.9/24.9": the text names neither the order of the operators nor the run.
ROOT_OPERATORS = [_percent(share, 0.1, SMALL) for share in (25.1, 25.1, 24.9, 24.9)]

# P(label | root operator). A quarter of the run has the operator. The text says of SM only that it is uniform.
LABEL_GIVEN_ROOT = {
    ("MAX", 9): _percent(56.9, 0.1, SMALL // 4),
    ("MAX", 8): _percent(20.7, 0.1, SMALL // 4),
    ("MIN", 0): _percent(56.4, 0.1, SMALL // 4),
    ("MIN", 1): _percent(20.9, 0.1, SMALL // 4),
    ("MED", 4): _percent(21, 1, SMALL // 4),
    ("MED", 5): _percent(21, 1, SMALL // 4),
}

ROOT_OPERATOR_ACCURACY = _percent(36.4, 0.1, SMALL)  # of the best label for each root operator
MAJORITY_ACCURACY = _percent(17, 1, SMALL)

NESTING = 9  # of all 100,000

SHORTEST, LONGEST = 501, 1999
MEAN_LENGTH = Printed(value=1035.9, unit=0.1, num_examples=LARGE)
DEVIATION_OF_LENGTH = Printed(value=394, unit=1, num_examples=LARGE)
PERCENTILES_OF_LENGTH = {1: 508, 5: 538, 10: 577, 25: 703, 50: 952, 75: 1310, 90: 1645, 95: 1801, 99: 1955}
AT_MOST_1024 = _percent(55.9, 0.1, LARGE)
# Examples with 500 to 599 tokens, 600 to 699, ..., 1900 to 1999.
LENGTH_BINS = range(500, 2001, 100)
LENGTH_HISTOGRAM = [
    12724, 11873, 10781, 9818, 8704, 7650, 6822, 5979, 5174, 4739, 4037, 3554, 3115, 2653, 2377,
]  # fmt: skip

# Examples whose root has 2, 3, ..., 10 arguments.
ROOT_ARITIES = range(2, 11)
ROOT_ARITY_HISTOGRAM = [857, 1252, 1685, 1979, 2312, 2650, 2919, 3035, 3311]

# Shares of all tokens of the run. The text prints 3.55 % for each operator and 7.16 % for each digit: that is 14.2 / 4
# and (100 - 2 x 14.2) / 10, so they carry the rounding of 14.2 and not that of their own last place. (The exact law
# gives 14.227 %, 3.557 % and 7.155 %, and a run of this size meets 3.557 % to within 0.001 %: 3.56 would be printed.)
TOKEN_SHARES = {
    **dict.fromkeys(("[MIN", "[MAX", "[MED", "[SM"), _percent(3.55, 0.1 / 4, LARGE)),
    "]": _percent(14.2, 0.1, LARGE),
    **dict.fromkeys("0123456789", _percent(7.16, 2 * 0.1 / 10, LARGE)),
}
