"""Faults in Random Feature Attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import OPERATIONS, Mutant

MUTANTS = [
    Mutant("padded keys keep their features", "k = k.masked_fill(~keep[:, None, :, None], 0.0)", "pass"),
    Mutant("mask of another example", "~keep[:, None, :, None]", "~keep.flip(0)[:, None, :, None]"),
    Mutant("queries of any length", "        x = unit(x)\n", "        x = x.to(unit(x).dtype)\n"),
    Mutant(
        "unit vectors over all tokens",
        "wide.square().sum(dim=-1, keepdim=True)",
        "wide.square().mean(dim=-2, keepdim=True).sum(dim=-1, keepdim=True)",
        OPERATIONS,
    ),
    Mutant("tau multiplied", "directions.to(x.dtype) / self.tau", "directions.to(x.dtype) * self.tau"),
    Mutant("tau is its own square", "directions.to(x.dtype) / self.tau", "directions.to(x.dtype) / self.tau**2"),
    Mutant("tau left out", "directions.to(x.dtype) / self.tau", "directions.to(x.dtype) / 1"),
    Mutant("cosines alone", "torch.cat([products.sin(), products.cos()], dim=-1)", "products.cos()"),
    Mutant(
        "the kernel's option is ignored",
        'products.relu() if self.kernel == "arc-cosine" else',
        "products.relu() if not self else",
    ),
    Mutant(
        "sigma is not learned",
        "self.directions * self.sigma[:, None]",
        "self.directions * self.sigma[:, None].detach()",
    ),
    Mutant("sigma of another head", "self.sigma[:, None]", "self.sigma.flip(0)[:, None]"),
    Mutant("sigma divides", "self.directions * self.sigma[:, None]", "self.directions / self.sigma[:, None]"),
    Mutant(
        "sigma begins small", "torch.ones(shape.heads, shape.head_dim)", "0.1 * torch.ones(shape.heads, shape.head_dim)"
    ),
    Mutant("one sigma for a head's dimensions", "self.sigma[:, None]", "self.sigma[:, :1, None]"),
    Mutant("denominator of at least 1", "self.floor * self.features * keys", "100.0 * sums.new_ones(())"),
    Mutant("absolute value of denominators", "torch.maximum(sums, self", "torch.maximum(sums.abs(), self"),
    Mutant(
        "epsilon in place of a floor",
        "return torch.maximum(sums, self.floor * self.features * keys)",
        "return sums + 1e-6",
    ),
    Mutant("floor counts padding", "keys = kept.sum(dim=1)", "keys = kept.logical_not().logical_or(kept).sum(dim=1)"),
    Mutant(
        "floor without the number of keys",
        "self.floor * self.features * keys",
        "self.floor * self.features * keys.clamp(max=1)",
    ),
    Mutant("nothing divided by nothing", "sums.masked_fill(sums == 0, 1.0)", "sums"),
    Mutant("padding alone divided by nothing", ".clamp(min=1).to(sums.dtype)", ".to(sums.dtype)"),
    Mutant(
        "no denominator",
        "q @ sums / self._denominators(norms, all_kept(v, keep))",
        "q @ sums / (self.features * v.shape[2])",
    ),
    Mutant(
        "all heads share a draw",
        'self.register_buffer("directions", self._draw(0))',
        'self.register_buffer("directions", self._draw(0)[:1].repeat(shape.heads, 1, 1))',
    ),
    Mutant("uniform draws", "return torch.randn(", "return torch.rand("),
    Mutant("never drawn again", "self.directions.copy_(", "(lambda drawn: None)("),
    Mutant("drawn at every step", "and step % self.redraw_every == 0", ""),
    Mutant("the first draw again and again", "self._draw(step // self.redraw_every)", "self._draw(0)"),
    Mutant(
        "drawn from the global stream", "generator=self.generator(step=number)", "generator=torch.default_generator"
    ),
    Mutant(
        "drawn in each forward pass",
        "        _, q, k, v = projected\n",
        "        _, q, k, v = projected\n        self.directions.normal_()\n",
    ),
    Mutant("directions not saved", "self._draw(0))  #", "self._draw(0), persistent=False)  #"),
    Mutant("features in bf16 under autocast", "enabled=False", 'enabled=torch.is_autocast_enabled("cpu")'),
]
