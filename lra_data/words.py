"""Words that depend on a number, and names as they are compared."""

import unicodedata


def counted(number: int, word: str) -> str:
    """`1 row` or `2,000 rows`, for words whose plural ends in s."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def plain(name: str) -> str:
    """A name without case and accents: Nyströmformer is nystromformer."""
    return "".join(char for char in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(char))
