"""The tracer's measured agreement with the labels of pictures drawn here.

Source: `python -m benchmarks.pathfinder.tracer` (test split of seed 0, which was not used to tune it; 2026-11-24, the
mini presets 2026-11-29); docs/pathfinder.md has the intervals. `audit` compares foreign pictures with these figures,
and the dataset card states them.
"""

AGREEMENT = {
    "32-easy": 0.741,
    "32-intermediate": 0.711,
    "32-hard": 0.602,
    "64-easy": 0.871,
    "64-intermediate": 0.850,
    "64-hard": 0.788,
    "128-easy": 0.938,
    "128-intermediate": 0.918,
    "128-hard": 0.875,
    "256-easy": 0.991,
    "256-intermediate": 0.989,
    "256-hard": 0.989,
    "32-easy-clean": 0.549,
    "32-intermediate-clean": 0.606,
    "32-hard-clean": 0.534,
    "64-easy-clean": 0.857,
    "64-intermediate-clean": 0.843,
    "64-hard-clean": 0.758,
    "128-easy-clean": 0.959,
    "128-intermediate-clean": 0.930,
    "128-hard-clean": 0.887,
    "256-easy-clean": 1.000,
    "256-intermediate-clean": 1.000,
    "256-hard-clean": 0.994,
    "24-mini": 0.508,
    "32-mini": 0.499,
}
