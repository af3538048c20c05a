"""The frozen token table of ListOps; reads and writes expressions as text.

Ids follow the order below: 0 is padding and never occurs in an example, 1 to 4 the operators, 5 the closing bracket,
6 to 15 the digits 0 to 9. The order is part of the task's version. (In the original, each process has its own order.)
"""

from collections.abc import Iterable

from lra_data.errors import UsageError
from lra_data.listops.config import OPERATORS, SPELLINGS

CLOSE = "]"
VOCABULARY = (*(f"[{name}" for name in OPERATORS), CLOSE, *(str(digit) for digit in range(10)))
CLOSE_ID = VOCABULARY.index(CLOSE) + 1
DIGIT_0_ID = VOCABULARY.index("0") + 1

# The paper and many readers use full operator names; the released files use short tokens.
_SPELLINGS = {f"[{name}": f"[{short}" for name, short in SPELLINGS.items()}
_IDS = {token: number for number, token in enumerate(VOCABULARY, start=1)}


def parse_tokens(text: str) -> list[int]:
    """Token ids of an expression such as `[MAX 4 3 [MIN 2 3 ] 1 ]`.

    Spaces around brackets are optional, the parentheses of the released files are ignored, and `[MEDIAN` and
    `[SUM_MOD` are accepted for `[MED` and `[SM`. Raises UsageError for any other word.
    """
    words = text.replace("(", " ").replace(")", " ").replace("[", " [").replace(CLOSE, f" {CLOSE} ").split()
    ids = []
    for position, word in enumerate(words):
        token = _SPELLINGS.get(word, word)
        if token not in _IDS:
            raise UsageError(f"word {position} of the expression is {word!r}; expected one of {' '.join(VOCABULARY)}")
        ids.append(_IDS[token])
    return ids


def format_tokens(ids: Iterable[int]) -> str:
    """The tokens with single spaces between them, as in `[MAX 4 3 [MIN 2 3 ] 1 ]`."""
    return " ".join(VOCABULARY[number - 1] for number in ids)
