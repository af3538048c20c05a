"""`lra-zoo test`: the properties that every attention of the zoo has, tried on the user's own."""

import json
import sys

import click

from reference_models.commands.shared_options import load_attentions


@click.command("test", short_help="Test an attention of your own.")
@click.argument("attention", metavar="FILE.py:CLASS")
@click.option("--options", "words", metavar="JSON", default="{}", help="Arguments of the constructor: '{\"k\": 8}'.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def test(attention: str, words: str, as_json: bool) -> None:
    """Try every property that the zoo's models have on an attention, small and on the CPU.

    For each property that does not hold, prints the smallest example. The name of a model of the zoo is taken, too. The
    exit code is 1 if a property fails that every model needs; lines that begin with "no" or "–" are for information.

    \b
    lra-zoo test my_attention.py:MyAttention
    """
    from lra_data import UsageError, errors
    from reference_models.attention.catalogue import attention_names
    from reference_models.attention.registration import registered_names
    from reference_models.contract.report import findings
    from reference_models.contract.trial import Subject

    try:
        options = json.loads(words)
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise UsageError(f"--options must be a JSON object such as '{{\"k\": 8}}', got {words!r}")
    name = load_attentions([attention])[0] if ":" in attention else attention
    if name not in (*attention_names(), *registered_names()):
        raise UsageError(
            f"expected FILE.py:CLASS, PACKAGE.MODULE:CLASS or the name of a model, got {attention!r}."
            f"{errors.did_you_mean(attention, attention_names())}"
        )
    subject = Subject(name, options)
    subject.build()
    found = []
    for finding in findings(subject):
        found.append(finding)
        if not as_json:
            click.echo(finding.line())
    if as_json:
        click.echo(json.dumps([finding.record() for finding in found], indent=1, ensure_ascii=False))
    needed = sum(finding.required for finding in found)
    failed = sum(finding.holds is False and finding.required for finding in found)
    if failed:
        if not as_json:
            click.echo(f"{name}: {failed} of the {needed} properties that every model needs fail")
        sys.exit(1)
    if not as_json:
        click.echo(f"{name}: all {needed} properties that every model needs hold")
