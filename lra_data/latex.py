"""Text for LaTeX: the signs that have a meaning there are escaped."""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
}


def escaped(text: str) -> str:
    """The text as LaTeX prints it, on one line; an en dash becomes two hyphens."""
    return "".join(_ESCAPES.get(letter, letter) for letter in " ".join(text.split()))


def comment(text: str) -> str:
    """The text as lines of comments, which LaTeX leaves out."""
    return "".join(f"% {line}\n" for line in text.splitlines())
