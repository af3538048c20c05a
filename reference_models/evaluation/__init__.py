"""How a model reads a dataset, and how well it answers."""
