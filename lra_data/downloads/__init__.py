"""Files from a server: fetched so that a cut connection costs little, checked, and given their name only when whole.

Reading order: `transfer_errors` (what an error means), `patience` (when to try again), `resumable` (one file), then
`plain_http`, the source of official archives. Built sets come through fsspec: `lra_data/store/location`.
"""
