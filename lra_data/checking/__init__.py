"""Looks at sets: `verify` (digests, every label solved anew), `statistics` (distributions, trivial predictors)."""
