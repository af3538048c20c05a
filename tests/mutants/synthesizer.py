"""Faults in Synthesizer, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import OPERATIONS, Mutant

MUTANTS = [
    Mutant("pads unmasked", "key_mask(keep)).to(v.dtype)", "None).to(v.dtype)"),
    Mutant(
        "mask of another example",
        "key_mask(keep)).to(v.dtype)",
        "key_mask(None if keep is None else keep.flip(0))).to(v.dtype)",
    ),
    Mutant(
        "heads scrambled in the dense mode",
        "split_heads(functional.linear(x, self.hidden, self.hidden_bias).relu(), self.heads)",
        "functional.linear(x, self.hidden, self.hidden_bias).relu().view(len(x), self.heads, x.shape[1], -1)",
    ),
    Mutant("an unweighted sum", "self.mixture.softmax(dim=0)", "torch.ones_like(self.mixture)"),
    Mutant("weights that do not sum to 1", "self.mixture.softmax(dim=0)", "self.mixture.sigmoid()"),
    Mutant("no relu", "self.hidden_bias).relu()", "self.hidden_bias)"),
    Mutant(
        "a hidden layer without bias",
        "functional.linear(x, self.hidden, self.hidden_bias)",
        "functional.linear(x, self.hidden)",
    ),
    Mutant("last columns for a short input", "matrix[..., :count]", "matrix[..., -count:]"),
    Mutant("tile and repeat swapped", ".flatten(-2)[..., :length]", ".transpose(-1, -2).flatten(-2)[..., :length]"),
    Mutant(
        "transposed random matrix",
        "self.matrix[None, :, : x.shape[1], : x.shape[1]]",
        "self.matrix.mT[None, :, : x.shape[1], : x.shape[1]]",
    ),
    Mutant("wrong scale", "q @ k.transpose(-1, -2) / self.shape.head_dim**0.5", "q @ k.transpose(-1, -2)"),
    Mutant("fixed but trained", "_hold(self, name, drawn, trainable)", "_hold(self, name, drawn, True)"),
    Mutant(
        "fixed but not saved",
        "module.register_buffer(name, drawn)",
        "module.register_buffer(name, drawn, persistent=False)",
    ),
    Mutant("rank is ignored", "lambda: _FactorizedRandom(shape, k, ", "lambda: _FactorizedRandom(shape, 32, "),
    Mutant(
        "one matrix for all heads",
        "nn.init.xavier_uniform_(matrix, generator=generator)",
        "nn.init.xavier_uniform_(matrix, generator=generator).copy_(drawn[0])",
        OPERATIONS,
    ),
    Mutant("small factors", "(shape.max_length * k) ** -0.25", "(shape.max_length * k) ** -0.5"),
    Mutant("drawn from the global stream", "generator = self.generator()", "generator = torch.default_generator"),
    Mutant(
        "dropout alike for all examples",
        "functional.dropout(weights.expand(len(x), -1, -1, -1), self",
        "functional.dropout(weights, self",
    ),
    Mutant("dropout in evaluation", "if self.training and self.shape.dropout:", "if self.shape.dropout:"),
    Mutant("the first example's weights for all", "if len(weights) < len(x):", "if True:"),
    Mutant("the mode is ignored", "(mode,)", '("random",)'),
]
