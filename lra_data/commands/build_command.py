"""`lra-data build TASK`: one subcommand for each task, with flags made from the task's configuration dataclass."""

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from lra_data import catalogue
from lra_data.command_line import Named, all_task_names
from lra_data.commands.build_request import BuildRequest, request_of
from lra_data.errors import unknown_name
from lra_data.interrupts import say_when_interrupted
from lra_data.paths import shown_address
from lra_data.splits import SPLITS
from lra_data.words import counted

if TYPE_CHECKING:
    from lra_data.building.part_builds import PartReport
    from lra_data.building.parts import Part
    from lra_data.building.plan import SetOptions

# The help of a family with more presets lists only their names.
_EXPLAINED_PRESETS = 8

_AGAIN = "run the same command again to continue"


class BuildCommands(click.Group):
    """One subcommand for each task folder and each alias, with flags from its configuration."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Names of the task folders and the aliases."""
        return [*catalogue.families(), *catalogue.aliases()]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The tasks and aliases, and the presets of each: TASK/PRESET is a command, too."""
        found = super().shell_complete(ctx, incomplete)
        known = {item.value for item in found}
        named = [name for name in all_task_names() if name.startswith(incomplete) and name not in known]
        return found + [CompletionItem(name) for name in named if "/" in incomplete]

    def get_command(self, context: click.Context, name: str) -> click.Command:
        """The command for a task, an alias or TASK/PRESET; an unknown name is an error that lists the known ones."""
        family, slash, preset = catalogue.aliases().get(name, name).partition("/")
        if family not in catalogue.families():
            raise unknown_name("task", name, self.list_commands(context), also=catalogue.task_names())
        if not slash:
            return _build_command(name, family, None)
        if preset not in catalogue.presets(family):
            raise unknown_name(f"{family} preset", preset, catalogue.presets(family))
        return _build_command(name, family, preset)


def _build_command(name: str, family: str, preset: str | None) -> click.Command:
    """The command called `name`. With a preset it builds that preset, and has no flag that chooses another."""
    shared = [
        click.Option(
            ["--out"],
            default="data",
            show_default=True,
            help="Parent folder, or an address such as s3://bucket/data; the set is OUT/TASK/PRESET.",
        ),
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
            help="Number of processes; the files are the same for any number.  [default: 1]",
        ),
        click.Option(
            ["--engine"],
            default="local",
            show_default=True,
            help="Runs the jobs: local (processes here), ray or dask (a cluster that is running).",
        ),
        click.Option(
            ["--part"],
            metavar="I/N",
            help="Build only part I of N, counted from 0 as in a job array; auto or auto/N asks the scheduler.",
        ),
        click.Option(
            ["--finish"], is_flag=True, help="Complete a set whose parts were built; --workers makes missing ones."
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
        params=[*(corpus_options(family) if preset else choosing_options(family)), *config_options(family), *shared],
        callback=run,
        help=f"Build a set of {chosen}. Flags override single parameters of the preset.",
        short_help=f"Build a set of {chosen}.",
        context_settings={"max_content_width": 120},
    )


def _run_build(request: BuildRequest, *, as_json: bool) -> None:
    from lra_data.building.build_set import build
    from lra_data.building.engines.engine import get_engine
    from lra_data.building.part_builds import build_part, finish_build
    from lra_data.building.parts import parse_part
    from lra_data.building.shard_job import is_finished
    from lra_data.commands.progress import shown_progress, shown_transfer
    from lra_data.store.outputs.choice import output_at, set_place

    # With --overwrite, the same command would remove the finished shards.
    again = "run the same command without --overwrite to continue" if request.overwrite else _AGAIN
    part = None if request.part is None else parse_part(request.part)
    if catalogue.family(request.family).corpus and (request.corpus is None or request.corpus.path is None):
        say_when_interrupted(f"the downloaded part is kept: {_AGAIN}")
    with shown_transfer() as transfer:
        task = request.task(transfer)
    say_when_interrupted(f"finished shards are kept: {again}")
    place = set_place(request.root, task)
    was_complete = not request.overwrite and is_finished(output_at(place))
    where = shown_address(place) if isinstance(place, str) else str(place)
    options: SetOptions = {
        "formats": request.formats,
        "num_shards": request.num_shards,
        "seed": request.seed,
        "sizes": request.sizes,
    }
    engine = get_engine(request.engine, request.workers)
    with shown_progress() as progress:
        if part is not None:
            report = build_part(task, request.root, part, engine=engine, progress=progress, **options)
        elif request.finish:
            makes_missing = request.workers is not None or request.engine != "local"
            manifest = finish_build(
                task, request.root, engine=engine if makes_missing else None, progress=progress, **options
            )
        else:
            manifest = build(
                task, request.root, engine=engine, overwrite=request.overwrite, progress=progress, **options
            )
    if part is not None:
        _tell_part(where, part, report, as_json=as_json)
        return
    facts: dict[str, Any] = {
        "set": where,
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
    examples, files = counted(facts["examples"], "example"), counted(facts["files"], "file")
    click.echo(f"{where}: {verb}, {examples} in {files}, {counted(facts['bytes'], 'byte')}")


def _tell_part(where: str, part: "Part", report: "PartReport", *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"set": where, "part": part.index, "parts": part.count, **dataclasses.asdict(report)}))
    elif report.complete:
        click.echo(f"{where}: the set is already complete")
    else:
        click.echo(
            f"{where}: part {part.index} of {part.count} built, {counted(report.ranges, 'row range')}, "
            f"{report.made} of them new"
        )


def choosing_options(family: str) -> list[click.Option]:
    """`--preset`, the options for a corpus or release, and the family's selectors, which replace a preset."""
    declared = catalogue.family(family)
    presets = declared.presets
    default = next(iter(presets))
    if len(presets) <= _EXPLAINED_PRESETS:
        listed = "; ".join(f"{name} ({preset.summary})" for name, preset in presets.items())
    else:
        listed = f"{', '.join(presets)}; `lra-data list` describes them"
    options = [click.Option(["--preset"], type=Named(lambda: presets), help=f"Preset: {listed}.  [default: {default}]")]
    if declared.reads_release:
        options += [
            click.Option(
                ["--from-release"], metavar="DIR", help="Copy of the original release to convert; nothing is generated."
            ),
            click.Option(["--allow-partial"], is_flag=True, help="Leave out damaged files of the release, and say so."),
        ]
    options += corpus_options(family)
    fields = dataclasses.fields(declared.config)
    for name, selector in declared.selectors.items():
        flags = [f"--{name}", *(f"--{field.name}" for field in fields if field.metadata.get("selector") == name), name]
        if selector.kind is bool:
            options.append(click.Option(flags, is_flag=True, default=None, help=f"{selector.help}."))
        else:
            text = f"{selector.help}.  [default: {selector.default}]"
            options.append(click.Option(flags, type=selector.kind, help=text))
    return options


def corpus_options(family: str) -> list[click.Option]:
    """`--corpus`, `--pairs` and `--allow-partial`, for a task that converts a corpus."""
    declared = catalogue.family(family)
    named = {"corpus": declared.corpus, "pairs": declared.pairs}
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
