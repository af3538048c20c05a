"""From rows to the arrays of a batch: sources of rows, row addresses, padding."""
