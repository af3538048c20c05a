"""Scripts that measure the package against a floor or a peer in the same run. Run as `python benchmarks/NAME.py`."""
