"""Command-line flags made from a task's configuration dataclass, and back."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import click

from lra_data import catalogue
from lra_data.errors import unknown_name


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
