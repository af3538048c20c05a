"""Faults in Luna, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, OPERATIONS, Mutant

MUTANTS = [
    Mutant("pads unmasked", "attend(packing, k, v, of_tokens,", "attend(packing, k, v, None,"),
    Mutant("masked vectors of P are read", "self._packed(packed), of_packed,", "self._packed(packed), None,"),
    Mutant(
        "mask of another example",
        "key_mask(keep[:, : self.num_prefix]), key_mask(keep[:, self.num_prefix :])",
        "key_mask(keep[:, : self.num_prefix]), key_mask(keep.flip(0)[:, self.num_prefix :])",
    ),
    Mutant(
        "P reads P too",
        "packing, tokens = x[:, : self.num_prefix], x[:, self.num_prefix :]\n        q = torch.cat([self.pack_query("
        "packing), self.query(tokens)], dim=1)\n        v = self.split(self.value(tokens))",
        "packing, tokens = x[:, : self.num_prefix], x[:, self.num_prefix :]\n        q = torch.cat([self.pack_query("
        "packing), self.query(tokens)], dim=1)\n        v = self.split(self.value(tokens + packing.mean(1, True)))",
    ),
    Mutant(
        "tokens read P before it is packed",
        "packed = self.output(joined(heads))",
        "packed = heads.mean(1).repeat(1, 1, self.shape.heads) + self.output(joined(heads)) * 0",
    ),
    Mutant(
        "P is cut to the longest sequence, as in the released code",
        "packing, tokens = q[:, :, : self.num_prefix], q[:, :, self.num_prefix :]\n        of_packed, of_tokens = "
        "self._masks(keep)\n        packed",
        "packing, tokens = q[:, :, : self.num_prefix], q[:, :, self.num_prefix :]\n        of_packed, of_tokens = "
        "self._masks(keep)\n        of_packed = (torch.arange(packing.shape[2]) < tokens.shape[2])[None, None, None]\n"
        "        packed",
    ),
    Mutant("one query projection for both", "self.pack_query(packing)", "self.query(packing)"),
    Mutant("queries of the tokens by the first", "self.query(tokens)", "self.pack_query(tokens)"),
    Mutant(
        "keys of the second attention are its values",
        "return values if self.tie_kv else self.split(self.unpack_key(packed)), values",
        "return values, values",
    ),
    Mutant(
        "packed vectors detached",
        "self.split(self.unpack_value(packed))",
        "self.split(self.unpack_value(packed.detach()))",
    ),
    Mutant("never tied in the pack", "v if self.tie_kv else self.split(self.key(tokens)), v", "v, v"),
    Mutant("tied form with an output projection", "nn.Identity() if tie_kv else projection(", "projection("),
    Mutant(
        "untied form without an output projection",
        "nn.Identity() if tie_kv else projection(width, shape.dim)",
        "nn.Identity()",
    ),
    Mutant(
        "one output projection for both",
        "self.prefix(heads[:, : self.count])",
        "self.tokens(heads[:, : self.count])",
        OPERATIONS,
    ),
    Mutant("no dropout in the pack", "of_tokens, dropout=self.attention_dropout", "of_tokens"),
    Mutant("no dropout in the unpack", "of_packed, dropout=self.attention_dropout", "of_packed"),
    Mutant("dropout in evaluation", "self.shape.dropout if self.training else 0.0", "self.shape.dropout", BASE),
    Mutant("dense weights of one head of the pack", "onto_tokens.mean(dim=1, keepdim=True)", "onto_tokens"),
    Mutant(
        "a column too far in the dense weights",
        "return torch.cat([rows.new_zeros(*rows.shape[:3], packing.shape[2]), rows], dim=3)",
        "return torch.cat([rows, rows.new_zeros(*rows.shape[:3], packing.shape[2])], dim=3)",
    ),
    Mutant("wrong scale in the dense form", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("a feed-forward layer for P", 'feed_forward = "tokens"', 'feed_forward = "all"'),
]
