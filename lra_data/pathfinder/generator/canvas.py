"""Compiled operations on canvases: compare patches with a canvas, add patches to it, and restore windows of it.

LANES bytes are handled by one instruction, which numba does not offer, so it is emitted here.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from lra_data.kernel_cache import compiled_part
from lra_data.pathfinder.generator.kernel_tables import LANES, Grid, Stamps

# Columns of a paddle: the position from which it is drawn, its patch, and the position of its contrast.
PADDLE_Y, PADDLE_X, PATCH, CONTRAST = range(4)


def _vector(context: Any, builder: Any, signature: Any, arguments: Any, array: int, place: int) -> Any:
    """Pointer to LANES bytes of an array argument, starting at the index in another argument."""
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
    """target[at : at + LANES] = maximum of itself and source[start : start + LANES], byte by byte."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _vector(context, builder, signature, arguments, 0, 1)
        added = _load(builder, _vector(context, builder, signature, arguments, 2, 3))
        builder.store(_greater(builder, _load(builder, place), added), place).align = 1
        return context.get_dummy_value()

    return types.void(target, at, source, start), emit


@intrinsic
def _raise_row_inside(typing_context: Any, target: Any, at: Any, source: Any, start: Any, inside: Any) -> Any:
    """The same where inside[at : at + LANES] is 255; where it is 0, target does not change."""

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


@compiled_part
def place_of(y: np.int64, x: np.int64, grid: Grid) -> np.int64:
    """The index of pixel (y, x) of the image on a canvas."""
    return (y + grid.border) * grid.stride + x + grid.border


@compiled_part
def add_paddle(
    paddle: NDArray[np.int64], grid: Grid, stamps: Stamps, mask: NDArray[np.uint8], wide: NDArray[np.uint8]
) -> None:
    """Add a paddle's patch to a mask and to its dilated mask."""
    rows = 2 * grid.reach + 1
    at = place_of(paddle[PADDLE_Y] - grid.reach, paddle[PADDLE_X] - grid.reach, grid)
    start = paddle[PATCH] * rows * grid.row_bytes
    for _ in range(rows):
        for lane in range(0, grid.row_bytes, LANES):
            _raise_row_inside(mask, at + lane, stamps.masks, start + lane, stamps.inside)
        at += grid.stride
        start += grid.row_bytes
    rows = 2 * grid.wide_reach + 1
    at = place_of(paddle[PADDLE_Y] - grid.wide_reach, paddle[PADDLE_X] - grid.wide_reach, grid)
    start = paddle[PATCH] * rows * grid.wide_row_bytes
    for _ in range(rows):
        for lane in range(0, grid.wide_row_bytes, LANES):
            _raise_row(wide, at + lane, stamps.wide_masks, start + lane)
        at += grid.stride
        start += grid.wide_row_bytes


@compiled_part
def copy_window(
    paddle: NDArray[np.int64],
    grid: Grid,
    source_mask: NDArray[np.uint8],
    source_wide: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    wide: NDArray[np.uint8],
) -> None:
    """Copy the window that a paddle may have changed from other canvases."""
    at = place_of(paddle[PADDLE_Y] - grid.wide_reach, paddle[PADDLE_X] - grid.wide_reach, grid)
    for _ in range(2 * grid.wide_reach + 1):
        for lane in range(0, grid.wide_row_bytes, LANES):
            _copy_row(mask, at + lane, source_mask)
            _copy_row(wide, at + lane, source_wide)
        at += grid.stride


@compiled_part
def fits(
    y: np.int64, x: np.int64, patch: np.int64, grid: Grid, thresholds: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> bool:
    """Whether the sum of mask and paddle is below TOO_MUCH everywhere."""
    rows = 2 * grid.reach + 1
    at = place_of(y - grid.reach, x - grid.reach, grid)
    start = patch * rows * grid.row_bytes
    exceeded = np.uint32(0)
    for _ in range(rows):
        for lane in range(0, grid.row_bytes, LANES):
            exceeded |= _row_exceeds(mask, at + lane, thresholds, start + lane)
        at += grid.stride
        start += grid.row_bytes
    return exceeded == np.uint32(0)
