"""Attentions that are not part of this package: given from Python, named by file or module, or installed packages'.

    reference_models.register(MyAttention)                     in Python
    lra-zoo train listops/mini MyAttention --attention my_attention.py:MyAttention
    [project.entry-points."reference_models.attention"]        in a package's pyproject.toml
    MyAttention = "my_package.attention:MyAttention"

The name of such an attention is that of its class. A model's card holds this name and the SHA-256 of the class's file,
never a path, so that no card makes anyone's code run: code is imported only if the user names it, or installed its
package.
"""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from lra_data import UsageError, paths
from reference_models.attention.base import Attention

GROUP = "reference_models.attention"

Kind = TypeVar("Kind", bound=type[Attention])


@dataclass(frozen=True)
class Registered:
    """An attention from elsewhere.

    kind: its class.
    sha256: digest of the file that defines the class.
    place: the text that names it for `load`, or "" if it was given from Python.
    """

    kind: type[Attention]
    sha256: str
    place: str = ""


_registered: dict[str, Registered] = {}


def register(attention: Kind) -> Kind:
    """Make a class known by its name, for presets, training, tables and all commands in this process.

    A class of the same name that was given before is replaced. Usable as a decorator. Raises UsageError for something
    that is no subclass of `Attention`, or whose source file is not known.
    """
    _add(attention, "")
    return attention


def load(place: str) -> str:
    """Import the class that "FILE.py:CLASS" or "PACKAGE.MODULE:CLASS" names, make it known, and return its name.

    Raises UsageError, in one line, for a file, module or class that is not there, code that fails, a class that is no
    attention, and a second class of a known name.
    """
    module_name, colon, class_name = place.rpartition(":")
    if not colon or not module_name or not class_name.isidentifier():
        raise UsageError(f"expected an attention as FILE.py:CLASS or PACKAGE.MODULE:CLASS, got {place!r}")
    if module_name.endswith(".py"):
        module_name = str(paths.local_path(module_name, "a file with an attention").absolute())
        place = f"{module_name}:{class_name}"  # another process may run in another folder
    known = _registered.get(class_name)
    if known is not None and known.place == place:
        return class_name
    if module_name.endswith(".py"):
        if not Path(module_name).is_file():
            raise UsageError(f"{place}: expected a Python file there, found none")
        module = _run(place, lambda: _from_file(Path(module_name)))
    else:
        module = _run(place, lambda: importlib.import_module(module_name))
    if not hasattr(module, class_name):
        known_there = sorted(
            name for name, value in vars(module).items() if isinstance(value, type) and value is not Attention
        )
        there = ", ".join(known_there) or "none"
        raise UsageError(f"{place}: expected a class {class_name} in {module_name}, got classes: {there}")
    if known is not None and known.sha256 != _digest(getattr(module, class_name), place):
        raise UsageError(f"{place}: expected a class of another name, got {class_name} again: rename one of the two")
    _add(getattr(module, class_name), place)
    return class_name


def registered(name: str) -> Registered | None:
    """The attention of a name that was given, or that an installed package has; None if there is none."""
    if name not in _registered:
        for entry in entry_points(group=GROUP, name=name):
            _add(_run(entry.value, entry.load), entry.value, name)
    return _registered.get(name)


def registered_names() -> list[str]:
    """Names of all attentions that were given or that installed packages have, sorted; nothing is imported."""
    return sorted({*_registered, *(entry.name for entry in entry_points(group=GROUP))})


def forget(name: str) -> None:
    """Make a registered attention unknown again."""
    _registered.pop(name, None)


def _add(kind: Any, place: str, name: str = "") -> None:
    if not (isinstance(kind, type) and issubclass(kind, Attention)):
        raise UsageError(f"expected a subclass of reference_models.Attention, got {place or repr(kind)}")
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise UsageError(f"expected an attention that defines {', '.join(missing)}, got {place or kind.__name__}")
    name = name or kind.__name__
    if name.islower():
        raise UsageError(f"expected a class name with a capital letter, which no model of the zoo has, got {name!r}")
    _registered[name] = Registered(kind, _digest(kind, place), place)


def _digest(kind: Any, place: str) -> str:
    try:
        path = inspect.getsourcefile(kind)
        # A notebook has no file; its cell is the source then.
        data = Path(path).read_bytes() if path and Path(path).is_file() else inspect.getsource(kind).encode()
    except (OSError, TypeError) as error:
        raise UsageError(
            f"expected a class whose source is known, got {place or kind!r} ({error}): put it into a file"
        ) from error
    return hashlib.sha256(data).hexdigest()


def _from_file(path: Path) -> ModuleType:
    """A file as a module of its own name; files in its folder can be imported by it, as when Python runs it."""
    data = path.read_bytes()
    name = f"{path.stem}_{hashlib.sha256(data).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path}: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look for a class's module there
    sys.path.insert(0, str(path.absolute().parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.absolute().parent))
    return module


def _run(place: str, imported: Callable[[], Any]) -> Any:
    """The result of a function that imports code of others; any error is a UsageError of one line."""
    try:
        return imported()
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        text = " ".join(str(error).split())
        raise UsageError(f"{place}: expected code that can be imported, got {type(error).__name__}: {text}") from error
