"""How a model is trained: recipes, the trainer, its state on disk, and runs by name."""
