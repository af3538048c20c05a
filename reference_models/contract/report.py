"""Tries all properties on one attention, and finds the smallest example for each that does not hold."""

import inspect
import math
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from reference_models.attention.catalogue import attention_class
from reference_models.contract import properties
from reference_models.contract.trial import Property, PropertyError, Size, Subject

_LONG = Size((40, 23, 1), 40)
# From the smallest: tried in this order once a property fails.
_SMALLER = tuple(
    Size(lengths, length)
    for lengths, length in (
        ((1,), 1), ((1,), 2), ((2,), 2), ((2, 1), 2), ((2, 1), 3), ((3,), 3), ((3, 1), 4), ((5, 2), 6), ((8, 3), 8),
        ((9, 4), 10), ((17, 8), 18), ((32, 5), 33),
    )
)  # fmt: skip
_GRADCHECK = Size((7,), 9)
_LONGEST = 300  # characters of an error's text
_LENGTHS = (512, 1024, 2048)


@dataclass(frozen=True)
class Finding:
    """What was found of one property.

    property: the sentence that should be true.
    holds: whether it is; None where it cannot be asked, or is only measured.
    required: whether the zoo needs it of every model.
    text: the smallest example against it, or the figure.
    """

    property: str
    holds: bool | None
    required: bool
    text: str = ""

    def line(self) -> str:
        """For people."""
        word = {True: "holds", False: "FAILS" if self.required else "no", None: "–"}[self.holds]
        return f"{word:<6} {self.property}" + (f"\n         {self.text}" if self.text else "")

    def record(self) -> dict[str, object]:
        """As JSON values."""
        return asdict(self)


def findings(subject: Subject) -> Iterator[Finding]:
    """All properties of an attention, in turn; a property that fails at 40 tokens is tried again from one token on."""
    required: tuple[tuple[Property, Size], ...] = (
        (properties.runs, _LONG),
        (partial(properties.runs, autocast=True), _LONG),
        (properties.no_mask_is_a_mask_of_ones, _LONG),
        (properties.ignores_what_is_under_padding, _LONG),
        (properties.ignores_more_padding, _LONG),
        (properties.ignores_the_batch, _LONG),
        (properties.ignores_the_batch_in_training, _LONG),
        (properties.padding_alone_is_finite, _LONG),
        (properties.every_parameter_learns, _LONG),
        (properties.gradients_are_those_of_finite_differences, _GRADCHECK),
        (properties.bfloat16_is_near, _LONG),
        (properties.is_determined, _LONG),
        (properties.is_saved_whole, _LONG),
    )
    for tried, size in required:
        yield _tried(tried, subject, size, required=True)
    if properties.has_weights(subject.build()):
        for tried in (properties.weights_have_no_padding, properties.weights_make_the_output):
            yield _tried(tried, subject, _LONG, required=tried is properties.weights_have_no_padding)
    else:
        yield Finding(_sentence(properties.weights_make_the_output), None, False, "it has no written_out")
    yield _tried(properties.averages, subject, _LONG, required=False)
    yield _memory(subject)


def _tried(tried: Property, subject: Subject, size: Size, *, required: bool) -> Finding:
    if _fault(tried, subject, size) is None:
        return Finding(_sentence(tried), True, required)
    for smaller in (*(each for each in _SMALLER if each.length < size.length), size):
        fault = _fault(tried, subject, smaller)
        if fault is not None:
            return Finding(_sentence(tried), False, required, f"{smaller}: {fault}")
    return Finding(_sentence(tried), False, required, f"{size}: sometimes, not each time")


def _fault(tried: Property, subject: Subject, size: Size) -> str | None:
    """What is wrong at a size, in one line; None if nothing is."""
    try:
        tried(subject, size)
    except PropertyError as error:
        return str(error)
    except Exception as error:  # the code is the user's
        return _of_user(subject, error)
    return None


def _of_user(subject: Subject, error: Exception) -> str:
    """An error in one line, with the last line of the attention's own file that it passed through."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    file = inspect.getsourcefile(attention_class(subject.name))
    passed = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    cut = f"{text[:_LONGEST]} …" if len(text) > _LONGEST else text
    return f"{cut} ({Path(passed[-1].filename).name}, line {passed[-1].lineno})" if passed else cut


def _sentence(tried: Property) -> str:
    """The first sentence of a property's docstring."""
    plain = tried.func if isinstance(tried, partial) else tried
    text = " ".join((plain.__doc__ or "").split("\n\n")[0].split())
    return f"{text} (bfloat16 autocast)" if isinstance(tried, partial) else text


def _memory(subject: Subject) -> Finding:
    """The exponent of the memory that training needs, between 1,024 and 2,048 tokens."""
    what = "Memory that training keeps grows with the length to the power of"
    try:
        found = []
        for length in _LENGTHS:
            model = subject.build(max_length=length).train()
            model.on_step(0)
            size = Size((length - 3,), length)
            found.append(properties.saved_bytes(model, size.x(), size.keep))
        exponent = math.log2(found[2] / found[1])
    except Exception as error:  # the code is the user's
        return Finding("Memory that training keeps", None, False, _of_user(subject, error))
    sizes = ", ".join(f"{size / 2**20:.1f}" for size in found)
    return Finding(f"{what} {exponent:.2f}", None, False, f"{sizes} MiB at {', '.join(map(str, _LENGTHS))} tokens")
