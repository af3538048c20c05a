"""`lra-data build TASK`: one subcommand a task, with flags made from the task's configuration dataclass."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import click

from lra_data import catalogue
from lra_data.errors import unknown_name


class BuildCommands(click.Group):
    """One subcommand a task folder, with flags from its configuration."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names of the task folders."""
        return catalogue.families()

    def get_command(self, context: click.Context, name: str) -> click.Command:
        """The command for one task; an unknown name is an error that lists the known ones."""
        if name not in catalogue.families():
            raise unknown_name("task", name, catalogue.families())
        return _build_command(name)


def _build_command(family: str) -> click.Command:
    shared = [
        click.Option(["--out"], default="data", show_default=True, help="ROOT; the set is ROOT/TASK/PRESET."),
        click.Option(
            ["--format", "formats"],
            multiple=True,
            help="arrow, parquet, webdataset; several by commas.  [default: arrow]",
        ),
        click.Option(["--seed"], type=int, default=0, show_default=True, help="Another seed, other examples."),
        click.Option(["--num-shards"], type=int, help="Files of train.  [default: from size and row width]"),
        click.Option(
            ["--workers"], type=int, default=1, show_default=True, help="Processes; the bytes do not depend on it."
        ),
        click.Option(["--train"], type=int, help="Examples in train.  [default: the preset's]"),
        click.Option(["--validation"], type=int, help="Examples in validation."),
        click.Option(["--test"], type=int, help="Examples in test."),
        click.Option(
            ["--overwrite"], is_flag=True, help="Remove what the folder holds of an earlier set, and start anew."
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print a summary as JSON."),
    ]

    def run(**given: Any) -> None:
        _run_build(family, given)

    return click.Command(
        family,
        params=[*config_options(family), *shared],
        callback=run,
        help=f"Write a set of {family}. Flags override single parameters of the preset.",
        context_settings={"max_content_width": 120},
    )


def _run_build(family: str, given: dict[str, Any]) -> None:
    from lra_data.building.run_build import build, set_path
    from lra_data.progress import shown_progress
    from lra_data.store.manifest import MANIFEST

    task = catalogue.get_task(chosen_config(family, given["preset"], given))
    folder = set_path(given["out"], task)
    was_complete = (folder / MANIFEST).exists() and not given["overwrite"]
    with shown_progress() as progress:
        manifest = build(
            task,
            given["out"],
            formats=[name for text in given["formats"] for name in text.split(",")] or ["arrow"],
            num_shards=given["num_shards"],
            workers=given["workers"],
            seed=given["seed"],
            sizes={split: given[split] for split in task.sizes if given[split] is not None},
            overwrite=given["overwrite"],
            progress=progress,
        )
    facts = {
        "set": str(folder),
        "was_complete": was_complete,
        "examples": sum(manifest.description.sizes.values()),
        "files": len(manifest.shards),
        "bytes": sum(shard.bytes for shard in manifest.shards),
    }
    if given["as_json"]:
        click.echo(json.dumps(facts))
        return
    verb = "already complete" if was_complete else "built"
    click.echo(f"{folder}: {verb}, {facts['examples']:,} examples in {facts['files']} files, {facts['bytes']:,} bytes")


def config_options(family: str) -> list[click.Option]:
    """One option a field: `--max-depth`, ... An option not given leaves the preset's value."""
    presets = catalogue.presets(family)
    default = next(iter(presets))
    options = [
        click.Option(
            ["--preset"],
            help="; ".join(f"{name}: {preset.summary}" for name, preset in presets.items())
            + f".  [default: {default}]",
        )
    ]
    for field in dataclasses.fields(catalogue.config_class(family)):
        is_tuple = isinstance(field.default, tuple)
        shown = ",".join(field.default) if is_tuple else field.default  # type: ignore[arg-type]
        options.append(
            click.Option(
                [f"--{field.name.replace('_', '-')}", field.name],
                type=str if is_tuple else type(field.default),
                metavar="A,B,…" if is_tuple else None,
                help=f"{field.metadata['help']}.  [{default}: {shown}]",
            )
        )
    return options


def chosen_config(family: str, preset: str | None, given: Mapping[str, Any]) -> Any:
    """The preset's configuration with the options that were given in place of its values."""
    presets = catalogue.presets(family)
    name = preset or next(iter(presets))
    if name not in presets:
        raise unknown_name(f"{family} preset", name, presets)
    changes = {
        field.name: tuple(given[field.name].split(",")) if isinstance(field.default, tuple) else given[field.name]
        for field in dataclasses.fields(catalogue.config_class(family))
        if given.get(field.name) is not None
    }
    return dataclasses.replace(presets[name].config, **changes)
