"""One X-former a file: `base.py` defines what an attention is, `catalogue.py` finds the files."""
