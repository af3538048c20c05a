"""The `lra-data` command. Commands parse options, call the functions of the package and print the results.

`lra_data/command_line.py` has the exit codes and errors. An interrupted command prints one line that says what is kept.
Heavy modules are imported inside the commands, so that `--help` is fast.
"""

from typing import NoReturn

import click

from lra_data import __version__
from lra_data.command_line import run
from lra_data.commands.build_command import BuildCommands
from lra_data.commands.check import audit, repair, status, verify
from lra_data.commands.cluster_scripts import script
from lra_data.commands.interop import export
from lra_data.commands.listing import list_tasks
from lra_data.commands.look import explain, info, show, stats
from lra_data.commands.reporting import report
from lra_data.commands.scoring import results, score
from lra_data.interrupts import say_when_interrupted

# What is kept after Ctrl-C. A command that is not listed only reads.
_AFTER_INTERRUPT = {
    "build": "finished shards are kept: run the same command again to continue",
    "verify": "the check is incomplete: its faults, if any, were not reported",
    "repair": "shards repaired so far are kept: run the same command again to repair the rest",
    "audit": "the check is incomplete: its faults, if any, were not reported",
    "stats": "no figures were printed",
    "report": "no page was written",
    "export": "nothing was exported: run the same command again to start over",
}


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="lra-data")
@click.pass_context
def cli(context: click.Context) -> None:
    """Build, verify and inspect the Long Range Arena datasets.

    TASK is a name such as listops, listops/mini or path-x. SET is the folder of a built set, such as data/listops/lra,
    or its address, such as s3://bucket/data/listops/lra. SET may also be a task name; examples are then generated on
    the fly.
    """
    say_when_interrupted(_AFTER_INTERRUPT.get(context.invoked_subcommand or "", ""))


@cli.command(
    "build",
    cls=BuildCommands,
    no_args_is_help=False,
    subcommand_metavar="TASK [OPTIONS]",
    short_help="Build a set, or finish an interrupted one.",
)
def build_group() -> None:
    """Build a set, or finish a set that an earlier run left unfinished. TASK may be TASK/PRESET, as in listops/mini."""


for _command in (
    list_tasks,
    info,
    status,
    verify,
    audit,
    repair,
    show,
    explain,
    stats,
    score,
    results,
    report,
    export,
    script,
):
    cli.add_command(_command)


def main() -> NoReturn:
    """Run the command and end the process with its exit code."""
    run("lra-data", cli)
