"""The orders of an epoch, and the share of each rank. Pure arithmetic, without rows."""
