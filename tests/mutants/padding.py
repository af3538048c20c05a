"""Faults in leaving out padding, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, OPERATIONS, Mutant

ENCODER = "reference_models/model/encoder.py"

MUTANTS = [
    Mutant(
        "padding instead of tokens", "real = keep.flatten().nonzero()", "real = (~keep).flatten().nonzero()", OPERATIONS
    ),
    Mutant("computed with padding", "return real if 0 < len(real) < keep.numel() else None", "return None", OPERATIONS),
    Mutant(
        "the gradient of other tokens",
        "_at(gradient, ctx.saved_tensors[0], ctx.positions)",
        "_at(gradient, ctx.saved_tensors[0].flip(0), ctx.positions)",
        OPERATIONS,
    ),
    Mutant(
        "the gradient of neighbours",
        "gradient.index_select(0, ctx.saved_tensors[0])",
        "gradient.roll(1, 0).index_select(0, ctx.saved_tensors[0])",
        OPERATIONS,
    ),
    Mutant("ones under padding", "return rows.new_zeros(", "return rows.new_ones(", OPERATIONS),
    Mutant(
        "the output of padding too", "spread(self.output(picked(heads, real)), real, heads)", "self.output(heads)", BASE
    ),
    Mutant(
        "the feed-forward layers of padding too",
        "real = real_tokens(keep)\n        hidden",
        "real = None\n        hidden",
        ENCODER,
    ),
]
