"""Faults in Funnel, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("padding is a key", "attend(q, k, v, key_mask(keep)", "attend(q, k, v, None"),
    Mutant("padding in the means", "x_rest.masked_fill(~kept, 0.0)", "x_rest"),
    Mutant("means divided by two", "kept.sum(dim=3).clamp(min=1)", "2"),
    Mutant("no clamp for two pads", "kept.sum(dim=3).clamp(min=1)", "kept.sum(dim=3)"),
    Mutant("a slot needs both tokens", "kept.any(dim=3)[:, 0, :, 0]", "kept.all(dim=3)[:, 0, :, 0]"),
    Mutant(
        "keys are pooled too",
        "q, _ = self._halved(q, all_kept(x, keep))\n",
        "q, _ = self._halved(q, all_kept(x, keep))\n"
        "            k = self._repeated(self._halved(k, all_kept(x, keep))[0], k.shape[2])\n",
    ),
    Mutant(
        "the residual is not pooled with the norm's input",
        "self._halved(x[:, None], all_kept(x, keep))",
        "self._halved(normed[:, None], all_kept(x, keep))",
    ),
    Mutant("the residual is a sum", "means = pairs.sum(dim=3) /", "means = 2 * pairs.sum(dim=3) /"),
    Mutant(
        "every second token", "means = pairs.sum(dim=3) / kept.sum(dim=3).clamp(min=1)", "means = pairs[:, :, :, 0]"
    ),
    Mutant("the first token is pooled", "int(separate_cls)", "0"),
    Mutant("the first token is always apart", "int(separate_cls)", "1"),
    Mutant("the first block is pooled", "in list(accumulate(blocks))[:-1]", "in [0, *accumulate(blocks)][:-1]"),
    Mutant("the last layer of a block pools", "shape.layer in list", "shape.layer + 1 in list"),
    Mutant(
        "each layer of later blocks pools",
        "shape.layer in list(accumulate(blocks))[:-1]",
        "shape.layer >= min(list(accumulate(blocks))[:-1], default=99)",
    ),
    Mutant("the smaller half first", "(shape.num_layers - half, half)", "(half, shape.num_layers - half)"),
    Mutant("slots repeated as a whole", "rest.repeat_interleave(2, dim=2)", "rest.repeat(1, 1, 2, 1)"),
    Mutant("blocks of another sum", " or sum(blocks) != shape.num_layers", ""),
    Mutant("no dropout", "dropout=self.attention_dropout", "dropout=0.0"),
    Mutant("dropout in evaluation", "dropout=self.attention_dropout", "dropout=self.shape.dropout"),
    Mutant("a mask where there was none", "None if keep is None else kept", "kept"),
]
