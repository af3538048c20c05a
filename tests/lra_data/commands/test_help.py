"""Help texts: summaries and lines fit an 80-column terminal, and every option is described by a sentence."""

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from lra_data.commands import main as lra_data
from reference_models.commands import main as lra_zoo

_WIDTH = 80
_COMMANDS = {"lra-data": lra_data.cli, "lra-zoo": lra_zoo.cli}


def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """The command and all its subcommands, with their full names."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield from walk(f"{name} {sub}", found)


ALL = [pytest.param(name, found, id=name) for root, cli in _COMMANDS.items() for name, found in walk(root, cli)]


def help_of(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(_WIDTH))
    root, *rest = name.split()
    result = CliRunner().invoke(_COMMANDS[root], [*rest, "--help"], prog_name=root)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize(("name", "command"), ALL)
def test_help_fits_the_terminal(name: str, command: click.Command, monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of(name, monkeypatch)
    assert [line for line in text.splitlines() if len(line) > _WIDTH] == []
    if isinstance(command, click.Group):
        summaries = text.partition("\nCommands:\n")[2].splitlines()
        # A summary that is too long for its line is cut off by "..." or continued on the next one.
        assert [line for line in summaries if line.endswith("...")] == []
        assert len(summaries) == len(command.list_commands(click.Context(command)))


@pytest.mark.parametrize(("name", "command"), ALL)
def test_options_are_described_by_a_sentence(name: str, command: click.Command) -> None:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    # "[default: 3]" and "[lra: 10]" are appended to the sentence.
    texts = {option.name: re.sub(r" +\[[^\]]*\]$", "", option.help or "") for option in options}
    assert {name: text for name, text in texts.items() if not re.fullmatch(r"[A-Z].*\.", text, re.DOTALL)} == {}
