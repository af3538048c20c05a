"""`lra-data list`: the tasks and their presets."""

import json
from collections.abc import Iterator
from typing import Any

import click

from lra_data import catalogue
from lra_data.command_line import FAMILY
from lra_data.commands.options import JSON_OPTION
from lra_data.errors import unknown_name
from lra_data.text_tables import named_lines


@click.command("list", short_help="List tasks and presets.")
@click.argument("task", required=False, type=FAMILY)
@JSON_OPTION
def list_tasks(task: str | None, as_json: bool) -> None:
    """List tasks and presets, with the sizes of train, validation and test.

    With TASK, list all presets of this task; without, presets that differ only in size share a line.
    """
    if task is not None and task not in catalogue.families():
        raise unknown_name("task", task, catalogue.families())
    families = catalogue.families() if task is None else [task]
    if as_json:
        rows: list[dict[str, Any]] = [
            {"name": f"{family}/{name}", "sizes": dict(preset.sizes), "summary": preset.summary}
            for family in families
            for name, preset in catalogue.presets(family).items()
        ]
        click.echo(json.dumps(rows, indent=1))
        return
    for family in families:
        for line in _lines(family, grouped=task is None):
            click.echo(line)
    if task is None:
        click.echo("\nA task without a preset means its first: listops is listops/lra. `lra-data list")
        click.echo("TASK` lists every preset of a task, `lra-data info TASK/PRESET` describes one.")


def _lines(family: str, *, grouped: bool) -> Iterator[str]:
    """A line for the task with the sizes that its presets share, and one for each preset, group and alias."""
    declared = catalogue.family(family)
    common = {tuple(preset.sizes.items()) for preset in declared.presets.values()}
    shared = _sizes(common.pop()) if len(common) == 1 else ""
    yield f"{family}: {shared}" if shared else f"{family}:"
    entries = {}
    for name, preset in declared.presets.items():
        sizes = "" if shared else f"; {_sizes(preset.sizes.items())}"
        if grouped and preset.group:
            entries[f"{family}/{preset.group}"] = declared.groups[preset.group] + sizes
        else:
            entries[f"{family}/{name}"] = preset.summary + sizes
    for alias, name in declared.aliases.items():
        entries[alias] = f"another name of {family}/{name}"
    yield from named_lines(entries.items())


def _sizes(sizes: Any) -> str:
    return ", ".join(f"{size:,} {split}" for split, size in sizes)
