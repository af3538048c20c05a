"""What the commands `lra-data` and `lra-zoo` share: how they end, and what a shell completes.

Exit codes: 0 success, 1 faults found or the work could not continue, 2 wrong use, 130 interrupted. An expected error is
one line on stderr, `PROGRAM: error: …`. An error of any other type is a bug and prints its traceback.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from lra_data import catalogue
from lra_data.errors import LraDataError, UsageError
from lra_data.interrupts import answer_interrupts, end_interrupted, signal_that_came


def run(program: str, command: click.Command, *, check: Callable[[], None] | None = None) -> NoReturn:
    """Run a command line and end the process with its exit code.

    check: called first; it may raise LraDataError.
    """
    try:
        answer_interrupts(program)
        if check is not None:
            check()
        code = command.main(prog_name=program, standalone_mode=False)
        sys.stdout.flush()
    except LraDataError as error:
        _end(program, str(error), error.exit_code)
    except click.UsageError as error:
        command_path = error.ctx.command_path if error.ctx is not None else program
        _end(program, f"{error.format_message()} Try `{command_path} --help`.", UsageError.exit_code)
    except click.ClickException as error:
        _end(program, error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):
            raise error.__cause__ from None  # click takes it for the end of stdin, which no command reads
        end_interrupted()
    except BrokenPipeError:
        # The reader of our output has closed the pipe, as `head` does. Python's last flush would raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _end(program, str(error), 1)
    sys.exit(code if isinstance(code, int) else 0)


def _end(program: str, message: str, code: int) -> NoReturn:
    if signal_that_came() is not None:
        end_interrupted()  # the error follows from the signal, as when the same Ctrl-C killed a worker
    # The message stays one line, whatever characters file names and texts contain.
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in message)
    print(f"{program}: error: {shown}", file=sys.stderr)
    sys.exit(code)


class Named(click.ParamType[str]):
    """A text that a shell completes to one of some names.

    names: gives the names, when a shell asks.
    folders: whether a folder is completed where no name fits.
    """

    name = "text"

    def __init__(self, names: Callable[[], Iterable[str]], *, folders: bool = False) -> None:
        self._names, self._folders = names, folders

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin as the word does."""
        found = [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]
        return found or ([CompletionItem(incomplete, type="dir")] if self._folders else [])


def all_task_names() -> Iterator[str]:
    """Every name that TASK may be: families, aliases, TASK/PRESET."""
    yield from catalogue.families()
    yield from dict.fromkeys([*catalogue.aliases(), *catalogue.task_names()])


# The arguments TASK and SET, which may be a task's name or a folder.
FAMILY, SET = Named(catalogue.families), Named(all_task_names, folders=True)
