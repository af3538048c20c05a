"""Where a build writes: a folder, or an address of an object store. Both have the interface in `output.py`."""
