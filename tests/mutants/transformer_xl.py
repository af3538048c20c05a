"""Faults in Transformer-XL's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, OPERATIONS, Mutant

MUTANTS = [
    Mutant("wrong scale", "self.shape.head_dim**-0.5", "(self.shape.heads * self.shape.head_dim) ** -0.5"),
    Mutant("memory shifted by one", "(0, 0, memory, 0)", "(0, 0, memory + 1, 0)"),
    Mutant("memory learns", "self.keys_and_values(x.detach(), keep)", "self.keys_and_values(x, keep)"),
    Mutant(
        "projections do not learn from memory",
        "spread(self.value(rows), real, x))",
        "spread(self.value(rows), real, x).detach())",
        BASE,
    ),
    Mutant("pads unmasked", "mask = parts.transpose(-1, -2)", "mask = torch.ones_like(parts.transpose(-1, -2))"),
    Mutant(
        "mask of another example",
        "as_head = all_kept(x, keep)[:, None, :, None]",
        "as_head = all_kept(x, keep).flip(0)[:, None, :, None]",
    ),
    Mutant("causal ignores the memory's width", ".tril(memory)", ".tril()"),
    Mutant("never causal", "if self.causal else mask", "if False else mask"),
    Mutant("distances reversed", "torch.arange(keys - 1, -segment - 1, -1,", "torch.arange(1 - keys, segment + 1, 1,"),
    Mutant("distances off by one", "torch.arange(keys - 1, -segment - 1, -1,", "torch.arange(keys, -segment, -1,"),
    Mutant(
        "absolute distances",
        "self._positions(torch.arange(keys - 1, -segment - 1, -1, device=q.device))",
        "self._positions(torch.arange(keys - 1, -segment - 1, -1, device=q.device).abs())",
    ),
    Mutant("no shift", "content + shifted(by_distance, keys)", "content + by_distance[..., :keys]"),
    Mutant(
        "the authors' shift, for causal rows alone",
        "positions = self._positions(torch.arange(keys - 1, -segment - 1, -1, device=q.device))",
        "falling = torch.arange(keys - 1, -1, -1)\n"
        "        positions = self._positions(torch.cat([falling, falling])[: keys + segment])",
    ),
    Mutant(
        "sines and cosines in turn",
        "torch.cat([angles.sin(), angles.cos()], dim=-1)",
        "torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)",
        OPERATIONS,
    ),
    Mutant("u for v", "q + self.position_bias[:, None, None]", "q + self.content_bias[:, None, None]"),
    Mutant("no u", "(q + self.content_bias[:, None, None])", "q"),
    Mutant("biases from the global generator", ".normal_(0, 0.02, generator=self.generator())", ".normal_(0, 0.02)"),
    Mutant(
        "positions not trained",
        "return self.split(self.position(rows",
        "return self.split(self.position.requires_grad_(False)(rows",
    ),
    Mutant(
        "dropout in evaluation",
        "            self.drop,\n",
        "            lambda weights: functional.dropout(weights, self.shape.dropout, True),\n",
    ),
]
