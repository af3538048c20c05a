"""Faults in axial attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, Mutant

MUTANTS = [
    Mutant("pads unmasked", "None if keep is None else key_mask(keys(keep))", "None"),
    Mutant("pads unmasked for the prefix", "k, v, key_mask(keep), dropout", "k, v, None, dropout"),
    Mutant("the padding of the last row counts", "% self.columns:", "% self.columns < 0:"),
    Mutant("layers do not alternate", "and shape.layer % 2 else", "and False else"),
    Mutant("columns first", "and shape.layer % 2 else", "and shape.layer % 2 == 0 else"),
    Mutant(
        "columns put back as rows",
        'by_line if axis == "row" else by_line.transpose(1, 2)',
        'by_line.flatten(1, 2).unflatten(1, by_line.transpose(1, 2).shape[1:3]) if axis == "column" else by_line',
    ),
    Mutant("lines of rows instead of columns", "self.columns = grid[1]", "self.columns = grid[0]"),
    Mutant(
        "columns follow the number of tokens", "columns = math.isqrt(on_grid - 1) + 1", "columns = math.isqrt(on_grid)"
    ),
    Mutant(
        "rows follow the length of the input",
        "rows = _rows(x, self.columns)",
        "rows = _rows(x, min(self.columns, math.isqrt(count - 1) + 1))",
    ),
    Mutant("the sum shares its projections", '*self._project_columns(x), keep, "column"', 'q, k, v, keep, "column"'),
    Mutant("the columns' values are the rows'", "self.split(self.value_column(x))", "self.split(self.value(x))"),
    Mutant("a token counts twice in its cross", "[:, None] & others", "[:, None] & (others | True)"),
    Mutant(
        "criss-cross without pads masked",
        "_rows(keep[:, prefix:], columns)  #",
        "_rows(keep[:, prefix:] | True, columns)  #",
    ),
    Mutant(
        "criss-cross scaled by the full width", "logits * self.shape.head_dim**-0.5", "logits * self.shape.dim**-0.5"
    ),
    Mutant(
        "no prefix in the cross", "        if prefix:\n            crossed", "        if False:\n            crossed"
    ),
    Mutant("no prefix is seen", "return torch.cat([before.flatten(0, 1), of_lines], dim=1)", "return of_lines"),
    Mutant("the prefix of another example", "before = x[:, None, :prefix]", "before = x.flip(0)[:, None, :prefix]"),
    Mutant(
        "the grid begins at the first token",
        "of_lines = lines(x[:, prefix:])",
        "of_lines = lines(x[:, : len(x[0]) - prefix])",
    ),
    Mutant("no room for a prefix", "shape.max_length > num_prefix + grid[0]", "shape.max_length > grid[0]"),
    Mutant("wrong scale of the dense weights", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("dense weights of one axis alone", "masks[self.axis] & kept", 'masks["row"] & kept'),
    Mutant("lines of one token said to learn", "or longest > 1:", "or longest > 0:"),
    Mutant(
        "dropout in evaluation",
        "            None if keep is None else key_mask(keys(keep)),\n            dropout=self.attention_dropout,",
        "            None if keep is None else key_mask(keys(keep)),\n            dropout=self.shape.dropout,",
    ),
    Mutant("no dropout of the cross", "self.drop(softmax_weights(logits", "(softmax_weights(logits"),
]
