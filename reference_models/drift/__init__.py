"""Checks whether a dataset is still the one that the bundled models learned."""
