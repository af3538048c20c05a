"""Faults in the Performer, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("padded keys keep their features", "values = values.masked_fill(padding, 0.0)", "pass"),
    Mutant(
        "padded keys have no value, but count",
        "values = values.masked_fill(padding, 0.0)",
        "values = torch.cat([values[..., :-1].masked_fill(padding, 0.0), values[..., -1:]], dim=-1)",
    ),
    Mutant("padding in the keys' maximum", "lengths.masked_fill(padding, -math.inf)", "lengths"),
    Mutant("features of padding are infinite", "k.masked_fill_(padding, 0.0)", "k.masked_fill_(padding, 1e3)"),
    Mutant("mask of another example", "~keep[:, None, :, None]", "~keep.flip(0)[:, None, :, None]"),
    Mutant("maximum of the keys over the batch", "amax(dim=-2, keepdim=True)", "amax().reshape(1, 1, 1, 1)"),
    Mutant("maximum of each key", "amax(dim=-2, keepdim=True)", "amax(dim=-1, keepdim=True)"),
    Mutant("maximum over all of a head's keys", "amax(dim=-2, keepdim=True)", "amax(dim=(-1, -2), keepdim=True)"),
    Mutant("the keys' maximum is not given back", "self._products(q).add_(peak)", "self._products(q)"),
    Mutant("epsilon in the features", ".exp_(), k.exp_()", ".exp_() + 1e-6, k.exp_() + 1e-6"),
    Mutant("no denominator", " * norms.masked_fill(norms == 0, 1.0).reciprocal()", " / k.shape[-2]"),
    Mutant("logits divided twice", "self.shape.head_dim**0.25", "self.shape.head_dim**0.5"),
    Mutant("logits not divided", " / self.shape.head_dim**0.25", ""),
    Mutant("lengths of keys left out", ", -0.5 / self.shape.head_dim**0.5)", ", 0.0)"),
    Mutant(
        "the kernel's option is ignored",
        'if self.kernel == "relu":\n            return',
        "if not self:\n            return",
    ),
    Mutant(
        "ReLU features without directions",
        "x @ (self.directions.to(x.dtype) / self.shape.head_dim**0.25).T",
        "x / self.shape.head_dim**0.25",
    ),
    Mutant("directions not orthogonal", "q, r = torch.linalg.qr(drawn)", "q, r = drawn, drawn"),
    Mutant("QR's sign left", " * r.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]", ""),
    Mutant("lengths all sqrt(E)", "[:count] * lengths", "[:count] * width**0.5"),
    Mutant("lengths all 1", "[:count] * lengths", "[:count]"),
    Mutant("never drawn anew", "self.directions.copy_(", "(lambda drawn: None)("),
    Mutant("drawn at every step", "and step % self.redraw_every == 0", ""),
    Mutant("the first draw again and again", "self._draw(step // self.redraw_every)", "self._draw(0)"),
    Mutant("drawn from the global stream", "self.generator(step=number))", "torch.default_generator)"),
    Mutant("directions not saved", "self._draw(0))  #", "self._draw(0), persistent=False)  #"),
    Mutant("exp in bf16 under autocast", "enabled=False", "enabled=torch.is_autocast_enabled('cpu')"),
]
