"""The location of a built set's files: a local folder, or an address that fsspec reads."""
