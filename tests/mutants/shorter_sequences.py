"""Faults in what an encoder does with layers that shorten the sequence (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, Mutant

ENCODER = "reference_models/model/encoder.py"
FUNNEL = "reference_models/attention/funnel.py"
LEARNER = "reference_models/attention/token_learner.py"

MUTANTS = [
    Mutant(
        "the mask of before",
        "x, keep = residual + attention(x, keep), shorter",
        "x, keep = residual + attention(x, keep), keep",
        ENCODER,
    ),
    Mutant(
        "the short mask too early",
        "residual, shorter = cast(AttentionLayer, attention).shortened(x, keep)\n"
        "                x, keep = residual + attention(x, keep), shorter",
        "residual, keep = cast(AttentionLayer, attention).shortened(x, keep)\n"
        "                x = residual + attention(x, keep)",
        ENCODER,
    ),
    Mutant(
        "maps without the norm",
        "self.attention.shortened(x, self.norm(x), keep)",
        "self.attention.shortened(x, x, keep)",
        ENCODER,
    ),
    Mutant(
        "the residual has the norm",
        "self.attention.shortened(x, self.norm(x), keep)",
        "self.attention.shortened(self.norm(x), self.norm(x), keep)",
        ENCODER,
    ),
    Mutant(
        "never shortened",
        " if self.attention.changes_length else (x, keep)",
        " if False else (x[:, : self.attention(self.norm(x), keep).shape[1]], None)",
        ENCODER,
    ),
    Mutant("reversible all the same", "(first.changes_length or first.feed_forward", "(first.feed_forward", ENCODER),
    Mutant("a batch of nothing cut at its length", "[:batch, : None if length else 0]", "[:batch, :length]", BASE),
    Mutant(
        "a sequence of nothing with learned tokens",
        "        if x.shape[1] == 0:\n            return x, keep\n",
        "",
        LEARNER,
    ),
    Mutant(
        "another mask than the residual's",
        "None if keep is None else kept",
        "None if keep is None else torch.ones_like(kept)",
        FUNNEL,
    ),
    Mutant("more tokens than positions", "min(num_tokens, shape.max_length - self.front)", "num_tokens", LEARNER),
    Mutant("the first token is pooled", "int(separate_cls)", "0", FUNNEL),
]
