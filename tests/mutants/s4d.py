"""Faults in S4D, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import CONVOLUTIONS, Mutant

MUTANTS = [
    Mutant(
        "padding is a token",
        "projected.v[..., 0].masked_fill(~all_kept(projected.x, keep)[:, None], 0.0)",
        "projected.v[..., 0]",
    ),
    Mutant(
        "lag 0 in both directions",
        "forward, gap,",
        "forward + backward * (torch.arange(longest) == 0), gap,",
        CONVOLUTIONS,
    ),
    Mutant(
        "the backward half begins at lag 1",
        "backward[..., 1:].flip(-1)], dim=-1)\n    spectrum",
        "backward[..., :-1].flip(-1)], dim=-1)\n    spectrum",
        CONVOLUTIONS,
    ),
    Mutant(
        "the FFT wraps around", "size = _fast_size(2 * longest - 1)", "size = _fast_size(2 * longest - 2)", CONVOLUTIONS
    ),
    Mutant(
        "the FFT follows the padded length",
        "    longest = forward.shape[-1]\n",
        "    forward, backward = (part[:, : x.shape[-1]] for part in (forward, backward))\n"
        "    longest = forward.shape[-1]\n",
        CONVOLUTIONS,
    ),
    Mutant("the kernel in bfloat16", "self.shape.max_length).real", "self.shape.max_length).real.bfloat16().to(wide)"),
    Mutant(
        "coarse steps too short",
        "torch.exp(logarithms[..., None] * (size * steps))",
        "torch.exp(logarithms[..., None] * ((size - 1) * steps))",
        CONVOLUTIONS,
    ),
    Mutant("Euler's step", "torch.expm1(step * a) / a", "step"),
    Mutant("each pair once", "weights = 2 * reading", "weights = reading"),
    Mutant("one direction's C for both", "return kernels[0], kernels[1] if", "return kernels[0], kernels[0] if"),
    Mutant("no decay", "torch.complex(-self.log_decay.to(wide).exp(), ", "torch.complex(-self.log_decay.to(wide), "),
    Mutant("no skip", " + self.skip[:, None] * u", ""),
    Mutant(
        "the skip is not in the matrix",
        "torch.diag_embed(self.skip[:, None]",
        "torch.diag_embed(0 * self.skip[:, None]",
    ),
    Mutant(
        "the matrix is transposed",
        "place[:, None] - place + length - 1",
        "place - place[:, None] + length - 1",
        CONVOLUTIONS,
    ),
    Mutant("the frequency is not trained", "self.frequency.to(wide))", "self.frequency.detach().to(wide))"),
    Mutant("C of variance 2", "normal_(0, 0.5**0.5, ", "normal_(0, 1, "),
    Mutant(
        "steps not log-uniform",
        "uniform * math.log(step_max / step_min) + math.log(step_min)",
        "(uniform * (step_max - step_min) + step_min).log()",
    ),
    Mutant("the other half of the eigenvalues", "[state // 2 :]", "[: state // 2]"),
    Mutant("inverse without its shift", "(state / (2 * n + 1) - 1)", "state / (2 * n + 1)"),
    Mutant(
        "each layer begins alike",
        "generator, pairs = self.generator()",
        "generator, pairs = torch.Generator().manual_seed(0)",
    ),
    Mutant("no dropout", "gated(shape.dim, shape.dropout)", "gated(shape.dim, 0.0)"),
    Mutant("no nonlinearity", "nn.Sequential(nn.GELU(), ", "nn.Sequential(nn.Identity(), ", CONVOLUTIONS),
]
