"""Finds the code bases: every module of this folder that defines `CODE_BASE` is a code base."""

from importlib import import_module
from pkgutil import iter_modules

from lra_data import interop
from lra_data.errors import UsageError, unknown_name
from lra_data.interop.layouts import Layout
from lra_data.interop.protocol import CodeBase, Protocol, Reading, lines_of


def code_bases() -> list[CodeBase]:
    """All code bases, in the order of their modules' names."""
    modules = [import_module(f"{interop.__name__}.{module.name}") for module in iter_modules(interop.__path__)]
    return [module.CODE_BASE for module in modules if hasattr(module, "CODE_BASE")]


def protocol_names() -> list[str]:
    """The code bases whose readings are known."""
    return [code_base.name for code_base in code_bases() if code_base.readings]


def get_protocol(name: str) -> Protocol:
    """The readings of a code base by family; raises UsageError for an unknown name."""
    found = {code_base.name: code_base.readings for code_base in code_bases() if code_base.readings}
    if name not in found:
        raise unknown_name("protocol", name, found)
    return found[name]


def get_reading(name: str, family: str) -> Reading:
    """How a code base reads a task; raises UsageError if it is unknown, or does not read that task."""
    readings = get_protocol(name)
    if family not in readings:
        raise UsageError(
            f"expected a task that the protocol {name} reads, got {family}: it reads {', '.join(readings)}"
        )
    return readings[family]


def differences(name: str, other: str) -> dict[str, dict[str, tuple[str, str]]]:
    """For each task that both read, the entries in which two protocols differ, with both texts."""
    one, two = get_protocol(name), get_protocol(other)
    found = {}
    for family in one:
        if family in two:
            pairs = zip(lines_of(one[family]).items(), lines_of(two[family]).values(), strict=True)
            found[family] = {
                entry: (text, text_2) for (entry, text), text_2 in pairs if text != text_2 and entry != "reader"
            }
    return found


def layouts() -> dict[str, Layout]:
    """The layouts of all code bases, by name."""
    return {layout.name: layout for code_base in code_bases() for layout in code_base.layouts}


def get_layout(name: str) -> Layout:
    """The layout with this name; raises UsageError for an unknown name."""
    found = layouts()
    if name not in found:
        raise unknown_name("layout", name, found)
    return found[name]
