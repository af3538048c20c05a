"""`lra-data script`: prints a script that builds a set in parts on a cluster. It submits nothing."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from lra_data.commands.build_command import BuildCommands
from lra_data.errors import UsageError
from lra_data.paths import is_address

_IMAGE = "python:3.11"
_PATHS = ("--out", "--corpus", "--pairs", "--from-release")
_MOST_SLURM_TASKS = 1000  # of one array, unless a site has raised Slurm's MaxArraySize of 1001

_SLURM = """\
#!/bin/bash
# Builds {set} in {parts} parts. Submit both jobs:
#
#     parts=$(sbatch --parsable THIS_FILE)
#     sbatch --dependency=afterany:$parts --job-name=lra-data-finish --wrap={finish}
#
# If parts are missing, the second job names them; run them again with the list that it prints, then finish again:
#
#     sbatch --array=5,17,40-43 THIS_FILE
#
#SBATCH --job-name=lra-data-{name}
#SBATCH --array=0-{last}
#SBATCH --cpus-per-task={cpus}
#SBATCH --mem-per-cpu=2G
#SBATCH --time=04:00:00
#SBATCH --output=lra-data-%A_%a.log
#SBATCH --requeue
set -eu
export OMP_NUM_THREADS=1
{build}
"""

_KUBERNETES = """\
# Builds {set} in {parts} parts:
#
#     kubectl apply -f THIS_FILE
#     kubectl wait --for=condition=complete --timeout=24h job/lra-data-{name}
#     kubectl create job lra-data-{name}-finish --image={image} -- {finish}
#
# The image needs lra-data; {image} is only an example. Credentials come from the secret lra-data-store, if there is
# one; the finishing job needs them too. If parts are missing, it names them: delete the first job and apply this file
# again, which makes only what is missing.
apiVersion: batch/v1
kind: Job
metadata:
  name: lra-data-{name}
spec:
  completionMode: Indexed
  completions: {parts}
  parallelism: {parallel}
  backoffLimitPerIndex: 3
  maxFailedIndexes: {parts}
  podFailurePolicy:
    rules:
      - action: FailIndex  # a wrong command, which another try does not mend
        onExitCodes: {{operator: In, values: [2]}}
      - action: Ignore  # the node went away
        onPodConditions: [{{type: DisruptionTarget}}]
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: build
          image: {image}
          command: {build}
          env: [{{name: OMP_NUM_THREADS, value: "1"}}]
          envFrom: [{{secretRef: {{name: lra-data-store, optional: true}}}}]
          resources: {{requests: {{cpu: "{cpus}", memory: {memory}Gi}}}}
"""


@click.group("script", no_args_is_help=False, short_help="Print a script that builds a set on a cluster.")
def script() -> None:
    """Print a script that builds a set in parts on a cluster, for you to read and submit."""


def _options(command: click.Command) -> click.Command:
    command.params += [
        click.Argument(["task"]),
        click.Argument(["build_options"], nargs=-1, type=click.UNPROCESSED, metavar="[BUILD OPTIONS]"),
        click.Option(["--parts"], type=click.IntRange(1), default=16, show_default=True, help="Number of parts."),
        click.Option(["--cpus"], type=click.IntRange(1), default=1, show_default=True, help="CPUs of each part."),
    ]
    return command


@click.command(context_settings={"ignore_unknown_options": True}, short_help="Print a Slurm job array.")
def slurm(task: str, build_options: Sequence[str], parts: int, cpus: int) -> None:
    """Print a Slurm job array that builds TASK with the given options of `lra-data build`."""
    flags = _checked(task, build_options)
    if parts > _MOST_SLURM_TASKS:
        click.echo(f"# Ask your site whether its MaxArraySize is above {parts}; Slurm's own is 1001.", err=True)
    build = ["lra-data", "build", task, *flags, "--part", f"auto/{parts}"]
    finish = shlex.join(["lra-data", "build", task, *flags, "--finish"])
    click.echo(
        _SLURM.format(
            set=task,
            name=_plain(task),
            parts=parts,
            last=parts - 1,
            cpus=cpus,
            build=shlex.join([*build, "--workers", str(cpus)]),
            finish=shlex.quote(finish),
        ),
        nl=False,
    )


@click.command(context_settings={"ignore_unknown_options": True}, short_help="Print a Kubernetes Indexed Job.")
@click.option("--image", default=_IMAGE, show_default=True, help="Container image with lra-data.")
@click.option("--parallel", type=click.IntRange(1), help="Parts that run at a time.  [default: all]")
def kubernetes(
    task: str, build_options: Sequence[str], parts: int, cpus: int, image: str, parallel: int | None
) -> None:
    """Print a Kubernetes Indexed Job that builds TASK with the given options of `lra-data build`."""
    flags = _checked(task, build_options)
    build = ["lra-data", "build", task, *flags, "--part", f"auto/{parts}", "--workers", str(cpus)]
    click.echo(
        _KUBERNETES.format(
            set=task,
            name=_plain(task),
            parts=parts,
            parallel=parallel or parts,
            cpus=cpus,
            memory=2 * cpus,
            image=image,
            build=json.dumps(build),  # a list in JSON is one in YAML
            finish=shlex.join(["lra-data", "build", task, *flags, "--finish"]),
        ),
        nl=False,
    )


for _command in (slurm, kubernetes):
    script.add_command(_options(_command))


def _checked(task: str, flags: Sequence[str]) -> list[str]:
    """The flags with absolute paths, and --out; raises the error that `lra-data build` would raise for them."""
    group = BuildCommands(name="build")
    with click.Context(group) as context:
        command = group.get_command(context, task)
        if command is None:
            raise AssertionError("an unknown task is an error")
        given = command.make_context(task, list(flags), parent=context).params
    for name in ("part", "finish", "overwrite", "workers", "as_json"):
        if given[name]:
            flag = {"as_json": "json"}.get(name, name)
            raise UsageError(
                f"expected no --{flag} among the build options of a script, which sets its own: leave it out"
            )
    if given["engine"] != "local":
        raise UsageError(f"expected the engine local in a script, got {given['engine']!r}: parts need no engine")
    found = list(flags)
    if not any(flag.partition("=")[0] == "--out" for flag in found):
        found += ["--out", given["out"]]
    for place, flag in enumerate(found):
        name, equals, value = flag.partition("=")
        if name in _PATHS and equals:
            found[place] = f"{name}={_absolute(value)}"
        elif place and found[place - 1] in _PATHS:
            found[place] = _absolute(flag)
    return found


def _absolute(path: str) -> str:
    """The path from the root, as the jobs may run in another folder; an address stays."""
    return path if is_address(path) else str(Path(path).expanduser().absolute())


def _plain(task: str) -> str:
    """A task's name as a scheduler takes it."""
    return "".join(letter if letter.isalnum() else "-" for letter in task.lower()).strip("-")
