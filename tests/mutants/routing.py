"""Faults in the Routing Transformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "pads in clusters", "masked_fill(~kept[:, None, None], -math.inf)", "masked_fill(~kept[:, None, None], 0.0)"
    ),
    Mutant(
        "w follows padding",
        "self._sizes(kept)[:, None]  # (B, w)",
        "of_q.shape[-1] + 0 * self._sizes(kept)[:, None]  # (B, w)",
    ),
    Mutant(
        "pads in means", "weight = kept.repeat(1, 2)[:, None]", "weight = torch.ones_like(kept).repeat(1, 2)[:, None]"
    ),
    Mutant("mask of another row", "else taken[:, None, None]", "else taken.flip(0)[:, None, None]"),
    Mutant("sum over clusters", "mean = total[:, :-1] / total[:, -1:].clamp(min=1.0)", "mean = total[:, :-1]"),
    Mutant("denominator with the authors' 0.01", "/ total[:, -1:].clamp(min=1.0)", "/ (total[:, -1:] + 1e-2)"),
    Mutant("keys routed by queries", "for x in (scores_q, scores_k))", "for x in (scores_q, scores_q))"),
    Mutant("results at the keys' places", "index_add(0, of_q.flatten(), total)", "index_add(0, of_k.flatten(), total)"),
    Mutant("farthest tokens", "order.topk(most, dim=-1)", "order.topk(most, dim=-1, largest=False)"),
    Mutant(
        "ties to the later token",
        "* 2**32 - torch.arange",
        "* 2**32 + torch.arange",
    ),
    Mutant("negative scores in reverse", "bits ^ ((bits >> 31) & 0x7FFFFFFF)", "bits"),
    Mutant("minus zero before zero", "-math.inf) + 0.0).view", "-math.inf)).view"),
    Mutant("rows of other heads", "view(batch, heads, 1, 1)  # of", "view(heads, batch, 1, 1).transpose(0, 1)  # of"),
    Mutant("temperature of unit vectors", "unit_k.to(k.dtype), self.shape.head_dim**0.5", "unit_k.to(k.dtype), None"),
    Mutant("plain vectors in place of unit ones", "        if self.normalized:\n", "        if False:\n"),
    Mutant("window shifted", "place[w : 2 * w, None] - place)", "place[w : 2 * w, None] - place - 1)"),
    Mutant("window of half the width", "- place).abs() <= w)", "- place).abs() <= w // 2)"),
    Mutant(
        "local pads unmasked",
        "mask = kept.flatten(0, 1)[:, None, None] & (",
        "mask = kept.flatten(0, 1)[:, None, None].fill_(True) & (",
    ),
    Mutant(
        "evaluation moves centroids",
        "        if self.training:\n            nearest",
        "        if True:\n            nearest",
    ),
    Mutant("centroids of any length", "functional.normalize(moved, dim=-1)", "moved"),
    Mutant(
        "empty centroids shrink",
        "torch.where(counts > 0, functional.normalize(moved, dim=-1), self.centroids)",
        "functional.normalize(moved + 1e-3, dim=-1)",
    ),
    Mutant("keys teach nothing", "torch.cat([unit_q, unit_k], dim=2)", "torch.cat([unit_q, unit_q], dim=2)"),
    Mutant(
        "heads share statistics",
        "+ clusters * torch.arange(heads, device=unit.device)[:, None]",
        "+ 0 * torch.arange(heads, device=unit.device)[:, None]",
    ),
    Mutant("each process for itself", "sum_over_ranks(total)", "total"),
    Mutant("loss reaches nothing", "(unit - chosen)", "(unit.detach() - chosen)"),
    Mutant("loss not scaled", "loss = self.beta * (", "loss = ("),
    Mutant(
        "decay turned round",
        "self.decay * self.centroids + (1 - self.decay) * sums",
        "(1 - self.decay) * self.centroids + self.decay * sums",
    ),
    Mutant("centroids from the global generator", ", generator=self.generator())", ")"),
    Mutant("loss copied", '"_loss": None}', '"_loss": self._loss}'),
]
