"""Words that depend on a number."""


def counted(number: int, word: str) -> str:
    """`1 row` or `2,000 rows`, for words whose plural ends in s."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
