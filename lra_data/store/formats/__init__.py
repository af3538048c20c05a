"""Shard formats, one module each; `shard_format.py` defines the contract and finds the modules."""
