"""Independent checks of a label: from a row's geometry, and from the picture alone."""
