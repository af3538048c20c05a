"""Faults in the Longformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, WINDOWS, Mutant

MUTANTS = [
    Mutant("pads unmasked in the windows", "keep & ~is_global,", "~is_global.expand(len(q), -1),"),
    Mutant("pads unmasked for global tokens", "values, key_mask(keep), dropout", "values, None, dropout"),
    Mutant("padded global tokens unmasked", "keep[:, : self.num_global]\n", "keep[:, : self.num_global] | True\n"),
    Mutant("a global token in the window counts twice", "keep & ~is_global", "keep"),
    Mutant(
        "no global token is seen, as in the benchmark's code",
        "band.shape[1], 0], value=True)",
        "band.shape[1], 0])",
        WINDOWS,
    ),
    Mutant(
        "the window is lopsided by one, as in the benchmark's code",
        "(key - query[:, None]).abs() <= radius",
        "((key - query[:, None]).abs() <= radius) & (key - query[:, None] < radius)",
        WINDOWS,
    ),
    Mutant("whole blocks for a window, as in ports", ".abs() <= radius\n", ".abs() <= radius + 16\n", WINDOWS),
    Mutant("the window shifted by one", "device=device) - margin", "device=device) - margin + 1", WINDOWS),
    Mutant("the window twice as wide", "self.radius = window // 2", "self.radius = window"),
    Mutant("a margin too small", "margin = min(radius, ", "margin = min(radius // 2, ", WINDOWS),
    Mutant("global queries by the window's projection", "self.split(self.query_global(x[", "self.split(self.query(x["),
    Mutant(
        "global keys and values not trained",
        "keys, values = self.split(self.key_global(x)), self.split(self.value_global(x))",
        "keys, values = k, v",
    ),
    Mutant("global values by the window's projection", "self.split(self.value_global(x))", "v"),
    Mutant("tied global projections", "self.key_global = copy.deepcopy(self.key)", "self.key_global = self.key"),
    Mutant("one dilation for all heads", "dealt[head % len(dealt)]", "dealt[0]"),
    Mutant("no dilation", "keep, self.dilations[0])", "keep, 1)"),
    Mutant("classes put back in the wrong order", "permute(0, 3, 2, 1, 4)", "permute(0, 3, 1, 2, 4)", WINDOWS),
    Mutant("dense weights without the global projections", "torch.where(is_global, far, logits)", "logits"),
    Mutant("wrong scale of the dense weights", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("dropout in evaluation", "self.shape.dropout if self.training else 0.0", "self.shape.dropout", BASE),
]
