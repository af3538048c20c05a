"""Measures the package against a floor or a peer in the same run: `python -m benchmarks.NAME` in the repository."""
