"""Models: configuration, presets, encoder, heads, and files."""
