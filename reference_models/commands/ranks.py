"""Which of several processes prints, and how torchrun started them."""

import os

import click


def speaks() -> bool:
    """Whether this process prints for all: the first of torchrun, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a line, in the first process only."""
    if speaks():
        click.echo(text)


def torchrun() -> str:
    """The words to put before the command so that torchrun starts it; empty without torchrun."""
    size, here = (os.environ.get(name, "1") for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if size == "1":
        return ""
    return f"torchrun --nproc-per-node={here} --no-python " if size == here else "the same torchrun command, of "
