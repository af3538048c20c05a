"""What a model reads of a dataset, and how well it answers."""
