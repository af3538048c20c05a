"""Loading speed compared with other loaders and a floor: `python -m benchmarks.loading`."""
