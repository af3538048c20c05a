"""From rows to the arrays of a batch: where rows come from, finding them, padding."""
