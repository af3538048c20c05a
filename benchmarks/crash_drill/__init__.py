"""Kills builds at random moments: `python -m benchmarks.crash_drill`."""
