"""How rows are stored: the shard formats, their digests, and the manifest that makes a folder a finished set.

Reading order: `atomic_files` (publishing), `digests`, `formats/shard_format` (the contract) and one module per format,
`strict_json` and `manifest`, `shard_reading` (one shard), `record_batches` (one split), `row_access` (a whole set),
`location` (a local folder, or an address). No module here knows a task by name or decides what a shard holds.
"""
