"""Faults in the short convolution, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import CONVOLUTIONS, Mutant

MUTANTS = [
    Mutant(
        "padding is a token",
        "projected.v[..., 0].masked_fill(~all_kept(projected.x, keep)[:, None], 0.0)",
        "projected.v[..., 0]",
    ),
    Mutant("mask of another example", "keep)[:, None], 0.0)", "keep).flip(0)[:, None], 0.0)"),
    Mutant(
        "the kernel is turned around",
        "self.kernel.to(wide)[:, None], padding",
        "self.kernel.to(wide).flip(-1)[:, None], padding",
    ),
    Mutant("twice as wide", "padding=self.kernel.shape[1] // 2,", "padding=self.kernel.shape[1] // 2 * 2, dilation=2,"),
    Mutant(
        "causal",
        "            y = functional.conv1d(\n                x.to(wide)",
        "            y = functional.conv1d(\n                x.to(wide).roll(self.kernel.shape[1] // 2, -1)",
    ),
    Mutant("not trained", "self.kernel.to(wide)[:, None]", "self.kernel.detach().to(wide)[:, None]"),
    Mutant(
        "one kernel for all channels",
        "self.kernel.to(wide)[:, None]",
        "self.kernel[:1].expand_as(self.kernel).to(wide)[:, None]",
    ),
    Mutant(
        "sums in bfloat16",
        "with torch.autocast(x.device.type, enabled=False):",
        "with torch.autocast(x.device.type, enabled=torch.is_autocast_enabled(x.device.type)):",
    ),
    Mutant(
        "the matrix is transposed",
        "toeplitz(wide[:, : middle + 1].flip(-1), wide[:, middle:], length)",
        "toeplitz(wide[:, middle:], wide[:, : middle + 1].flip(-1), length)",
    ),
    Mutant("even kernels", "if kernel < 1 or kernel % 2 == 0:", "if kernel < 1:"),
    Mutant("large at first", "bound = kernel**-0.5", "bound = 1.0"),
    Mutant("each layer begins alike", "generator=self.generator()", "generator=torch.Generator().manual_seed(0)"),
    Mutant("no dropout", "gated(shape.dim, shape.dropout)", "gated(shape.dim, 0.0)"),
    Mutant(
        "the output mixes neighbours", "nn.Sequential(nn.GELU(), ", "nn.Sequential(nn.Softmax(dim=1), ", CONVOLUTIONS
    ),
]
