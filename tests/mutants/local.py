"""Faults in Local attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, Mutant

MUTANTS = [
    Mutant("pads unmasked", "key_mask(keep), dropout", "None, dropout"),
    Mutant(
        "what fills the last block counts, as in the benchmark's code", "block, 1, value=False", "block, 1, value=True"
    ),
    Mutant("the last block's filling counts without a mask", "if length % block:", "if keep is not None:"),
    Mutant(
        "blocks of every n-th token, as in the benchmark's code",
        "rows.reshape(-1, block, *rows.shape[2:]).transpose(1, 2)",
        "rows.reshape(rows.shape[0], block, -1, *rows.shape[2:]).transpose(1, 2).flatten(0, 1).transpose(1, 2)",
    ),
    Mutant(
        "blocks shifted by one token",
        "q, k, v = _blocks(q, block), _blocks(k, block), _blocks(v, block)",
        "q, k, v = _blocks(q, block), _blocks(k.roll(1, 2), block), _blocks(v.roll(1, 2), block)",
    ),
    Mutant(
        "heads scrambled",
        "batch, -1, *mixed.shape[1::2]).transpose(1, 2)",
        "batch, mixed.shape[1], -1, mixed.shape[3])",
    ),
    Mutant("mask of another example", ".reshape(-1, block)", ".flip(0).reshape(-1, block)"),
    Mutant("a mask that is a slice is refused", ".reshape(-1, block)", ".view(-1, block)"),
    Mutant("wrong scale of the dense weights", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("dense weights of blocks one too long", "// self.block", "// (self.block + 1)"),
    Mutant("another default", "block: int = 50", "block: int = 64"),
    Mutant("dropout in evaluation", "dropout=self.attention_dropout", "dropout=self.shape.dropout"),
]
