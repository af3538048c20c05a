"""Which of several processes speaks, and how torchrun started them."""

import os

import click


def speaks() -> bool:
    """Whether this process speaks for all."""
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """Print a line, once for all processes."""
    if speaks():
        click.echo(text)


def torchrun() -> str:
    """The words before a command that torchrun started; none without it."""
    size, here = (os.environ.get(name, "1") for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if size == "1":
        return ""
    return f"torchrun --nproc-per-node={here} --no-python " if size == here else "the same torchrun command, of "
