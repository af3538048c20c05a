"""Shard formats, one module each; `shard_format.py` says what a format is and finds them."""
