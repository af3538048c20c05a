"""Where the files of a built set are: a folder on this machine, or an address that fsspec reads."""
