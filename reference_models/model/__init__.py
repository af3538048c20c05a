"""What a model is: configuration, presets, encoder, heads, and its files."""
