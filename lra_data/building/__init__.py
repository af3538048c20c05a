"""Makes sets: plan, engine, shards, resume, repair, dataset card, Croissant.

Reading order: `plan`, `shard_job` (one job, a pure function), `engines`, `build_set` (the order of events),
`duplicates`, `card`, `croissant`, `repair`. The folder is not called `build` because that is the public function.
"""
