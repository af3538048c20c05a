"""Second opinions on a label: from a row's geometry, and from the picture alone."""
