"""Faults in the Long-Short Transformer, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, Mutant

MUTANTS = [
    Mutant(
        "pads in P",
        "softmax_weights(logits.transpose(-1, -2), key_mask(keep))",
        "softmax_weights(logits.transpose(-1, -2), None)",
    ),
    Mutant(
        "P over slots, not over the sequence",
        "softmax_weights(logits.transpose(-1, -2), key_mask(keep))",
        "softmax_weights(logits, None).transpose(-1, -2)",
    ),
    Mutant("pads in the window", "mask = kept[:, None, None] & near", "mask = near[None, None]"),
    Mutant("no window mask", "mask = kept[:, None, None] & near", "mask = kept[:, None, None]"),
    Mutant(
        "slots of an empty sequence are seen",
        "keep.any(dim=1, keepdim=True).expand(-1, count)",
        "keep.any().expand(len(keep), count)",
    ),
    Mutant("slots alone without a mask", "seen = None if keep is None else", "seen = None if True else"),
    Mutant("windows without their sides", "(key >= start - window // 2) &", "(key >= start) &"),
    Mutant("a side too long", "key < start + window + window // 2", "key <= start + window + window // 2"),
    Mutant(
        "at least one token on each side",
        "    return (key >= start - window // 2) & (key < start + window + window // 2)",
        "    half = max(1, window // 2)\n    return (key >= start - half) & (key < start + window + half)",
    ),
    Mutant("a window that slides with the token", "[:, None] // window * window", "[:, None] - window // 2"),
    Mutant("no margin", "margin = window // 2\n", "margin = 0\n"),
    Mutant(
        "slots are not normalised",
        "normed: Tensor = self.norm_global(slots.to(self.norm_global.weight.dtype))",
        "normed = slots + 0 * self.norm_global(slots)",
    ),
    Mutant(
        "one norm for both",
        "self.norm_local(tokens).to(v.dtype)",
        "getattr(self, 'norm_global', self.norm_local)(tokens).to(v.dtype)",
    ),
    Mutant(
        "slots of normalised tokens",
        "slots = shares @ tokens.to(wide_dtype(tokens))",
        "slots = shares @ self.norm_local(tokens).to(wide_dtype(tokens)) if self.window else shares @ tokens",
    ),
    Mutant(
        "values are not normalised",
        "stretches(self.norm_local(tokens)",
        "stretches((tokens if tokens is v else self.norm_local(tokens))",
    ),
    Mutant(
        "slots of keys as values",
        "self._slots(shares, k), self._slots(shares, v)",
        "self._slots(shares, k), self._slots(shares, k)",
    ),
    Mutant("P does not learn", "slots = shares @ tokens", "slots = shares.detach() @ tokens"),
    Mutant("P from inputs in every case", 'if source == "inputs":', "if True:"),
    Mutant(
        "each layer begins alike",
        "shape.head_dim, rank, self.generator()",
        "shape.head_dim, rank, torch.Generator().manual_seed(0)",
    ),
    Mutant("heads' queries of P exchanged", "self.split(self.dynamic(x))", "self.split(self.dynamic(x)).flip(1)"),
    Mutant(
        "blocks put back in the wrong order",
        "mixed.transpose(1, 2).reshape(batch, -1, heads, width)",
        "mixed.reshape(batch, -1, heads, width)",
    ),
    Mutant(
        "wrong scale",
        "attend(queries, keys, values, mask, dropout",
        "attend(queries, keys, values, mask, scale=1.0, dropout",
    ),
    Mutant("wrong scale in the dense form", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("no dropout", "values, mask, dropout=self.attention_dropout)", "values, mask)"),
    Mutant("no dropout of slots alone", "seen, dropout=self.attention_dropout)", "seen)"),
    Mutant(
        "dropout in evaluation",
        "values, mask, dropout=self.attention_dropout)",
        "values, mask, dropout=self.shape.dropout)",
    ),
]
