"""Faults in the Sinkhorn Transformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "the sum of all blocks, as in the release",
        "(order @ pairs.flatten(3)).view(pairs.shape)",
        "pairs.sum(dim=2, keepdim=True).expand(pairs.shape)",
    ),
    Mutant("sorted backwards", "(order @ pairs.flatten(3))", "(order.transpose(-1, -2) @ pairs.flatten(3))"),
    Mutant(
        "values are the keys, as in a port",
        "        k = torch.cat([k, weight], dim=-1)",
        "        v = functional.pad(k, (0, 1))\n        k = torch.cat([k, weight], dim=-1)",
    ),
    Mutant(
        "blocks of strided tokens, as in the release",
        "        pairs = segments(",
        "        segments = lambda x, b: padded_to(x, b, 2).unflatten(2, (b, -1)).transpose(2, 3).contiguous()\n"
        "        pairs = segments(",
    ),
    Mutant("sort net not trained", "return scores.exp()", "return scores.exp().detach()"),
    Mutant("columns not normalised", "scores.log_softmax(dim=-2).log_softmax", "scores.log_softmax"),
    Mutant("softmax for Sinkhorn, as in the release", "for _ in range(self.iterations):", "for _ in range(1):"),
    Mutant("noise in evaluation", "            if self.training:\n", "            if True:\n"),
    Mutant("no noise", "            if self.training:\n", "            if False:\n"),
    Mutant("noise of the first step for ever", "self.noise.copy_(self._gumbel(step))", "pass"),
    Mutant("noise of the global generator", "exponential_(generator=self.generator(step=step))", "exponential_()"),
    Mutant("noise of the wrong sign", "return -uniform", "return uniform"),
    Mutant("temperature multiplies", "(scores / self.temperature)", "(scores * self.temperature)"),
    Mutant("padding is summed", "x.masked_fill(~keep[..., None], 0.0), self.block", "x, self.block"),
    Mutant("padding is sorted", ".masked_fill_(~keep[:, None, :, None], 0.0)", ""),
    Mutant(
        "blocks of padding are sorted",
        "both = filled[:, :, None] & filled[:, None] |",
        "both = filled[:, :, None] | ~filled[:, :, None] |",
    ),
    Mutant(
        "share of padding forgotten",
        "share.clamp_min(_FEW).log()[..., None].to",
        "torch.zeros_like(share)[..., None].to",
    ),
    Mutant("mean not taken", " * share.clamp_min(_FEW).reciprocal()[..., None].to(v.dtype)", ""),
    Mutant(
        "own block left out", "[share, kept.to(share.dtype).expand(share.shape)]", "[share, torch.zeros_like(share)]"
    ),
    Mutant(
        "what fills up counts",
        "self.block, 1, value=False).view(len(x), 1,",
        "self.block, 1, value=True).view(len(x), 1,",
    ),
    Mutant("wrong scale", "scale=width**-0.5", "scale=1.0"),
    Mutant("logarithm scaled", "value=q.shape[-1] ** 0.5", "value=1.0"),
    Mutant("sorted keys of other blocks' padding", "mask = (share > _FEW)", "mask = (share > -1.0)"),
    Mutant("SortCut takes the last", "part[:, :, : self.sortcut]", "part[:, :, -self.sortcut :]"),
    Mutant(
        "one order for all heads",
        "[..., :count].transpose(1, 2)\n",
        "[..., :count].transpose(1, 2)[:, :1].repeat(1, self.shape.heads, 1, 1)\n",
    ),
    Mutant("no dropout", "dropout=self.attention_dropout", "dropout=0.0"),
    Mutant(
        "bfloat16 in the sort net",
        "(x.device.type, enabled=False)",
        "(x.device.type, enabled=torch.is_autocast_enabled(x.device.type))",
    ),
]
