"""Faults in BigBird, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("pads unmasked", "mask = kept[example", "mask = torch.ones_like(kept)[example"),
    Mutant("pads unmasked for the global blocks", "k, v, key_mask(keep), dropout", "k, v, None, dropout"),
    Mutant("mask of another example", "mask = kept[example", "mask = kept.flip(0)[example"),
    Mutant(
        "what fills up the last block counts, as in the release",
        "self.block, 1, value=False)",
        "self.block, 1, value=True)",
    ),
    Mutant("blocks count twice", "found.masked_fill(again, _NONE)", "found"),
    Mutant("window shifted by one", "number - 1, number, number + 1]", "number, number + 1, number + 2]"),
    Mutant(
        "random blocks of the first 1,024 tokens, as in the release",
        "seen[:, [0, -1]] = True",
        "seen[:, [0, -1]] = True\n    seen[:, 16:] = True",
    ),
    Mutant("the global generator", "count, count, generator=generator,", "count, count,"),
    Mutant(
        "one graph for all heads", "found.values < 0, _NONE)", "found.values < 0, _NONE)[:1].repeat(shape.heads, 1, 1)"
    ),
    Mutant("random blocks that are seen anyway", ".masked_fill(seen, -1.0)", ""),
    Mutant("drawn where there is none", "found.indices.masked_fill(found.values < 0, _NONE)", "found.indices"),
    Mutant("graph not saved", "num_random, self.generator()))", "num_random, self.generator()), persistent=False)"),
    Mutant("no global rows", "for chief in (torch.zeros_like(last), last):", "for chief in ():"),
    Mutant("the batch's last block", ".amax(dim=-1)\n\n\nATTENTION", ".amax().expand(len(kept))\n\n\nATTENTION"),
    Mutant("the padded length's last block", "last = _last_block(kept)", "last = _last_block(torch.ones_like(kept))"),
    Mutant(
        "heads take each other's blocks",
        "k.reshape(-1, self.block * width)",
        "k.flip(1).reshape(-1, self.block * width)",
    ),
    Mutant("no dropout, as in the ports", "dropout = self.attention_dropout", "dropout = 0.0"),
    Mutant("no dropout of the blocks", "            dropout=dropout,\n", ""),
]
