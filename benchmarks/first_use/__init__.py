"""Cost of the first use, before any kernel is compiled: `python -m benchmarks.first_use`."""
