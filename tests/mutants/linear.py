"""Faults in the Linear Transformer, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("pads unmasked", "k = k.masked_fill_(~keep[:, None, :, None], 0.0)", "pass"),
    Mutant(
        "keys are masked before the feature map",
        "            q, k = elu_plus_1(q), elu_plus_1(k)\n            if keep",
        "            q, k = elu_plus_1(q), elu_plus_1(k if keep is None else k * keep[:, None, :, None])\n"
        "            keep = None\n            if keep",
    ),
    Mutant("mask of another example", "~keep[:, None, :, None]", "~keep.flip(0)[:, None, :, None]"),
    Mutant("no denominator", "(norms + self.eps).reciprocal()", "q.shape[-2] ** -0.5"),
    Mutant(
        "denominator of the mean key",
        "norms = q @ k.sum(dim=-2)[..., None]",
        "norms = q @ k.mean(dim=-2)[..., None]",
    ),
    Mutant("no epsilon", "(norms + self.eps)", "norms"),
    Mutant(
        "logits divided by sqrt(E)",
        "q, k = elu_plus_1(q), elu_plus_1(k)",
        "q, k = elu_plus_1(q / 8**0.5), elu_plus_1(k)",
    ),
    Mutant("elu without the one", "above + (x - above).exp_()", "torch.nn.functional.elu(x)"),
    Mutant("elu that rounds to 0", "above + (x - above).exp_()", "torch.nn.functional.elu(x) + 1"),
    Mutant("exponentials of all x", "(x - above).exp_()", "x.exp()"),
    Mutant("sums in bf16 under autocast", "enabled=False", "enabled=torch.is_autocast_enabled('cpu')"),
    Mutant("causal", "sums = k.transpose(-1, -2) @ v.to(k.dtype)", "sums = k.tril().transpose(-1, -2) @ v.to(k.dtype)"),
]
