"""Faults in the Image Transformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, Mutant

MUTANTS = [
    Mutant("pads unmasked", "key_mask(with_prefix(keep))", "key_mask(with_prefix(torch.ones_like(keep)))"),
    Mutant("what lies outside the picture counts", "key_mask(with_prefix(keep))", "None"),
    Mutant("pads unmasked for the prefix", "k, v, key_mask(keep)", "k, v, None"),
    Mutant("memory above and beside exchanged", "[beside, beside, above, above]", "[above, above, beside, beside]"),
    Mutant("columns are the grid's rows", "self.columns = grid[1]", "self.columns = grid[0]"),
    Mutant(
        "memory before the block alone, as in a decoder",
        "[beside, beside, above, above]",
        "[2 * beside, 0, 2 * above, 0]",
    ),
    Mutant("the memory shifted by one", "[beside, beside, above, above]", "[beside + 1, beside - 1, above, above]"),
    Mutant("a memory too small", "min(m, (many - 1) * b)", "min(m, b)"),
    Mutant("no prefix is seen", "torch.cat([before, memories], dim=1) if prefix else memories", "memories"),
    Mutant(
        "a prefix that looks at itself alone",
        "attend(q[:, :, :first], k, v, key_mask(keep),",
        "attend(q[:, :, :first], k[:, :, :first], v[:, :, :first], key_mask(keep[:, :first]),",
    ),
    Mutant(
        "the picture begins at the prefix",
        "_picture(x[:, prefix:], columns",
        "_picture(x[:, : x.shape[1] - prefix], columns",
    ),
    Mutant(
        "queries of a block in the wrong order",
        "self.block[0], size[0]), min(self.block[1], size[1]))",
        "self.block[1], size[0]), min(self.block[0], size[1]))",
    ),
    Mutant(
        "blocks put back in the wrong order",
        "mixed.transpose(1, 2).reshape(queries.shape).transpose(2, 3)",
        "mixed.transpose(1, 2).reshape(queries.transpose(2, 3).shape)",
    ),
    Mutant("no room for a prefix", "shape.max_length > num_prefix + grid[0]", "shape.max_length > grid[0]"),
    Mutant("wrong scale of the dense weights", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("dense weights of a memory one too short", "place >= start - memory", "place > start - memory"),
    Mutant("dropout in evaluation", "self.num_before, self.attention_dropout", "self.num_before, self.shape.dropout"),
]
