"""`lra-data build TASK`: one subcommand a task, with flags made from the task's configuration dataclass."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from lra_data import catalogue
from lra_data.errors import UsageError, unknown_name
from lra_data.interrupts import say_when_interrupted
from lra_data.paths import local_path, optional_path

# A family with more presets has their names only in its help.
_EXPLAINED_PRESETS = 8

_AGAIN = "run the same command again to go on"


class BuildCommands(click.Group):
    """One subcommand a task folder and one an alias, with flags from its configuration."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names of the task folders and the aliases."""
        return [*catalogue.families(), *catalogue.aliases()]

    def get_command(self, context: click.Context, name: str) -> click.Command:
        """The command for one task; an unknown name is an error that lists the known ones."""
        if name in catalogue.aliases():
            family, _, preset = catalogue.aliases()[name].partition("/")
            return _build_command(name, family, preset)
        if name not in catalogue.families():
            raise unknown_name("task", name, self.list_commands(context))
        return _build_command(name, name, None)


def _build_command(name: str, family: str, preset: str | None) -> click.Command:
    """The command called `name`; with a preset it builds that one, and takes no flag that chooses another."""
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
        _run_build(family, {"preset": preset} | given)

    chosen = f"{family}/{preset}" if preset else family
    return click.Command(
        name,
        params=[*([] if preset else choosing_options(family)), *config_options(family), *shared],
        callback=run,
        help=f"Write a set of {chosen}. Flags override single parameters of the preset.",
        context_settings={"max_content_width": 120},
    )


def _run_build(family: str, given: dict[str, Any]) -> None:
    from lra_data.building.build_set import build, set_path
    from lra_data.commands.progress import shown_progress, shown_transfer
    from lra_data.store.manifest import MANIFEST

    # The same command would remove them with --overwrite.
    again = "run the same command without --overwrite to go on" if given["overwrite"] else _AGAIN
    if catalogue.raw_inputs(family) and given["raw"] is None:
        say_when_interrupted(f"what was downloaded is kept: {_AGAIN}")
    task = _converted(family, given) if given.get("from_release") else catalogue.get_task(chosen_config(family, given))
    if catalogue.raw_inputs(family):
        with shown_transfer() as transfer:
            task = task.with_raw(
                as_path(given["raw"]),
                pairs=as_path(given.get("pairs")),
                allow_partial=given["allow_partial"],
                fetch=transfer,
            )
    say_when_interrupted(f"finished shards are kept: {again}")
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
        click.echo(json.dumps(facts | ({"notices": task.notices} if task.notices else {})))
        return
    for notice in task.notices:
        click.echo(notice)
    verb = "already complete" if was_complete else "built"
    click.echo(f"{folder}: {verb}, {facts['examples']:,} examples in {facts['files']} files, {facts['bytes']:,} bytes")


def _converted(family: str, given: dict[str, Any]) -> Any:
    """The task that reads a copy of the original release; options that would draw other examples are refused."""
    fields = [field.name for field in dataclasses.fields(catalogue.config_class(family))]
    refused = [name for name in ("preset", *fields, "train", "validation", "test") if given.get(name) is not None]
    if given["seed"]:
        refused.append("seed")
    if refused:
        flag = refused[0].replace("_", "-")
        raise UsageError(f"expected no --{flag} with --from-release, whose examples are what they are: leave it out")
    folder = local_path(given["from_release"], "a copy of the release")
    return catalogue.from_release(family, folder, given, allow_partial=given["allow_partial"])


def as_path(given: str | None) -> Path | None:
    """A path given on the command line; raises UsageError for an empty one, as from a variable that is not set."""
    if given is not None and not given.strip():
        raise UsageError(f"expected a path, got {given!r}: leave the option out, or name a file or folder")
    return optional_path(given, "a file or folder")


