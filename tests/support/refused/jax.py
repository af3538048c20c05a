"""In the place of the library while `scripts/test --fast` runs (tests/support/fast.py): as if it were not installed."""

raise ModuleNotFoundError("left out by scripts/test --fast: mark the test that needs it `framework`", name="jax")
