"""Faults in MEGA, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import CONVOLUTIONS, Mutant

MUTANTS = [
    Mutant("padding enters the average", "x = projected.x.masked_fill(~keep[..., None], 0.0)\n", "x = projected.x\n"),
    Mutant("padding is a key of the softmax", "self.z_dim**0.5 + bias, mask)", "self.z_dim**0.5 + bias, None)"),
    Mutant("padding has Laplace weight", ".masked_fill(~mask, 0.0)\n\n    def _chunks", "\n\n    def _chunks"),
    Mutant(
        "Laplace divides by all keys",
        "scores / mask.sum(dim=-1, keepdim=True).clamp(min=1)",
        "scores / mask.shape[-1]",
    ),
    Mutant("no clamp for a chunk of padding", "keepdim=True).clamp(min=1)", "keepdim=True)"),
    Mutant("Laplace without the root of two", "(_LAPLACE_STD * 2**0.5)", "_LAPLACE_STD"),
    Mutant("no scale", "scores / self.z_dim**0.5", "scores"),
    Mutant("scale of the values' width", "scores / self.z_dim**0.5", "scores / self.values.out_features**0.5"),
    Mutant(
        "distances with the other sign",
        "place[:, None] - place + self.chunk - 1",
        "place - place[:, None] + self.chunk - 1",
    ),
    Mutant(
        "lag 0 in both directions",
        "forward, gap,",
        "forward + backward * (torch.arange(longest) == 0), gap,",
        CONVOLUTIONS,
    ),
    Mutant(
        "the kernel is cut off",
        "logarithms, self.max_length)",
        "logarithms, self.max_length).where(torch.arange(self.max_length) < 1024, 0)",
    ),
    Mutant(
        "the kernel is kept in evaluation",
        "return forward, backward\n",
        'return vars(self).setdefault("kept", (forward, backward)) if not self.training else (forward, backward)\n',
    ),
    Mutant("one direction", "self.max_length).chunk(2)", "self.max_length).chunk(2)\n        backward = forward"),
    Mutant("decay without its gate", "-(alpha * delta)", "-(alpha)"),
    Mutant("not divided by the root of n", " * self.alpha.shape[-1] ** -0.5", ""),
    Mutant("logarithm of 0", ".clamp(max=most)", ""),
    Mutant("no own weight", " + self.omega * x", ""),
    Mutant("values of averages", "functional.silu(self.values(x))", "functional.silu(self.values(averaged))"),
    Mutant("gate of tokens", "torch.sigmoid(self.update_gate(averaged))", "torch.sigmoid(self.update_gate(x))"),
    Mutant("residual twice", "(candidate - x))[:, None]", "candidate)[:, None]"),
    Mutant("reset gate unused", "self.looked_up(reset * looked)", "self.looked_up(0 * reset + looked)"),
    Mutant(
        "one scale for queries and keys", "zip(self.scale, self.shift", "zip(self.scale[:1].expand(2, -1), self.shift"
    ),
    Mutant(
        "averages end with the chunk",
        "self.average(x))  # X'",
        "self.average(self._chunks(x).flatten(0, 1)).reshape(len(x), -1, x.shape[2])[:, : x.shape[1]])",
    ),
    Mutant("no dropout", "self.drop(self._weights(averaged, keep))", "self._weights(averaged, keep)"),
    Mutant(
        "dropout in evaluation",
        "self.drop(self._weights(averaged, keep))",
        "functional.dropout(self._weights(averaged, keep), self.shape.dropout)",
    ),
    Mutant(
        "each layer begins alike",
        "shape.max_length, self.generator())",
        "shape.max_length, torch.Generator().manual_seed(0))",
    ),
    Mutant("large at first", "_INITIAL_STD = 0.02", "_INITIAL_STD = 0.2"),
]
