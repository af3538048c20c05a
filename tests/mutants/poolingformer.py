"""Faults in Poolingformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("no residual", "return y + z", "return z"),
    Mutant("the second level looks at the input", "z = self._windows(q,", "z = self._windows(projected.q,"),
    Mutant(
        "the second level shares the first's keys",
        "k, v = self.key_pooling(tokens), self",
        "k, v = self.key(tokens), self",
    ),
    Mutant(
        "values pooled with the keys' weights",
        "_pooled(self.split(v), keep, by_value)",
        "_pooled(self.split(v), keep, by_key)",
    ),
    Mutant(
        "first-level pads unmasked",
        "y = self._windows(q, k, v, keep, reach",
        "y = self._windows(q, k, v, keep | True, reach",
    ),
    Mutant(
        "slots of padding are keys",
        "z = self._windows(q, k, v, slots, reach",
        "z = self._windows(q, k, v, slots | True, reach",
    ),
    Mutant("weights of padding", "softmax_weights(logits, members))", "softmax_weights(logits, None))"),
    Mutant("means of whole slots", "ones.sum(dim=-1, keepdim=True).clamp(min=1)", "self.kernel"),
    Mutant(
        "the greatest of padding too", "members.masked_fill(~kept, -torch.inf).amax(dim=-1)", "members.amax(dim=-1)"
    ),
    Mutant(
        "a masked centre counts",
        "joined(y.masked_fill(~keep[:, None, :, None], 0.0))\n        k, v",
        "joined(y)\n        k, v",
    ),
    Mutant("a slot needs all its tokens", ".any(dim=-1)\n        return q", ".all(dim=-1)\n        return q"),
    Mutant("the last slot is cut off", "(0, 0, 0, self.kernel - self.stride)", "(0, 0, 0, 0)"),
    Mutant(
        "weights from the first token", "centre = (self.kernel - 1) // 2\n        found", "centre = 0\n        found"
    ),
    Mutant(
        "windows around a slot's first token",
        "centre=(self.kernel - 1) // 2)\n        return y",
        "centre=0)\n        return y",
    ),
    Mutant("w2 for both levels", "reach=self.window, stride=1", "reach=self.pooling_window, stride=1"),
    Mutant("the full width for half", ".abs() <= reach", ".abs() <= reach // 2"),
    Mutant(
        "one slot too few before",
        "before = min((reach + centre) // stride,",
        "before = min((reach + centre) // stride - 1,",
    ),
    Mutant(
        "one slot too few after", "(block - 1 + reach - centre) // stride)", "(block - 2 + reach - centre) // stride)"
    ),
    Mutant("a stride of slots, not of tokens", "* stride + centre\n", "+ centre\n"),
    Mutant(
        "kernels of heads exchanged",
        "unflatten(-1, (-1, self.kernel)).transpose(1, 2)",
        "unflatten(-1, (self.kernel, -1)).movedim(-1, 1)",
    ),
    Mutant(
        "a second level everywhere",
        "pooling_layers is None or pooling_layers[0] <= shape.layer",
        "True or pooling_layers[0] <= shape.layer",
    ),
    Mutant("no dropout", "dropout=self.attention_dropout", "dropout=0.0"),
    Mutant("dropout in evaluation", "dropout=self.attention_dropout", "dropout=self.shape.dropout"),
    Mutant(
        "the second level without dropout",
        "dropout=self.attention_dropout",
        "dropout=self.attention_dropout if stride == 1 else 0.0",
    ),
    Mutant("dense weights without the second level", "return first + second", "return 2 * first + 0 * second"),
    Mutant("dense weights with even shares", "index = member.clamp(0, self.kernel - 1)", "index = (0 * member)"),
]
