"""Makes sets: plan, engine, shards, resume, repair, dataset card, Croissant.

Reading order: `plan`, `shards` (one job, a pure function), `engines`, `run_build` (the order of events), `duplicates`,
`card`, `croissant`, `repair`. The folder is not called `build`, since `lra_data.build` is the public function.
"""
