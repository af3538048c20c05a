"""Faults in the Sparse Transformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("pads unmasked", "self._near(kept)", "self._near(torch.ones_like(kept))"),
    Mutant("far pads unmasked", "self._far(kept)", "self._far(torch.ones_like(kept))"),
    Mutant("mask of another example", "kept = padded_to(keep, self", "kept = padded_to(keep.flip(0), self"),
    Mutant(
        "wrong scale",
        "(part, self.stride, 2) for part in (q / self.shape.head_dim**0.5,",
        "(part, self.stride, 2) for part in (q / self.shape.head_dim,",
    ),
    Mutant("window one short", "(query - key).abs() <= self.stride", "(query - key).abs() < self.stride - 1"),
    Mutant("window shifted by one", "(query - key).abs() <= self.stride", "(query - key - 1).abs() <= self.stride"),
    Mutant("near keys twice", "(self._is_near(far_query, far) & uses_near)", "(self._is_near(far_query, far) & False)"),
    Mutant("causal, as the release", "if self.causal:\n            in_near", "if True:\n            in_near"),
    Mutant(
        "causal near alone",
        "in_near & (near <= query), in_far & (far <= far_query)",
        "in_near & (near <= query), in_far",
    ),
    Mutant(
        "the blocks' first tokens for summaries",
        "blocks[..., self.stride - self.summary :, :]",
        "blocks[..., : self.summary, :]",
    ),
    Mutant(
        "columns not turned back",
        "return grouped.transpose(2, 3) if",
        "return grouped.reshape(*grouped.shape[:2], grouped.shape[3], grouped.shape[2], -1) if",
    ),
    Mutant("far values left out", "self._far(v))\n", "self._far(v)) * 0\n"),
    Mutant(
        "separate heads are merged",
        '"separate": torch.arange(shape.heads) % 2,',
        '"separate": torch.full((shape.heads,), -1),',
    ),
    Mutant("layers do not take turns", "shape.layer % 2)", "0)"),
    Mutant("dropout in evaluation", "self.drop(weights)", "functional.dropout(weights, self.shape.dropout)"),
    Mutant("no dropout", "self.drop(weights)", "weights"),
    Mutant("what fills up counts", "self.stride, 1, value=False)", "self.stride, 1, value=True)"),
]
