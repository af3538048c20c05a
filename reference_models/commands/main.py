"""The command `lra-zoo`: `list`, `describe` and `draw`, and the commands of the other modules in this folder.

Torch is loaded by the commands that need it.
"""

import importlib
import importlib.util
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lra_data import UsageError, __version__, command_line, interrupts, optional_import, text_tables
from reference_models.commands import names
from reference_models.commands.evaluating import check, evaluate
from reference_models.commands.measuring import efficiency, span, table
from reference_models.commands.plotting import plot
from reference_models.commands.progress import shown_count
from reference_models.commands.reporting import report
from reference_models.commands.shared_options import attention_option, load_attentions
from reference_models.commands.testing import test
from reference_models.commands.training import pretrain, sweep, train

if TYPE_CHECKING:
    from reference_models.model.classifier import Classifier

# What remains after Ctrl-C. `train` and `sweep` print their own text; `list` and `describe` only read.
_AFTER_INTERRUPT = {
    "evaluate": "no score was computed",
    "check": "the check is incomplete: its findings, if any, were not reported",
    "table": "no table was made",
    "plot": "no figure was drawn",
    "efficiency": "cells that were measured are kept: run the same command again to continue",
    "span": "no figures were printed",
    "report": "no page was written",
    "test": "the remaining properties were not tried",
    "draw": "pictures that were drawn are kept: run the same command again to draw all",
}

_TASK_HELP = "Task: listops, text, retrieval, image or pathfinder."


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="lra-zoo")
@click.pass_context
def cli(context: click.Context) -> None:
    """X-formers in one encoder, the zoo's and your own: list, test, train, evaluate and measure them."""
    interrupts.say_when_interrupted(_AFTER_INTERRUPT.get(context.invoked_subcommand or "", ""))


@cli.command("list", short_help="List the models.")
@click.option(
    "--preset",
    type=names.PRESET,
    default="mini",
    show_default=True,
    help="Preset: lra-paper, lra-release, xiong, mini, mini-pixels, mini-bytes or published.",
)
@click.option("--task", type=command_line.FAMILY, default="listops", show_default=True, help=_TASK_HELP)
@click.option("--survey", is_flag=True, help="List the rows of the survey's table instead, here or not.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@attention_option
def list_models(preset: str, task: str, survey: bool, as_json: bool, attentions: Sequence[str]) -> None:
    """List the models: family, cost in the length L, paper, and number of parameters in a preset.

    With --survey, list the 33 rows of the table of "Efficient Transformers: A Survey": which of them are here, and
    which mix no tokens.
    """
    if survey:
        _list_survey(as_json)
        return
    from reference_models.attention.catalogue import attention_class, attention_names
    from reference_models.model.classifier import count_parameters

    rows = []
    models = [*attention_names(), *load_attentions(attentions)]
    with shown_count("counting parameters", len(models)) as progress:
        for name in models:
            found = attention_class(name)
            rows.append(
                {
                    "model": name,
                    "family": found.family,
                    "cost": found.cost,
                    "paper": found.paper,
                    "parameters": count_parameters(_made(preset, task, name)),
                }
            )
            progress(1)
    if as_json:
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    heads = list(rows[0])
    cells = [[f"{row[head]:,}" if head == "parameters" else str(row[head]) for head in heads] for row in rows]
    click.echo("\n".join(text_tables.table_lines(heads, cells, right=["parameters"])))


def _list_survey(as_json: bool) -> None:
    from reference_models.results.survey import SURVEY

    if as_json:
        click.echo(json.dumps([row._asdict() for row in SURVEY], indent=1, ensure_ascii=False))
        return
    cells = [[row.name, row.paper, row.classes, row.cost, row.model or f"none: {row.reason}"] for row in SURVEY]
    click.echo("\n".join(text_tables.table_lines(["survey's row", "paper", "class", "cost", "model"], cells)))
    here = sum(row.model is not None for row in SURVEY)
    click.echo(f"{len(SURVEY)} rows: {here} are here, {len(SURVEY) - here} are no token mixers")


@cli.command(short_help="Describe a model.")
@click.argument("model", type=names.MODEL)
@click.option(
    "--preset",
    type=names.PRESET,
    default="mini",
    show_default=True,
    help="Preset: lra-paper, lra-release, xiong, mini, mini-pixels, mini-bytes or published.",
)
@click.option("--task", type=command_line.FAMILY, default="listops", show_default=True, help=_TASK_HELP)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@attention_option
def describe(model: str, preset: str, task: str, as_json: bool, attentions: Sequence[str]) -> None:
    """Print what MODEL computes, where it differs from its paper, and its configuration in a preset."""
    from dataclasses import fields

    from reference_models.attention.catalogue import attention_class
    from reference_models.model.classifier import count_parameters
    from reference_models.model.presets import preset as preset_of

    load_attentions(attentions)
    found = attention_class(model)
    if as_json:
        config, made = preset_of(preset, task=task, attention=model), _made(preset, task, model)
        facts: dict[str, Any] = {"model": model, "family": found.family, "cost": found.cost, "paper": found.paper}
        facts |= {"preset": preset, "task": task, "parameters": count_parameters(made)}
        facts["config"] = {field.name: getattr(config, field.name) for field in fields(config)}
        facts["config"]["options"] = dict(config.options)
        facts["never_trained"] = dict(made.never_trained)
        click.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    click.echo(f"{model}: {found.family}, {found.cost}, {found.paper}\n")
    click.echo((importlib.import_module(found.__module__).__doc__ or "").strip())
    click.echo(f"\n{(found.__doc__ or '').strip()}\n")
    config = preset_of(preset, task=task, attention=model)
    made = _made(preset, task, model)
    click.echo(f"{preset}, {task}: {count_parameters(made):,} parameters")
    for field in fields(config):
        value: Any = getattr(config, field.name)
        if field.name not in ("attention", "note") or value:
            click.echo(f"  {field.name:<18} {dict(value) if field.name == 'options' else value}")
    for name, reason in made.never_trained.items():
        click.echo(f"  never trained: {name}: {reason}")


@cli.command(short_help="Draw each model's attention pattern.")
@click.option(
    "--out", type=click.Path(), default="docs/images/xformers", show_default=True, help="Folder for the pictures."
)
@attention_option
def draw(out: str, attentions: Sequence[str]) -> None:
    """Draw one small picture per model: which positions each position attends to."""
    from pathlib import Path

    from reference_models.attention.catalogue import attention_names
    from reference_models.attention_maps.pattern import draw as draw_pattern

    for name in [*attention_names(), *load_attentions(attentions)]:
        click.echo(draw_pattern(name, Path(out)))


def _made(preset: str, task: str, attention: str) -> "Classifier":
    """A preset's model on torch's meta device, where weights take no memory."""
    import torch

    from reference_models.model.classifier import Classifier
    from reference_models.model.presets import preset as preset_of

    with torch.device("meta"):
        return Classifier(preset_of(preset, task=task, attention=attention))


for command in (train, pretrain, sweep, evaluate, check, table, efficiency, span, plot, report, test):
    cli.add_command(command)


def _check_torch() -> None:
    if importlib.util.find_spec("torch") is None:
        raise UsageError(f"expected the library torch, found none: {optional_import.installing('torch')}")


def main() -> NoReturn:
    """Run the command and end the process with its exit code, as `lra-data` does; 143 after SIGTERM in a training."""
    command_line.run("lra-zoo", cli, check=_check_torch)
