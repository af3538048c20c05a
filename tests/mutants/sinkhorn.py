"""Faults in the Sinkhorn Transformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "the sum of all blocks, as in the release",
        "(order @ part.flatten(3)).view(part.shape)",
        "part.sum(dim=2, keepdim=True).expand(part.shape)",
    ),
    Mutant("sorted backwards", "(order @ part.flatten(3))", "(order.transpose(-1, -2) @ part.flatten(3))"),
    Mutant(
        "values are the keys, as in a port",
        "        if self.sortcut is None:\n            share",
        "        values = keys\n        if self.sortcut is None:\n            share",
    ),
    Mutant(
        "blocks of strided tokens, as in the release",
        "segments(part, self.block) for part",
        "padded_to(part, self.block, 2).unflatten(2, (self.block, -1)).transpose(2, 3).contiguous() for part",
    ),
    Mutant("sort net not trained", "return scores.exp()", "return scores.exp().detach()"),
    Mutant("columns not normalised", "scores = scores - scores.logsumexp(dim=-2, keepdim=True)\n", "pass\n"),
    Mutant("softmax for Sinkhorn, as in the release", "for _ in range(self.iterations):", "for _ in range(1):"),
    Mutant("noise in evaluation", "            if self.training:\n", "            if True:\n"),
    Mutant("no noise", "            if self.training:\n", "            if False:\n"),
    Mutant("noise of the first step for ever", "self.noise.copy_(self._gumbel(step))", "pass"),
    Mutant("noise of the global generator", "exponential_(generator=self.generator(step=step))", "exponential_()"),
    Mutant("noise of the wrong sign", "return -uniform", "return uniform"),
    Mutant("temperature multiplies", "(scores / self.temperature)", "(scores * self.temperature)"),
    Mutant("padding is summed", "x.masked_fill(~keep[..., None], 0.0), self.block", "x, self.block"),
    Mutant("padding is sorted", "part.masked_fill(~kept[..., None], 0.0)", "part"),
    Mutant(
        "blocks of padding are sorted",
        "both = filled[:, :, None] & filled[:, None] |",
        "both = filled[:, :, None] | ~filled[:, :, None] |",
    ),
    Mutant("share of padding forgotten", "+ share.clamp_min(_FEW).log(), share > _FEW)", ", share > _FEW)"),
    Mutant("mean not taken", "/ share.clamp_min(_FEW)[..., None].to(part.dtype)", ""),
    Mutant(
        "own block left out", "[share, kept.to(share.dtype).expand(share.shape)]", "[share, torch.zeros_like(share)]"
    ),
    Mutant(
        "what fills up counts",
        "self.block, 1, value=False).view(len(x), 1,",
        "self.block, 1, value=True).view(len(x), 1,",
    ),
    Mutant("wrong scale", "for part in (q / self.shape.head_dim**0.5, k, v))", "for part in (q, k, v))"),
    Mutant("SortCut takes the last", "part[:, :, : self.sortcut]", "part[:, :, -self.sortcut :]"),
    Mutant(
        "one order for all heads",
        "[..., :count].transpose(1, 2)\n",
        "[..., :count].transpose(1, 2)[:, :1].repeat(1, self.shape.heads, 1, 1)\n",
    ),
    Mutant("no dropout", "self.drop(weights)", "weights"),
    Mutant(
        "bfloat16 in the sort net",
        "(x.device.type, enabled=False)",
        "(x.device.type, enabled=torch.is_autocast_enabled(x.device.type))",
    ),
]
