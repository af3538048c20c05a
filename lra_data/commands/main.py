"""The `lra-data` command. Commands parse, call the functions of the package and print; nothing is decided here.

Exit codes: 0 fine, 1 faults found or the build could not go on, 2 wrong use, 130 interrupted. Expected errors are one
line on stderr, and so is what an interrupted command left. Heavy modules are imported inside the commands, so that
`--help` costs nothing.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lra_data import __version__, catalogue
from lra_data.commands.build_command import BuildCommands, as_path
from lra_data.errors import LraDataError, UsageError
from lra_data.interrupts import answer_interrupts, end_interrupted, say_when_interrupted, signal_that_came
from lra_data.paths import local_path, write_failure

if TYPE_CHECKING:
    from lra_data.store.row_access import Rows

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_NAMED_FILES = 10
# What Ctrl-C leaves. A command that is not named only reads, and answers with its last line.
_AFTER_INTERRUPT = {
    "build": "finished shards are kept: run the same command again to go on",
    "verify": "the check is incomplete: its faults, if any, were not reported",
    "repair": "shards repaired so far are kept: run the same command again to repair the rest",
    "audit": "the check is incomplete: its faults, if any, were not reported",
    "stats": "no figures were printed",
    "export": "nothing was exported: run the same command again to start over",
}
RAW_OPTION = click.option("--raw", metavar="PATH", help="The corpus of a converted task: its archive or folder.")
PAIRS_OPTION = click.option("--pairs", metavar="DIR", help="The id lists of Retrieval, if its pairs are those.")
PARTIAL_OPTION = click.option("--allow-partial", is_flag=True, help="Also from a corpus that is not whole.")
SEED_OPTION = click.option("--seed", type=int, default=0, show_default=True, help="Seed of a virtual set.")


def virtual_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which set is meant where it was never written."""
    for option in (PARTIAL_OPTION, PAIRS_OPTION, RAW_OPTION, SEED_OPTION):
        command = option(command)
    return command


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="lra-data")
@click.pass_context
def cli(context: click.Context) -> None:
    """Build, verify and look at the Long Range Arena datasets.

    TASK is a name such as listops, listops/mini or path-x; SET is the folder of a built set, ROOT/TASK/PRESET. Where a
    command takes SET, a TASK stands for the set that was never written.
    """
    say_when_interrupted(_AFTER_INTERRUPT.get(context.invoked_subcommand or "", ""))


