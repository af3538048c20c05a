"""Other code bases: how each reads the benchmark, and exports that each of them reads."""
