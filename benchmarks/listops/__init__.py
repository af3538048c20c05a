"""How fast ListOps is made: `python -m benchmarks.listops`."""
