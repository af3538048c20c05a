"""Looks at sets: `verify` (digests, every label solved anew), `set_statistics` (distributions, trivial predictors)."""
