"""Rows of a set as examples and batches, for every framework."""
