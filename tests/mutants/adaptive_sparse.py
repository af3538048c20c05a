"""Faults in the Adaptively Sparse Transformer, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, Mutant

MUTANTS = [
    Mutant("pads unmasked", "entmax(logits, order, key_mask(keep))", "entmax(logits, order, None)"),
    Mutant("masked by a small number", "masked_fill(~mask, -torch.inf)", "masked_fill(~mask, -4.0)"),
    Mutant(
        "softmax",
        "weights: Tensor = _Entmax.apply(logits, order)",
        "weights: Tensor = logits.softmax(dim=-1) + 0 * order",
    ),
    Mutant("one alpha for all heads", "sigmoid()[:, None, None]", "sigmoid().mean()[None, None, None]"),
    Mutant("alpha from 1.5 to 2", ".sigmoid()[:, None, None]", ".sigmoid()[:, None, None] / 2 + 0.5"),
    Mutant("alpha does not learn", "self.raw_alpha.to(logits.dtype)", "self.raw_alpha.detach().to(logits.dtype)"),
    Mutant("each layer begins alike", "generator=self.generator()", "generator=torch.Generator().manual_seed(0)"),
    Mutant("alpha for alpha - 1", "self.alpha - 1)", "self.alpha / 2)"),
    Mutant("too few steps", "_STEPS = 40", "_STEPS = 5"),
    Mutant("rows end together", "t = torch.where(moving, t + step, t)", "t = t + step"),
    Mutant("ends when one row has ended", "not moving.any()", "not moving.all()"),
    Mutant("coarse steps", "4 * torch.finfo(logits.dtype).eps", "1e-3"),
    Mutant("steps past the solution", "/ (order * slope)\n", "/ (order * slope) * 1.9\n"),
    Mutant("not normalised", "    return weights / torch.where(total > 0, total, 1.0)", "    return weights"),
    Mutant(
        "a row without a key is NaN", "torch.where(total > 0, total, 1.0)\n\n\ndef _powers", "total\n\n\ndef _powers"
    ),
    Mutant("pieces in reverse", "torch.split(logits, rows, dim=-2)]", "torch.split(logits, rows, dim=-2)][::-1]"),
    Mutant("the gradient of softmax", "weights * exponent.exp(), 0.0)", "weights, 0.0)"),
    Mutant(
        "no mean in the gradient", "return sides * (gradient - mean), by_order", "return sides * gradient, by_order"
    ),
    Mutant(
        "gradient outside the support",
        "sides = torch.where(support, weights * exponent.exp(), 0.0)",
        "sides = (weights.clamp(min=1e-3) * exponent.exp())",
    ),
    Mutant(
        "a library's gradient of alpha",
        "            moved = weights * (sum_r - second - log * sum_m + first * sum_l) / total",
        "            moved = (weights - sides / total) / order**2 - (weights * log - sides / total * sum_l) / order",
    ),
    Mutant("half of the gradient of alpha", "(sum_r - second - log * sum_m + first * sum_l)", "(sum_r - second)"),
    Mutant("a series of too few terms", "torch.full_like(y, 1 / 3628800)", "torch.full_like(y, 0.1)"),
    Mutant("a sign in the remainder", "(torch.expm1(large) - large)", "(torch.expm1(large) + large)"),
    Mutant("wrong scale", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("no dropout", "self.drop(self._weights(q, k, keep))", "self._weights(q, k, keep)"),
]
