"""Faults in ETC, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, OPERATIONS, WINDOWS, Mutant

MUTANTS = [
    Mutant("pads unmasked for global tokens", "far_k, far_v, key_mask(keep), d", "far_k, far_v, None, d"),
    Mutant(
        "pads unmasked in the windows",
        "                keep[:, count:],\n",
        "                keep[:, count:] | True,\n",
    ),
    Mutant("masked global tokens are seen", "keep[:, :count])", "keep[:, :count] | True)"),
    Mutant(
        "mask of another example",
        "                keep[:, count:],\n",
        "                keep[:, count:].flip(0),\n",
    ),
    Mutant("no token sees a global one", "band.shape[1], 0], value=True)", "band.shape[1], 0])", WINDOWS),
    Mutant(
        "the window is lopsided by one",
        "(key - query[:, None]).abs() <= radius",
        "((key - query[:, None]).abs() <= radius) & (key - query[:, None] < radius)",
        WINDOWS,
    ),
    Mutant("half the radius", "                radius=self.radius,", "                radius=self.radius // 2,"),
    Mutant(
        "the first tokens' windows reach global tokens, which count twice",
        "            near = windows(\n                q[:, :, count:],\n                near_k[:, :, count:],\n"
        "                near_v[:, :, count:],\n                keep[:, count:],",
        "            near = windows(\n                q,\n                near_k,\n"
        "                near_v,\n                keep,",
    ),
    Mutant(
        "global tokens do not see each other",
        "far = attend(far_q, far_k, far_v, key_mask(keep), dropout=dropout)",
        "far = attend(far_q, far_k[:, :, count:], far_v[:, :, count:], key_mask(keep[:, count:]), dropout=dropout)",
    ),
    Mutant(
        "global queries by the sequence's projection",
        "self.split(self.query_global(first))",
        "q[:, :, : len(first[0])]",
    ),
    Mutant("l2g keys are l2l keys", "self.split(self.key_l2g(first))", "projected.k[:, :, :count]"),
    Mutant("l2g values are l2l values", "self.split(self.value_l2g(first))", "projected.v[:, :, :count]"),
    Mutant(
        "g2g and g2l exchanged",
        "[self.key_g2g(first), self.key_global(tokens)]",
        "[self.key_global(first), self.key_g2g(tokens)]",
    ),
    Mutant(
        "g2l values shared with g2g",
        "[self.value_g2g(first), self.value_global(tokens)]",
        "[self.value_global(first), self.value_global(tokens)]",
    ),
    Mutant(
        "one output projection",
        "self.prefix(heads[:, : self.count])",
        "self.tokens(heads[:, : self.count])",
        OPERATIONS,
    ),
    Mutant(
        "none is shared where the paper shares keys",
        'if self.sharing == "none":\n            self.key_l2g',
        'if self.sharing != "all":\n            self.key_l2g',
    ),
    Mutant("a projection is not named as unread", '"output.prefix", "query_global"', '"query_global"'),
    Mutant(
        "the dense window over global tokens and sequence shifted",
        "near = (place[:, None] - place)",
        "near = (place[:, None] - place + 1)",
    ),
    Mutant(
        "dense rows of global tokens see a window",
        "near | (place < self.num_prefix) | (place < self.num_prefix)[:, None]",
        "near | (place < self.num_prefix)",
    ),
    Mutant("no dropout of global rows", "far_v, key_mask(keep), dropout=dropout)", "far_v, key_mask(keep))"),
    Mutant("no dropout in the windows", "                dropout=dropout,\n", ""),
    Mutant("dropout in evaluation", "self.shape.dropout if self.training else 0.0", "self.shape.dropout", BASE),
]
