"""How rows lie on disk: the shard formats, their digests, and the manifest that makes a folder a finished set.

Reading order: `files` (atomic publishing), `digests`, one module a format, `formats` (their contract), `manifest`,
`tally` (one shard), `rows` (a whole set). Nothing here knows a task by name or decides what a shard holds.
"""
