"""Faults in the reversible layers, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

_FILE = "reference_models/model/reversible.py"
MUTANTS = [
    Mutant("dropout drawn anew", "torch.set_rng_state(self.cpu)", "pass", _FILE),
    Mutant(
        "random state not given back",
        "torch.random.fork_rng(self.devices)",
        "torch.random.fork_rng(enabled=False)",
        _FILE,
    ),
    Mutant("autocast forgotten", "fork_rng(self.devices), self.autocast()", "fork_rng(self.devices)", _FILE),
    Mutant("g computed back from y2", "_again(g, y1, keep", "_again(g, y2, keep", _FILE),
    Mutant(
        "f's gradient from dy1 before g", "next(contexts), dy1, sums)", "next(contexts), dy1 - gradient, sums)", _FILE
    ),
    Mutant("mask forgotten", "_again(f, y2, keep", "_again(f, y2, None", _FILE),
    Mutant("shared weights get the last", "found if before is None else before + found", "found", _FILE),
    Mutant("x2 taken as y2", "y2, dy1 = y2 - share, dy1 + gradient", "dy1 = dy1 + gradient", _FILE),
    Mutant("changed parameters unseen", "keep, *parameters)  # parameters", "keep)  # parameters", _FILE),
    Mutant("frozen parameters asked for", " if parameter.requires_grad]", "]", _FILE),
]
