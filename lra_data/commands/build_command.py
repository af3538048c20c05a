"""`lra-data build TASK`: one subcommand for each task, with flags made from the task's configuration dataclass."""

import dataclasses
import json
from typing import Any

import click

from lra_data import catalogue
from lra_data.commands.build_request import BuildRequest, request_of
from lra_data.errors import unknown_name
from lra_data.family import Family
from lra_data.interrupts import say_when_interrupted
from lra_data.splits import SPLITS

# The help of a family with more presets lists only their names.
_EXPLAINED_PRESETS = 8

_AGAIN = "run the same command again to continue"


class BuildCommands(click.Group):
    """One subcommand for each task folder and each alias, with flags from its configuration."""

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
    """The command called `name`. With a preset it builds that preset, and has no flag that chooses another."""
    shared = [
        click.Option(["--out"], default="data", show_default=True, help="Parent folder; the set is OUT/TASK/PRESET."),
        click.Option(
            ["--format", "formats"],
            multiple=True,
            help="Shard formats, comma-separated: arrow, parquet, webdataset.  [default: arrow]",
        ),
        click.Option(["--seed"], type=int, default=0, show_default=True, help="Seed of the examples."),
        click.Option(
            ["--num-shards"], type=int, help="Number of train shards.  [default: from split size and row width]"
        ),
        click.Option(
            ["--workers"],
            type=int,
            default=1,
            show_default=True,
            help="Number of processes; the files are the same for any number.",
        ),
        *(
            click.Option([f"--{split}"], type=int, help=f"Number of {split} examples.  [default: the preset's]")
            for split in SPLITS
        ),
        click.Option(["--overwrite"], is_flag=True, help="Remove an earlier set from the folder and start again."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print a summary as JSON."),
    ]

    def run(as_json: bool, **given: Any) -> None:
        _run_build(request_of(family, {"preset": preset} | given), as_json=as_json)

    chosen = f"{family}/{preset}" if preset else family
    return click.Command(
        name,
        params=[*([] if preset else choosing_options(family)), *config_options(family), *shared],
        callback=run,
        help=f"Build a set of {chosen}. Flags override single parameters of the preset.",
        short_help=f"Build a set of {chosen}.",
        context_settings={"max_content_width": 120},
    )


def _run_build(request: BuildRequest, *, as_json: bool) -> None:
    from lra_data.building.build_set import build, set_path
    from lra_data.commands.progress import shown_progress, shown_transfer
    from lra_data.store.manifest import MANIFEST

    # With --overwrite, the same command would remove the finished shards.
    again = "run the same command without --overwrite to continue" if request.overwrite else _AGAIN
    if catalogue.family(request.family).corpus and (request.corpus is None or request.corpus.path is None):
        say_when_interrupted(f"the downloaded part is kept: {_AGAIN}")
    with shown_transfer() as transfer:
        task = request.task(transfer)
    say_when_interrupted(f"finished shards are kept: {again}")
    folder = set_path(request.root, task)
    was_complete = (folder / MANIFEST).exists() and not request.overwrite
    with shown_progress() as progress:
        manifest = build(
            task,
            request.root,
            formats=request.formats,
            num_shards=request.num_shards,
            workers=request.workers,
            seed=request.seed,
            sizes=request.sizes,
            overwrite=request.overwrite,
            progress=progress,
        )
    facts = {
        "set": str(folder),
        "was_complete": was_complete,
        "examples": sum(manifest.description.sizes.values()),
        "files": len(manifest.shards),
        "bytes": sum(shard.bytes for shard in manifest.shards),
    }
    notices = task.card.notices
    if as_json:
        click.echo(json.dumps(facts | ({"notices": notices} if notices else {})))
        return
    for notice in notices:
        click.echo(notice)
    verb = "already complete" if was_complete else "built"
    click.echo(f"{folder}: {verb}, {facts['examples']:,} examples in {facts['files']} files, {facts['bytes']:,} bytes")


def choosing_options(family: str) -> list[click.Option]:
    """`--preset`, the options for a corpus or release, and the family's selectors, which replace a preset."""
    declared = catalogue.family(family)
    presets = declared.presets
    default = next(iter(presets))
    if len(presets) <= _EXPLAINED_PRESETS:
        listed = "; ".join(f"{name} ({preset.summary})" for name, preset in presets.items())
    else:
        listed = f"{', '.join(presets)}; `lra-data list` describes them"
    options = [click.Option(["--preset"], help=f"Preset: {listed}.  [default: {default}]")]
    if declared.reads_release:
        options += [
            click.Option(
                ["--from-release"], metavar="DIR", help="Copy of the original release to convert; nothing is generated."
            ),
            click.Option(["--allow-partial"], is_flag=True, help="Leave out damaged files of the release, and say so."),
        ]
    options += corpus_options(declared)
    fields = dataclasses.fields(declared.config)
    for name, selector in declared.selectors.items():
        flags = [f"--{name}", *(f"--{field.name}" for field in fields if field.metadata.get("selector") == name), name]
        if selector.kind is bool:
            options.append(click.Option(flags, is_flag=True, default=None, help=f"{selector.help}."))
        else:
            text = f"{selector.help}.  [default: {selector.default}]"
            options.append(click.Option(flags, type=selector.kind, help=text))
    return options


def corpus_options(family: Family) -> list[click.Option]:
    """`--corpus`, `--pairs` and `--allow-partial`, for a task that converts a corpus."""
    named = {"corpus": family.corpus, "pairs": family.pairs}
    options = [click.Option([f"--{name}"], metavar="PATH", help=f"{takes}.") for name, takes in named.items() if takes]
    if options:
        options.append(
            click.Option(["--allow-partial"], is_flag=True, help="Build from an incomplete corpus, and say so.")
        )
    return options


def config_options(family: str) -> list[click.Option]:
    """One option for each field: `--max-depth`, ... Without the option, the field keeps the preset's value.

    A field that a selector chooses has no option of its own: its name is another spelling of the selector's.
    """
    default = next(iter(catalogue.presets(family)))
    options = []
    for field in dataclasses.fields(catalogue.family(family).config):
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
