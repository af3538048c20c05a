"""Faults in the control without attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    Mutant("the tokens themselves", "torch.ones((), dtype=torch.bool", "torch.zeros((), dtype=torch.bool"),
    Mutant("ones", "device=projected.v.device), 0.0)", "device=projected.v.device), 1.0)"),
    Mutant(
        "a product with 0",
        "projected.v.masked_fill(torch.ones((), dtype=torch.bool, device=projected.v.device), 0.0)",
        "projected.v * 0.0",
    ),
    Mutant("a value projection", "    has_value = False\n", "    has_value = True\n"),
    Mutant("an output projection", "nn.Identity()", "nn.Linear(shape.dim, shape.dim)"),
    Mutant(
        "a matrix of the identity", "        return x.new_zeros(", "        return torch.eye(x.shape[1]) + x.new_zeros("
    ),
]
