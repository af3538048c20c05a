"""Checks sets: `verify` (digests, every label solved again), `set_statistics` (distributions, trivial predictors)."""
