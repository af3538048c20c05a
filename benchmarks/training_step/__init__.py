"""Where the time of a training step goes, and how it compares with another version."""
