"""The independent solver of ListOps: a stack machine that computes value and form from an example's tokens.

It shares only the table of words with the generator, but no code. It keeps every operand on a stack, sorts the operands
of the median, and does not use the kernel's records. `lra-data verify` runs it on every row.

`task.py` compares the form with the configuration.
"""

import numpy as np
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled, compiled_part
from lra_data.listops.vocabulary import VOCABULARY

# The faults of a token sequence; 0 means a sound sequence.
SOUND, STRAY_TOKEN, EMPTY_OPERATOR, UNBALANCED = range(4)
FAULTS = ("sound", "a token outside the vocabulary", "an operator without arguments", "unbalanced brackets")

_MIN, _MAX, _MED, _SM, _CLOSE, _ZERO = (
    VOCABULARY.index(word) + 1 for word in ("[MIN", "[MAX", "[MED", "[SM", "]", "0")
)


def solve(tokens: NDArray[np.uint8], offsets: NDArray[np.int32], found: NDArray[np.int64]) -> None:
    """Evaluate each row tokens[offsets[i] : offsets[i + 1]].

    found, int64 of shape (rows, 6), receives fault, value, depth (operators open at once), fewest and most arguments of
    any operator, and the operators used (bit i for the word i of the vocabulary). If there is a fault, only the first
    entry is valid.
    """
    longest = int(np.diff(offsets[: len(found) + 1]).max(initial=0))
    _solve(tokens, offsets, found, *np.empty((3, longest + 1), np.int64))


@compiled
def _solve(
    tokens: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    found: NDArray[np.int64],
    operands: NDArray[np.int64],
    operators: NDArray[np.int64],
    bases: NDArray[np.int64],
) -> None:
    """See `solve`. operators: the open operators, innermost last. bases: where their arguments begin in `operands`."""
    for row in range(len(found)):
        num_operands = num_open = deepest = most = 0
        fewest = len(operands) - 1
        used = 0
        fault = SOUND
        for position in range(offsets[row], offsets[row + 1]):
            token = np.int64(tokens[position])
            if _ZERO <= token <= _ZERO + 9:
                operands[num_operands] = token - _ZERO
                num_operands += 1
            elif token in (_MIN, _MAX, _MED, _SM):
                operators[num_open] = token
                used |= 1 << (token - 1)
                bases[num_open] = num_operands
                num_open += 1
                deepest = max(deepest, num_open)
            elif token != _CLOSE:
                fault = STRAY_TOKEN
                break
            elif num_open == 0:
                fault = UNBALANCED
                break
            else:
                num_open -= 1
                arguments = operands[bases[num_open] : num_operands]
                if len(arguments) == 0:
                    fault = EMPTY_OPERATOR
                    break
                fewest = min(fewest, len(arguments))
                most = max(most, len(arguments))
                operands[bases[num_open]] = _apply(operators[num_open], arguments)
                num_operands = bases[num_open] + 1
        if fault == SOUND and (num_open != 0 or num_operands != 1):
            fault = UNBALANCED
        found[row, 0] = fault
        found[row, 1] = operands[0]
        found[row, 2] = deepest
        found[row, 3] = fewest
        found[row, 4] = most
        found[row, 5] = used


@compiled_part
def _apply(operator: np.int64, arguments: NDArray[np.int64]) -> np.int64:
    if operator == _SM:
        return np.int64(np.sum(arguments) % 10)
    _sort(arguments)
    if operator == _MIN:
        return arguments[0]
    if operator == _MAX:
        return arguments[-1]
    middle = len(arguments) // 2
    if len(arguments) % 2 == 1:
        return arguments[middle]
    return (arguments[middle - 1] + arguments[middle]) // 2


@compiled_part
def _sort(values: NDArray[np.int64]) -> None:
    """Insertion sort in place, since there are few values and np.sort allocates memory."""
    for i in range(1, len(values)):
        value = values[i]
        j = i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