@cli.command("list")
@JSON_OPTION
def list_tasks(as_json: bool) -> None:
    """List tasks and presets."""
    rows: list[dict[str, Any]] = [
        {"name": f"{family}/{name}", "sizes": dict(preset.sizes), "summary": preset.summary}
        for family in catalogue.families()
        for name, preset in catalogue.presets(family).items()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        sizes = " / ".join(f"{size:,}" for size in row["sizes"].values())
        click.echo(f"{row['name']:<{width}} {sizes:<25} {row['summary']}")


@cli.command()
@click.argument("where", metavar="[SET]", required=False)
@click.option("--protocol", metavar="NAME", help="How another code base reads the tasks: lra-2020, s4, ….")
@click.option("--diff", metavar="NAME", help="Only where this protocol says otherwise.")
@JSON_OPTION
def info(where: str | None, protocol: str | None, diff: str | None, as_json: bool) -> None:
    """Say what a task or a built set is, or how a protocol reads the tasks."""
    if protocol is not None:
        _show_protocol(where, protocol, diff, as_json)
        return
    if where is None or diff is not None:
        raise UsageError("expected a SET, or --protocol NAME with or without --diff NAME")
    from lra_data.store.row_access import BuiltRows, open_rows

    rows = open_rows(where)
    task = rows.task
    facts: dict[str, Any] = {
        "name": task.name,
        "version": task.version,
        "config": task.record(),
        "sizes": rows.sizes,
        "columns": {field.name: str(field.type) for field in task.schema},
        "vocabulary": task.vocabulary,
        "vocab_size": task.vocab_size,
        "num_classes": task.num_classes,
        "max_length": task.max_length,
        "label": task.sheet.label_meaning,
        "source": task.sheet.source,
        **({"archives": task.raw_sources} if task.raw_sources else {}),
        "citation": task.sheet.citation,
        "license": f"{task.sheet.license} {task.sheet.license_page}".strip(),
        "history": task.sheet.history,
    }
    if isinstance(rows, BuiltRows):
        facts |= {"seed": rows.seed, "formats": rows.manifest.description.formats, "shards": len(rows.manifest.shards)}
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    click.echo(f"{task.sheet.title}: {task.sheet.description}")
    for name, value in facts.items():
        click.echo(f"  {name:<12} {_one_line(value)}")


def _show_protocol(where: str | None, name: str, other: str | None, as_json: bool) -> None:
    """Print a protocol, or where it differs from another, for all tasks or for that of `where`."""
    from lra_data.interop.protocol import differences, get_protocol, lines_of

    if other is None:
        entries: dict[str, Any] = {family: lines_of(reading) for family, reading in get_protocol(name).items()}
    else:
        entries = differences(name, other)
    if where is not None:
        from lra_data.store.row_access import open_rows

        family = open_rows(where).task.family
        entries = {family: entries[family]}
    if as_json:
        click.echo(json.dumps(entries, indent=1))
        return
    for family, lines in entries.items():
        click.echo(f"{family}: {name}" + (f" | {other}" if other is not None else ""))
        for entry, text in lines.items():
            click.echo(f"  {entry:<11} {text if other is None else ' | '.join(text)}")


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_one_line(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(str(item) for item in value)
    return str(value)


@cli.command("build", cls=BuildCommands, no_args_is_help=False)
def build_group() -> None:
    """Write a set, or finish one that an earlier run left unfinished."""


@cli.command()
@click.argument("where", metavar="SET")
@click.option("--quick", is_flag=True, help="Compare the files' digests only; decode and solve nothing.")
@RAW_OPTION
@PAIRS_OPTION
@JSON_OPTION
def verify(where: str, quick: bool, raw: str | None, pairs: str | None, as_json: bool) -> None:
    """Digest every file again and solve every row anew; exit 1 if anything is wrong.

    With --raw every row of a converted set is also compared with what stands in the corpus.
    """
    from lra_data.checking.verify import verify as find_faults
    from lra_data.store.row_access import BuiltRows, open_rows

    faults = find_faults(where, quick=quick, raw=as_path(raw), pairs=as_path(pairs))
    if as_json:
        click.echo(json.dumps([{"file": f.file, "index": f.index, "message": f.message} for f in faults], indent=1))
    else:
        for fault in faults:
            click.echo(str(fault))
        rows = open_rows(where)
        solved = "every label" if rows.task.derives_labels else "every row (labels cannot be derived)"
        if not isinstance(rows, BuiltRows):
            checked = solved
        elif raw is not None:
            checked = "digests, and every row compared with the corpus,"
        else:
            checked = "digests" if quick else f"digests and {solved}"
        click.echo(f"{where}: {f'{len(faults)} faults' if faults else f'{checked} as they should be'}")
    sys.exit(1 if faults else 0)


@cli.command()
@click.argument("folder", metavar="DIR")
@click.option("--res", type=int, help="Resolution, where DIR holds several.")
@click.option("--difficulty", help="easy, intermediate or hard, where DIR holds several.")
@click.option(
    "--traced", type=click.IntRange(0), default=1000, show_default=True, help="Pictures to solve; 0 for none."
)
@JSON_OPTION
def audit(folder: str, res: int | None, difficulty: str | None, traced: int, as_json: bool) -> None:
    """Check a copy of the original Pathfinder release; list every fault, and exit 1 if there are any."""
    from lra_data.pathfinder.released.audit import audit as find_faults

    found = find_faults(folder, resolution=res, difficulty=difficulty, traced=traced)
    if as_json:
        click.echo(json.dumps({"folder": str(found.folder), **found.facts, "faults": found.faults}, indent=1))
    else:
        for fault in found.faults:
            click.echo(fault)
        for name, value in found.facts.items():
            click.echo(f"  {name:<11} {_one_line(value)}")
        click.echo(f"{found.folder}: {f'{len(found.faults)} faults' if found.faults else 'as it should be'}")
    sys.exit(1 if found.faults else 0)


@cli.command()
@click.argument("set_folder", metavar="SET")
@RAW_OPTION
@PAIRS_OPTION
@JSON_OPTION
def repair(set_folder: str, raw: str | None, pairs: str | None, as_json: bool) -> None:
    """Make the damaged or missing shards of a built set again, byte for byte."""
    from lra_data.building.repair import repair as make_again

    def tell(name: str) -> None:
        click.echo(f"making {name} again", err=True)

    repaired = make_again(set_folder, raw=as_path(raw), pairs=as_path(pairs), progress=tell)
    click.echo(json.dumps(repaired) if as_json else f"{set_folder}: {len(repaired)} shards made again")


@cli.command()
@click.argument("where", metavar="SET")
@click.option("--split", default="train", show_default=True)
@click.option("--start", type=click.IntRange(0), default=0, show_default=True, help="First example.")
@click.option("--num", type=click.IntRange(1), help="How many.  [default: 3, of pictures 24]")
@click.option("--out", help="Where the contact sheet of pictures goes.  [default: TASK-PRESET-SPLIT-START.png, here]")
@virtual_options
@JSON_OPTION
def show(
    where: str,
    split: str,
    start: int,
    num: int | None,
    out: str | None,
    seed: int,
    raw: str | None,
    pairs: str | None,
    allow_partial: bool,
    as_json: bool,
) -> None:
    """Print examples; pictures go to a contact sheet."""
    from lra_data.arrow_columns import picture_shapes
    from lra_data.splits import split_name

    rows = _opened(where, seed, raw, pairs, allow_partial)
    name = split_name(split)
    has_pictures = bool(picture_shapes(rows.task.schema))
    count = num or (24 if has_pictures else 3)
    batch = rows.take(name, range(start, min(start + count, rows.sizes[name])) or [start])
    if out is not None and not has_pictures:
        raise UsageError(f"expected no --out for {rows.task.name}, whose examples are text, got {out}")
    for row in batch.to_pylist():
        click.echo(json.dumps(row) if as_json else f"{name} {row['index']}: {rows.task.show(row)}")
    if has_pictures and not as_json:
        _write_picture(out or _picture_name(rows.task.name, name, start), rows.task.contact_sheet(batch))


def _opened(where: str, seed: int, raw: str | None, pairs: str | None, allow_partial: bool) -> "Rows":
    """The rows of a set or of a task; a task that converts a corpus reads the one that is named, or the cached one."""
    from lra_data.store.row_access import BuiltRows, VirtualRows, open_rows

    rows = open_rows(where, seed=seed)
    given = raw is not None or pairs is not None or allow_partial
    if isinstance(rows, BuiltRows) and (given or seed not in (0, rows.seed)):
        raise UsageError(
            f"expected no --raw, --pairs, --allow-partial or --seed for {where}, which holds its rows: leave them out"
        )
    if not given:
        return rows
    return VirtualRows(rows.task.with_raw(as_path(raw), pairs=as_path(pairs), allow_partial=allow_partial), seed)


def _picture_name(task_name: str, *rest: str | int) -> str:
    return "-".join([task_name.replace("/", "-"), *map(str, rest)]) + ".png"


def _write_picture(path: str, picture: Any) -> None:
    from lra_data.picture_files import png_bytes

    file = local_path(path, "a file for the picture")
    try:
        file.write_bytes(png_bytes(picture))
    except OSError as error:
        raise write_failure(file, error) from error
    click.echo(f"wrote {file}")


@cli.command()
@click.argument("where", metavar="SET")
@click.argument("split")
@click.argument("index", type=int)
@click.option("--out", help="Where a picture's drawing goes.  [default: TASK-PRESET-SPLIT-INDEX-explained.png, here]")
@virtual_options
def explain(
    where: str,
    split: str,
    index: int,
    out: str | None,
    seed: int,
    raw: str | None,
    pairs: str | None,
    allow_partial: bool,
) -> None:
    """Show how the label of one example comes about; of a picture, also drawn large."""
    from lra_data.splits import split_name

    rows = _opened(where, seed, raw, pairs, allow_partial)
    name = split_name(split)
    row = rows.take(name, [index]).to_pylist()[0]
    click.echo(rows.task.explain(row))
    drawing = rows.task.drawing(row)
    if drawing is not None:
        _write_picture(out or _picture_name(rows.task.name, name, index, "explained"), drawing)
    elif out is not None:
        raise UsageError(f"expected no --out for {rows.task.name}, whose examples are text, got {out}")


@cli.command()
@click.argument("where", metavar="SET")
@virtual_options
@JSON_OPTION
def stats(where: str, seed: int, raw: str | None, pairs: str | None, allow_partial: bool, as_json: bool) -> None:
    """Print distributions, duplicates of a corpus, and the accuracy of trivial predictors."""
    from lra_data.checking.set_statistics import statistics

    figures = statistics(_opened(where, seed, raw, pairs, allow_partial))
    if as_json:
        click.echo(json.dumps(figures, indent=1))
        return
    click.echo(f"{figures['task']}, seed {figures['seed']}")
    for split, facts in figures["splits"].items():
        click.echo(f"{split}: {facts['examples']:,} examples")
        click.echo("  labels  " + "  ".join(f"{label} {share:.2%}" for label, share in facts["label_shares"].items()))
        for name, values in facts["measures"].items():
            click.echo(f"  {name:<7} " + "  ".join(f"{key} {value:,.1f}" for key, value in values.items()))
    click.echo("trivial predictors, learned on train, measured on validation and test (95 % interval):")
    for name, score in figures["trivial_predictors"].items():
        click.echo(f"  {name:<16} {score['accuracy']:.2%} ({score['low']:.2%} to {score['high']:.2%})")
    for name, value in figures["figures"].items():
        click.echo(f"{name}: {_one_line(value) or 'none'}")


@cli.command()
@click.argument("where", metavar="SET")
@click.option(
    "--layout",
    metavar="NAME",
    default="lra-release",
    show_default=True,
    help="lra-release: the original's files (ListOps, Retrieval, Pathfinder). nystromformer, skyformer: their pickles. "
    "s4: what S4 and S5 read (Text as imdb/*.parquet, and the original's files in S4's folders). mega: what Mega's "
    "fairseq tasks read (pictures as input/*.src and label/*.label, the others as src-bin, label-bin and dict.txt).",
)
@click.option("--out", metavar="DIR", required=True, help="A new folder, or one with other sets of the layout.")
@click.option(
    "--ascii",
    "ascii_only",
    is_flag=True,
    help="In Retrieval's TSV files (lra-release, s4) write each byte that is not printable ASCII as a space.",
)
@virtual_options
def export(
    where: str,
    layout: str,
    out: str,
    ascii_only: bool,
    seed: int,
    raw: str | None,
    pairs: str | None,
    allow_partial: bool,
) -> None:
    """Write a set in another layout, into a folder that may hold other sets; never over files that are there."""
    from lra_data.interop.export import export as write_layout

    def warn(message: str) -> None:
        click.echo(f"lra-data: warning: {message}", err=True)

    rows = _opened(where, seed, raw, pairs, allow_partial)
    written = write_layout(rows, out, layout=layout, ascii_only=ascii_only, tell=click.echo, warn=warn)
    for path in written[:_NAMED_FILES]:
        click.echo(f"wrote {path}")
    if len(written) > _NAMED_FILES:
        click.echo(f"and {len(written) - _NAMED_FILES:,} files more in {out}")


def main() -> NoReturn:
    """Run the command and end the process with its exit code."""
    try:
        answer_interrupts("lra-data")
        code = cli.main(prog_name="lra-data", standalone_mode=False)
        sys.stdout.flush()
    except LraDataError as error:
        _end(f"error: {error}", error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "lra-data"
        _end(f"error: {error.format_message()} Try `{command} --help`.", UsageError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        end_interrupted()
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`. Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _end(f"error: {error}", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _end(message: str, code: int) -> NoReturn:
    if signal_that_came() is not None:
        end_interrupted()  # such as a worker that the same Ctrl-C killed
    # One line, whatever names of files and texts hold.
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in message)
    print(f"lra-data: {shown}", file=sys.stderr)
    sys.exit(code)
