"""Faults in the Transformer's attention, each of which a test must find (`scripts/mutants`)."""

from tests.mutants.mutant import BASE, Mutant

MUTANTS = [
    Mutant("pads unmasked", "return attend(q, k, v, key_mask(keep),", "return attend(q, k, v, None,"),
    Mutant("wrong scale", "/ self.shape.head_dim**0.5", "/ self.shape.head_dim", BASE),
    Mutant("keys are the values", "return attend(q, k, v,", "return attend(q, v, v,"),
    Mutant(
        "mask of another example",
        "key_mask(keep), dropout",
        "key_mask(None if keep is None else keep.flip(0)), dropout",
    ),
]
