"""Faults in the Compressive Transformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "wrong scale",
        "return torch.mul(content + shifted(by_distance, keys), self.shape.head_dim**-0.5)",
        "return content + shifted(by_distance, keys)",
    ),
    Mutant(
        "pads unmasked",
        "segments(keep[:, None, :, None], segment)).transpose",
        "torch.ones_like(segments(keep[:, None, :, None], segment))).transpose",
    ),
    Mutant(
        "pads of the memory unmasked",
        "keep[:, None, : steps * segment, None]]",
        "torch.ones_like(keep)[:, None, : steps * segment, None]]",
    ),
    Mutant("slots of padding unmasked", "kept = keep.any(dim=3)", "kept = torch.ones_like(keep.any(dim=3))"),
    Mutant("a slot needs all of its tokens", "kept = keep.any(dim=3)", "kept = keep.all(dim=3)"),
    Mutant("the convolution sees padding", "tokens = tokens.masked_fill(~keep, 0.0)", "tokens = tokens"),
    Mutant("the mean counts padding", "keep.sum(dim=3).clamp(min=1)", "self.rate"),
    Mutant("the maximum counts padding as 0", "masked_fill(~keep, -torch.inf)", "masked_fill(~keep, 0.0)"),
    Mutant("memory learns", "x.detach()[:, : steps * segment]", "x[:, : steps * segment]"),
    Mutant("slots learn from the task", "slots.flatten(1, 2).detach()", "slots.flatten(1, 2)"),
    Mutant(
        "slots a step late",
        "windows = (slots, self.segment // self.rate)",
        "windows = (slots, self.segment // self.rate - 1)",
    ),
    Mutant("the oldest slots", "(0, 0, size, 0))  # so", "(0, 0, 0, size))  # so"),
    Mutant(
        "too few slots",
        "self.segment // self.rate - self.memory // self.rate)",
        "self.segment // self.rate - -(-self.memory // self.rate))",
    ),
    Mutant("what leaves is the newest", "(0, 0, self.memory, self.segment))", "(0, 0, 0, self.memory + self.segment))"),
    Mutant("causal hides the memory", ".tril(k.shape[3] - segment)", ".tril()"),
    Mutant("distances off by one", "torch.arange(keys - 1, -segment - 1, -1,", "torch.arange(keys, -segment, -1,"),
    Mutant("no shift", "shifted(by_distance, keys)", "by_distance[..., :keys]"),
    Mutant("projections learn from the auxiliary loss", "projection.weight.detach()", "projection.weight"),
    Mutant("projections stop training", "projection.weight.detach()", "projection.weight.detach_()"),
    Mutant("the input learns from the auxiliary loss", "self._last = (x.detach(), keep)", "self._last = (x, keep)"),
    Mutant(
        "the loss looks at itself",
        "old, old_keep = (self._leaving(part, h.shape[1]) for part in (x, keep))",
        "old, old_keep = h, h_keep",
    ),
    Mutant("the loss counts padding", "real = (h_keep & old_keep", "real = (torch.ones_like(h_keep) & old_keep"),
    Mutant(
        "the loss counts where there was nothing",
        "h_keep & old_keep.any(dim=2, keepdim=True)",
        "h_keep & (old_keep.any(dim=2, keepdim=True) | True)",
    ),
    Mutant(
        "the loss of a forward long ago",
        'if self.training and self.compression == "conv" else None',
        'if self.training and self.compression == "conv" else self._last',
    ),
    Mutant(
        "a slot's weight is counted for each of its tokens",
        "shares / shares.sum(dim=-1, keepdim=True).clamp(min=1)",
        "shares",
    ),
    Mutant("u for v", "q + self.position_bias[:, None, None]", "q + self.content_bias[:, None, None]"),
]
