"""Speed of the ListOps generator and build: `python -m benchmarks.listops`."""
