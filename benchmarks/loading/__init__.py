"""How fast batches are had, beside other loaders and a floor: `python -m benchmarks.loading`."""
