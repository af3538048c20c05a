"""Faults in the Performer, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("padded keys keep their features", "k = k.masked_fill(padding, -math.inf)", "pass"),
    Mutant(
        "padded keys are zero before the feature map",
        "k.masked_fill(padding, -math.inf)",
        "k.masked_fill(padding, 0.0)",
    ),
    Mutant("padded ReLU keys keep their features", "k if padding is None else k.masked_fill(padding, 0.0)", "k"),
    Mutant("mask of another example", "~keep[:, None, :, None]", "~keep.flip(0)[:, None, :, None]"),
    Mutant("maximum of the keys over the batch", "amax(dim=-2, keepdim=True)", "amax().reshape(1, 1, 1, 1)"),
    Mutant("maximum of each key", "amax(dim=-2, keepdim=True)", "amax(dim=-1, keepdim=True)"),
    Mutant("maximum over all of a head's keys", "amax(dim=-2, keepdim=True)", "amax(dim=(-1, -2), keepdim=True)"),
    Mutant("the keys' maximum is not given back", "q = q + peak\n", "q = q + 0\n"),
    Mutant("epsilon in the features", ".exp(), (k - peak).exp()", ".exp() + 1e-6, (k - peak).exp() + 1e-6"),
    Mutant("no denominator", " / norms.masked_fill(norms == 0, 1.0)", " / k.shape[-2]"),
    Mutant("logits divided twice", "self.shape.head_dim**0.25", "self.shape.head_dim**0.5"),
    Mutant("logits not divided", " / self.shape.head_dim**0.25", ""),
    Mutant("norms of x left out", "products - x.square().sum(dim=-1, keepdim=True) / 2", "products"),
    Mutant(
        "the kernel's option is ignored",
        'if self.kernel == "relu":\n            q, k = q.relu()',
        "if not self:\n            q, k = q.relu()",
    ),
    Mutant("ReLU features without directions", "products = x @ self.directions.to(x.dtype).T", "products = x"),
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
