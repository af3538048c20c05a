"""Faults in the H-Transformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant(
        "D without the counts, as in a port",
        "weights.sum(dim=-1, keepdim=True)",
        "(weights / weights_of_cells.clamp(min=1.0)).sum(dim=-1, keepdim=True)",
    ),
    Mutant(
        "levels relative to different maxima, as in a port",
        "of_fine, of_coarse = (fine.maximum - common).exp(), (maximum - common).exp()",
        "of_fine, of_coarse = 1.0, 1.0",
    ),
    Mutant(
        "one maximum for all queries, as in the authors' code",
        "logits.detach().amax(dim=-1, keepdim=True)",
        "logits.detach().amax(dim=(1, 2, 3, 4), keepdim=True).expand(*logits.shape[:-1], 1)",
    ),
    Mutant(
        "cells count as one token", "logits = logits + weights_of_cells.clamp(min=1.0).log()", "logits = logits + 0"
    ),
    Mutant(
        "the quarter that was seen counts twice",
        "        if number:\n            mask",
        "        if False:\n            mask",
    ),
    Mutant(
        "the wrong quarter of the block before",
        "(query >= rank // 2) | (key < rank // 2)",
        "(query < rank // 2) | (key < rank // 2)",
    ),
    Mutant(
        "the wrong quarter of the block after",
        "(query < rank // 2) | (key >= rank // 2)",
        "(query < rank // 2) | (key < rank // 2)",
    ),
    Mutant("no block after", "*middle, around[:, :, 2:]]", "*middle, torch.zeros_like(around[:, :, 2:])]"),
    Mutant(
        "the block after comes first",
        "around[:, :, :count], *middle, around[:, :, 2:]",
        "around[:, :, 2:], *middle, around[:, :, :count]",
    ),
    Mutant("a block does not look at itself", "own=number == 0) for", "own=False) for"),
    Mutant("means include padding", "* count for part", "for part"),
    Mutant("means over whole cells", "(total / count.clamp(min=1.0)).to(dtype)", "(total / count.amax()).to(dtype)"),
    Mutant("sums for means", "(total / count.clamp(min=1.0)).to(dtype)", "total.to(dtype)"),
    Mutant("pads unmasked", "mask = weights_of_cells > 0", "mask = weights_of_cells >= 0"),
    Mutant("one level too few", "while count.shape[2] > 2 * self.rank:", "while count.shape[2] > 4 * self.rank:"),
    Mutant("wrong scale", "* self.shape.head_dim**-0.5", "* self.shape.dim**-0.5"),
    Mutant(
        "cells of another pair",
        "part.repeat_interleave(2, dim=2)[:, :, :cells]",
        "part.repeat(1, 1, 2, 1)[:, :, :cells]",
    ),
    Mutant(
        "dense weights of siblings",
        "near = (block[:, None] - block).abs() <= 1",
        "near = block[:, None] // 2 == block // 2",
    ),
    Mutant("odd ranks", "if rank < 2 or rank % 2:", "if rank < 2:"),
    Mutant("no dropout", "self.drop(weights).to", "weights.to"),
    Mutant(
        "dropout of the denominator",
        "weights = (logits - maximum).exp()",
        "weights = self.drop((logits - maximum).exp())",
    ),
]
