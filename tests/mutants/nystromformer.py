"""Faults in the Nyströmformer, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("landmarks of padding", " & keep[:, None]  # (B, m, L)", "  # (B, m, L)"),
    Mutant("means over whole segments", "member.sum(dim=-1, keepdim=True).clamp(min=1)", "-(-keep.shape[1] // most)"),
    Mutant("segments of the padded length", "kept.clamp(max=most) // kept.clamp(min=1)", "most // keep.shape[1]"),
    Mutant("segments by place, not by rank", "(keep.cumsum(dim=1) - 1)", "(torch.ones_like(keep).cumsum(dim=1) - 1)"),
    Mutant("ranks from 1", "(keep.cumsum(dim=1) - 1)", "keep.cumsum(dim=1)"),
    Mutant(
        "pads seen by landmarks", "summary = attend(near, k, v, key_mask(keep)", "summary = attend(near, k, v, None"
    ),
    Mutant(
        "empty landmarks seen", "mixed = attend(q, far, solved, key_mask(kept)", "mixed = attend(q, far, solved, None"
    ),
    Mutant(
        "empty landmarks in A", "self.scaled_logits(near, far), key_mask(kept))", "self.scaled_logits(near, far), None)"
    ),
    Mutant("rows of empty landmarks", "torch.where(kept[:, None, :, None], full, identity)", "full"),
    Mutant("maximum over the batch and heads", ".amax(dim=-1)[..., None, None]", ".amax()"),
    Mutant("maximum over the heads", ".amax(dim=-1)[..., None, None]", ".amax(dim=(1, 2))[:, None, None, None]"),
    Mutant("row sums for column sums", "matrix.sum(dim=-2).amax", "matrix.sum(dim=-1).amax"),
    Mutant("Z begins untransposed", "matrix.transpose(-1, -2) / matrix.sum", "matrix / matrix.sum"),
    Mutant("wrong order of factors", "product = matrix @ inverse", "product = inverse @ matrix"),
    Mutant("wrong coefficient", "15 * identity", "14 * identity"),
    Mutant("one iteration too few", "range(self.n_iter)", "range(self.n_iter - 1)"),
    Mutant("Z does not learn", "            return inverse\n", "            return inverse.detach()\n"),
    Mutant("near for far", "mixed = attend(q, far,", "mixed = attend(q, near,"),
    Mutant("no inverse", "(inverse @ summary.to(inverse.dtype)).to(v.dtype)", "summary"),
    Mutant("pads in the convolution", "v = v.masked_fill(~keep[:, None, :, None], 0.0)", "pass"),
    Mutant(
        "the first head's kernel",
        "self.convolution[:, None, :, None]",
        "self.convolution[:1, None, :, None].repeat(self.shape.heads, 1, 1, 1)",
    ),
    Mutant("kernel reversed in the dense form", "tap = place - place[:, None] +", "tap = place[:, None] - place +"),
    Mutant("each layer begins alike", "generator=self.generator())", "generator=torch.Generator().manual_seed(0))"),
    Mutant(
        "no dropout of B",
        "summary = attend(near, k, v, key_mask(keep), dropout=self.attention_dropout)",
        "summary = attend(near, k, v, key_mask(keep))",
    ),
    Mutant("no dropout of F", "key_mask(kept), dropout=self.attention_dropout)", "key_mask(kept))"),
    Mutant(
        "dropout in evaluation",
        "key_mask(kept), dropout=self.attention_dropout)",
        "key_mask(kept), dropout=self.shape.dropout)",
    ),
]
