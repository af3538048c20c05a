"""Reads sets. So far `dataset`: rows by number, slice and iteration, on disk or virtual."""
