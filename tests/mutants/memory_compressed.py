"""Faults in memory-compressed attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, Mutant

MUTANTS = [
    Mutant("pads in the convolution", "tokens = tokens.masked_fill(~keep[:, None, :, None], 0.0)", "pass"),
    Mutant("mask of another example", "~keep[:, None, :, None], 0.0", "~keep.flip(0)[:, None, :, None], 0.0"),
    Mutant("empty slots are keys", "key_mask(self._slots(keep)), dropout", "None, dropout"),
    Mutant("a slot needs all its tokens", "-1, self.kernel).any(dim=2)", "-1, self.kernel).all(dim=2)"),
    Mutant(
        "the rest counts as kept",
        "padded_to(keep, self.kernel, 1, value=False)",
        "padded_to(keep, self.kernel, 1, value=True)",
    ),
    Mutant(
        "mask the wrong way round",
        "        return padded_to(keep, self.kernel",
        "        return ~padded_to(keep, self.kernel",
    ),
    Mutant("one convolution for both", "(self.compress_value, v))", "(self.compress_key, v))"),
    Mutant(
        "a convolution for each head",
        "        return self.split(slots)",
        "        return tokens[:, :, :: self.kernel] + 0 * self.split(slots)",
    ),
    Mutant(
        "heads and positions mixed",
        "tokens.transpose(1, 2).flatten(2), self.kernel",
        "tokens.reshape(len(tokens), -1, self.query.out_features), self.kernel",
    ),
    Mutant(
        "a bias in the convolution",
        "convolution(rows.reshape(len(rows), -1, self.kernel * rows.shape[2]))",
        "convolution(rows.reshape(len(rows), -1, self.kernel * rows.shape[2])) + 0.1",
    ),
    Mutant(
        "the convolution does not learn",
        "        return self.split(slots)",
        "        return self.split(slots.detach())",
    ),
    Mutant(
        "scale of the whole width",
        "return attend(q, k, v, key_mask(self._slots",
        "return attend(q / self.shape.heads**0.5, k, v, key_mask(self._slots",
    ),
    Mutant("scale in the dense form", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("every layer local", "if shape.layer % 2 == 0 else 0", "if shape.layer % 2 == 0 else local_block"),
    Mutant("odd layers local", "shape.layer % 2 == 0", "shape.layer % 2 == 1"),
    Mutant(
        "blocks of the wrong example",
        "mixed.view(len(keep), -1, *mixed.shape[1:]).transpose(1, 2)",
        "mixed.view(-1, len(keep), *mixed.shape[1:]).permute(1, 2, 0, 3, 4)",
    ),
    Mutant(
        "the last block's rest is seen",
        "mask = padded_to(keep, block, 1, value=False)",
        "mask = padded_to(keep, block, 1, value=True)",
    ),
    Mutant(
        "shares over padding",
        "shares = ((place // self.kernel == slot[:, None]) & all_kept(x, keep)[:, None])",
        "shares = (place // self.kernel == slot[:, None])[None]",
    ),
    Mutant(
        "no dropout", "key_mask(self._slots(keep)), dropout=self.attention_dropout)", "key_mask(self._slots(keep)))"
    ),
    Mutant("no dropout in blocks", "key_mask(mask), dropout=self.attention_dropout)", "key_mask(mask))"),
    Mutant(
        "dropout in evaluation",
        "key_mask(self._slots(keep)), dropout=self.attention_dropout)",
        "key_mask(self._slots(keep)), dropout=self.shape.dropout)",
    ),
]
