"""Which example comes when: orders of an epoch, and the share of each rank. Pure arithmetic, no rows."""
