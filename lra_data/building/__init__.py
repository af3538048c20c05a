"""Makes sets: plan, engine, shards, resume, parts, repair, dataset card, Croissant.

Reading order: `plan`, `shard_job` (one job, a pure function), `engines`, `begin`, `build_set` (the order of events),
`finish`, `duplicates`, `card`, `croissant`; then `parts` and `part_builds`, `repair`. Where files go is in
`lra_data/store/outputs`. The folder is not called `build` because that is the public function.
"""
