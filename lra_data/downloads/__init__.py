"""Files from a server: resumable after a broken connection, checked, and given their name only when complete.

Reading order: `transfer_errors` (the meaning of an error), `patience` (when to try again), `resumable` (one file), then
`plain_http`, the source of official archives. Built sets are read with fsspec: `lra_data/store/location`.
"""
