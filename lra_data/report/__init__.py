"""The report: one HTML page of scores, tasks, models and digests that needs no network."""
