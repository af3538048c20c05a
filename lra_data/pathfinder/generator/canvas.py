"""Compiled work on canvases: patches compared with them, laid on them, and windows of them restored.

Rows of LANES bytes are one instruction each; numba has no name for it, so it is emitted here.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled
from lra_data.pathfinder.generator.kernel_tables import LANES, Plates, Rules

# Columns of a paddle: where it is drawn from, its patch, and the position of its contrast.
PADDLE_Y, PADDLE_X, PATCH, CONTRAST = range(4)


def _vector(context: Any, builder: Any, signature: Any, arguments: Any, array: int, place: int) -> Any:
    """Pointer to LANES bytes of an array argument, from the index that is another argument."""
    view = context.make_array(signature.args[array])(context, builder, arguments[array])
    return builder.bitcast(builder.gep(view.data, [arguments[place]]), ir.VectorType(ir.IntType(8), LANES).as_pointer())


def _load(builder: Any, pointer: Any) -> Any:
    word = builder.load(pointer)
    word.align = 1
    return word


def _greater(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_unsigned(">", a, b), a, b)


@intrinsic
def _raise_row(typing_context: Any, target: Any, at: Any, source: Any, start: Any) -> Any:
    """target[at : at + LANES] = the greater of it and source[start : start + LANES], byte by byte."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _vector(context, builder, signature, arguments, 0, 1)
        added = _load(builder, _vector(context, builder, signature, arguments, 2, 3))
        builder.store(_greater(builder, _load(builder, place), added), place).align = 1
        return context.get_dummy_value()

    return types.void(target, at, source, start), emit


@intrinsic
def _raise_row_inside(typing_context: Any, target: Any, at: Any, source: Any, start: Any, inside: Any) -> Any:
    """The same where inside[at : at + LANES] is 255; where it is 0, target stays."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _vector(context, builder, signature, arguments, 0, 1)
        added = _load(builder, _vector(context, builder, signature, arguments, 2, 3))
        kept = _load(builder, _vector(context, builder, signature, arguments, 4, 1))
        builder.store(_greater(builder, _load(builder, place), builder.and_(added, kept)), place).align = 1
        return context.get_dummy_value()

    return types.void(target, at, source, start, inside), emit


@intrinsic
def _row_exceeds(typing_context: Any, values: Any, at: Any, thresholds: Any, start: Any) -> Any:
    """One bit for each of LANES bytes: whether values[at + i] is above thresholds[start + i]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = _load(builder, _vector(context, builder, signature, arguments, 0, 1))
        threshold = _load(builder, _vector(context, builder, signature, arguments, 2, 3))
        return builder.bitcast(builder.icmp_unsigned(">", value, threshold), ir.IntType(LANES))

    return types.uint32(values, at, thresholds, start), emit


@intrinsic
def _copy_row(typing_context: Any, target: Any, at: Any, source: Any) -> Any:
    """target[at : at + LANES] = source[at : at + LANES]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _vector(context, builder, signature, arguments, 0, 1)
        kept = _load(builder, _vector(context, builder, signature, arguments, 2, 1))
        builder.store(kept, place).align = 1
        return context.get_dummy_value()

    return types.void(target, at, source), emit


@intrinsic
def copy_bytes(typing_context: Any, target: Any, source: Any, count: Any) -> Any:
    """target[:count] = source[:count]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = [context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 1)]
        cgutils.raw_memcpy(builder, *pointers, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(target, source, count), emit


@compiled
def place_of(y: np.int64, x: np.int64, border: np.int64, stride: np.int64) -> np.int64:
    """Where pixel (y, x) of the image stands on a canvas."""
    return (y + border) * stride + x + border


@compiled
def add_paddle(
    paddle: NDArray[np.int64],
    rules: Rules,
    plates: Plates,
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
) -> None:
    """Add a paddle's patch to a mask and to its dilated twin."""
    y, x, patch = paddle[PADDLE_Y], paddle[PADDLE_X], paddle[PATCH]
    at = place_of(y - rules.reach, x - rules.reach, rules.border, rules.stride)
    start = patch * (2 * rules.reach + 1) * rules.row_bytes
    for _ in range(2 * rules.reach + 1):
        for lane in range(0, rules.row_bytes, LANES):
            _raise_row_inside(mask, at + lane, plates.masks, start + lane, plates.inside)
        at += rules.stride
        start += rules.row_bytes
    at = place_of(y - rules.wide_reach, x - rules.wide_reach, rules.border, rules.stride)
    start = patch * (2 * rules.wide_reach + 1) * rules.wide_row_bytes
    for _ in range(2 * rules.wide_reach + 1):
        for lane in range(0, rules.wide_row_bytes, LANES):
            _raise_row(wide, at + lane, plates.wide_masks, start + lane)
        at += rules.stride
        start += rules.wide_row_bytes


@compiled
def copy_window(
    paddle: NDArray[np.int64],
    rules: Rules,
    source_mask: NDArray[np.uint8],
    source_wide: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
) -> None:
    """Copy what a paddle may have changed from other canvases."""
    at = place_of(paddle[PADDLE_Y] - rules.wide_reach, paddle[PADDLE_X] - rules.wide_reach, rules.border, rules.stride)
    for _ in range(2 * rules.wide_reach + 1):
        for lane in range(0, rules.wide_row_bytes, LANES):
            _copy_row(mask, at + lane, source_mask)
            _copy_row(wide, at + lane, source_wide)
        at += rules.stride


@compiled
def fits(
    y: np.int64, x: np.int64, patch: np.int64, rules: Rules, thresholds: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> bool:
    """Whether mask and paddle together stay below TOO_MUCH everywhere."""
    at = place_of(y - rules.reach, x - rules.reach, rules.border, rules.stride)
    start = patch * (2 * rules.reach + 1) * rules.row_bytes
    exceeded = np.uint32(0)
    for _ in range(2 * rules.reach + 1):
        for lane in range(0, rules.row_bytes, LANES):
            exceeded |= _row_exceeds(mask, at + lane, thresholds, start + lane)
        at += rules.stride
        start += rules.row_bytes
    return exceeded == np.uint32(0)