def choosing_options(family: str) -> list[click.Option]:
    """`--preset`, and the family's selectors, which choose a configuration in another way."""
    presets = catalogue.presets(family)
    default = next(iter(presets))
    if len(presets) <= _EXPLAINED_PRESETS:
        listed = "; ".join(f"{name}: {preset.summary}" for name, preset in presets.items())
    else:
        listed = f"{', '.join(presets)}; `lra-data list` says what they are"
    options = [click.Option(["--preset"], help=f"{listed}.  [default: {default}]")]
    if catalogue.reads_release(family):
        options += [
            click.Option(["--from-release"], metavar="DIR", help="Convert this copy of the original release instead."),
            click.Option(["--allow-partial"], is_flag=True, help="Leave damaged files of the release out, and say so."),
        ]
    options += raw_options(family)
    fields = dataclasses.fields(catalogue.config_class(family))
    for name, (kind, standard, meaning) in catalogue.selectors(family).items():
        flags = [f"--{name}", *(f"--{field.name}" for field in fields if field.metadata.get("selector") == name), name]
        if kind is bool:
            options.append(click.Option(flags, is_flag=True, default=None, help=f"{meaning}."))
        else:
            options.append(click.Option(flags, type=kind, help=f"{meaning}.  [default: {standard}]"))
    return options


def raw_options(family: str) -> list[click.Option]:
    """`--raw` and its like, for a task that converts a corpus."""
    inputs = catalogue.raw_inputs(family)
    options = [click.Option([f"--{name}"], metavar="PATH", help=f"{takes}.") for name, takes in inputs.items()]
    if inputs:
        options.append(
            click.Option(["--allow-partial"], is_flag=True, help="Build what is there of the corpus, and say so.")
        )
    return options


def config_options(family: str) -> list[click.Option]:
    """One option a field: `--max-depth`, ... An option not given leaves the preset's value.

    A field that a selector chooses has none of its own: its name is another spelling of the selector's.
    """
    default = next(iter(catalogue.presets(family)))
    options = []
    for field in dataclasses.fields(catalogue.config_class(family)):
        if "selector" in field.metadata:
            continue
        flag = field.name.replace("_", "-")
        is_tuple, is_switch = isinstance(field.default, tuple), isinstance(field.default, bool)
        shown = ",".join(f"{item}" for item in field.default) if is_tuple else field.default  # type: ignore[union-attr]
        options.append(
            click.Option(
                [f"--{flag}/--no-{flag}" if is_switch else f"--{flag}", field.name],
                type=str if is_tuple else type(field.default),
                default=None,
                metavar="A,B,…" if is_tuple else None,
                help=f"{field.metadata['help']}.  [{default}: {shown}]",
            )
        )
    return options


def chosen_config(family: str, given: Mapping[str, Any]) -> Any:
    """The configuration of the preset or selectors, with the options that were given in place of its values."""
    presets = catalogue.presets(family)
    selected = [name for name in catalogue.selectors(family) if given.get(name) is not None]
    if given.get("allow_partial") and catalogue.reads_release(family):
        raise UsageError("expected --allow-partial together with --from-release, got it alone")
    if given["preset"] is not None:
        if selected:
            raise UsageError(f"expected either --preset or --{selected[0]}, got both: leave one out")
        if given["preset"] not in presets:
            raise unknown_name(f"{family} preset", given["preset"], presets)
        config = presets[given["preset"]].config
    elif selected:
        config = catalogue.select(family, given)
    else:
        config = next(iter(presets.values())).config
    changes = {
        field.name: _values(field.name, field.default, given[field.name])
        if isinstance(field.default, tuple)
        else given[field.name]
        for field in dataclasses.fields(catalogue.config_class(family))
        if given.get(field.name) is not None
    }
    return dataclasses.replace(config, **changes)


def _values(name: str, default: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    """`A,B,…` as values of the kind that the field's default has."""
    kind = type(default[0])
    try:
        return tuple(kind(item) for item in text.split(","))
    except ValueError as error:
        wanted = "whole numbers" if kind is int else "numbers"
        raise UsageError(f"expected {wanted} separated by commas as {name}, got {text!r}") from error
