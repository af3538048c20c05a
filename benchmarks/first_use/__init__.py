"""What the first use costs, when no kernel is compiled yet: `python -m benchmarks.first_use`."""
