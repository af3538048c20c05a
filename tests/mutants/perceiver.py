"""Faults in the Perceiver, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, Mutant

MUTANTS = [
    Mutant(
        "pads unmasked", "attend(q, k, v, self._mask(keep), dropout=dropout)", "attend(q, k, v, None, dropout=dropout)"
    ),
    Mutant(
        "mask of another example",
        "key_mask(keep[:, self.num_prefix :] if self.reads",
        "key_mask(keep.flip(0)[:, self.num_prefix :] if self.reads",
    ),
    Mutant(
        "masked latents are seen in the tower",
        "else keep[:, : self.num_prefix])",
        "else keep[:, : self.num_prefix] | True)",
    ),
    Mutant(
        "pads unmasked in the read-out's read",
        "k, v, key_mask(keep), dropout=dropout))",
        "k, v, None, dropout=dropout))",
    ),
    Mutant("a read in every layer", "% (tower_layers + 1) == 0", "% 1 == 0"),
    Mutant(
        "the tower begins a layer too early",
        "shape.layer % (tower_layers + 1) == 0",
        "shape.layer % (tower_layers + 1) == 1",
    ),
    Mutant("a tower too short by one", "% (tower_layers + 1)", "% max(1, tower_layers)"),
    Mutant(
        "latents read themselves too",
        "context = tokens if self.reads else latents",
        "context = tokens + latents.mean(1, True) if self.reads else latents",
    ),
    Mutant("tokens change", "_Zeros(shape.dim))", "projection(shape.heads * shape.head_dim, shape.dim))"),
    Mutant(
        "latents after the tokens",
        "functional.pad(mixed, (0, 0, 0, x.shape[1] - mixed.shape[2]))",
        "functional.pad(mixed, (0, 0, x.shape[1] - mixed.shape[2], 0))",
    ),
    Mutant(
        "a residual in the read-out's read",
        "summary = self.latent_output(joined(heads))",
        "summary = self.latents + self.latent_output(joined(heads))",
    ),
    Mutant("no output projection between", "summary = self.latent_output(joined(heads))", "summary = joined(heads)"),
    Mutant(
        "the tower is not used",
        "summary = layer(summary, self.attention_dropout)",
        "layer(summary, self.attention_dropout)",
    ),
    Mutant("one layer in all towers", "for _ in range(tower_layers))", "for _ in range(min(1, tower_layers)))"),
    Mutant("no residual in the tower", "latents = latents + self.output(", "latents = self.output("),
    Mutant(
        "one norm in the tower", "self.widen(self.norm_output(latents))", "self.widen(self.norm_attention(latents))"
    ),
    Mutant(
        "keys of the read-out are its values",
        "self.split(self.read_out_key(summary))",
        "self.split(self.read_out_value(summary))",
    ),
    Mutant(
        "latents are not projected",
        "self.split(self.latent_query(self.latents[None]))",
        "self.split(self.latents[None])",
    ),
    Mutant(
        "latents not trained", "self.latent_query(self.latents[None])", "self.latent_query(self.latents[None].detach())"
    ),
    Mutant("latents from the global generator", ", generator=self.generator()))", "))"),
    Mutant("no dropout of latents' rows", "self._mask(keep), dropout=dropout)", "self._mask(keep))"),
    Mutant("no dropout in the read-out's read", "key_mask(keep), dropout=dropout))", "key_mask(keep)))"),
    Mutant("no dropout in the read-out", "keys, values, None, dropout=dropout)", "keys, values, None)"),
    Mutant("no dropout in the tower", "attend(q, k, v, None, dropout=dropout)", "attend(q, k, v, None)"),
    Mutant(
        "the tower drops in evaluation", "layer(summary, self.attention_dropout)", "layer(summary, self.shape.dropout)"
    ),
    Mutant("dropout in evaluation", "self.shape.dropout if self.training else 0.0", "self.shape.dropout", BASE),
    Mutant("dense weights in the wrong columns", "q.shape[2] if self.reads else 0", "0"),
    Mutant(
        "the read-out pools latents",
        'self.feed_forward, self.pooled = "all", "tokens"',
        'self.feed_forward, self.pooled = "all", "prefix"',
    ),
]
