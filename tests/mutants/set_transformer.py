"""Faults in the Set Transformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("pads unmasked", "attend(looking, k, v, key_mask(keep),", "attend(looking, k, v, None,"),
    Mutant(
        "mask of another example",
        "k, v, key_mask(keep), d",
        "k, v, key_mask(None if keep is None else keep.flip(0)), d",
    ),
    Mutant(
        "one projection for both values", "self.split(self.summary_value(summary))", "self.split(self.value(summary))"
    ),
    Mutant(
        "keys of the second attention are the values",
        "q, self.split(self.summary_key(",
        "q, self.split(self.summary_value(",
    ),
    Mutant("no output projection between", "self.inducing_output(joined(attend(", "(joined(attend("),
    Mutant(
        "points are not projected",
        "self.split(self.inducing_query(self.inducing[None]))",
        "self.split(self.inducing[None])",
    ),
    Mutant(
        "points not trained",
        "self.inducing_query(self.inducing[None])",
        "self.inducing_query(self.inducing[None].detach())",
    ),
    Mutant(
        "heads scrambled",
        "summary = self.inducing_output(joined(attend(looking, k, v, key_mask(keep), dropout=dropout)))",
        "summary = attend(looking, k, v, key_mask(keep), dropout=dropout)\n"
        "        summary = self.inducing_output(summary.reshape(len(v), -1, q.shape[1] * q.shape[3]))",
    ),
    Mutant("no dropout in the first attention", "key_mask(keep), dropout=dropout", "key_mask(keep)"),
    Mutant("no dropout in the second attention", "None, dropout=dropout", "None"),
    Mutant("points from the global generator", "self.inducing, generator=self.generator()", "self.inducing"),
    Mutant("weights of one head of the first attention", "onto_tokens.mean(dim=1, keepdim=True)", "onto_tokens"),
    Mutant("pooling sees padding", "attend(q, k, v, key_mask(keep))", "attend(q, k, v, None)"),
    Mutant("pooling with the projected seeds as residual", "seeds + self.output(", "self.query(seeds) + self.output("),
    Mutant("pooling without the layer before", "self.before(x).relu()", "x"),
    Mutant(
        "pooling scrambles heads",
        "split_heads(part, self.heads) for part",
        "part.view(*part.shape[:2], -1, self.heads).mT.transpose(1, 2) for part",
    ),
]
