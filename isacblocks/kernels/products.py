"""Products of small real matrices by tiles, and room for them that begins with a cache line; see simd.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.simd import LANES, WIDE, Floats, Pointer, fetching_tile, prefetch, tile

_LINE = 64  # bytes
_HIGH, _BROAD = (16, 4) if WIDE else (6, 1)  # sums of a tile of one vector's width; vectors of the broadest tile
_TALL_1, _HALF_1, _LOW_1, _ONE_1 = tile(_HIGH, 1), tile(4, 1), tile(3, 1), tile(1, 1)
_FETCHING = fetching_tile(_HIGH, 1)
_TALL_4, _LOW_4, _ONE_4 = tile(6, 4), tile(2, 4), tile(1, 4)
_TALL_3, _LOW_3, _ONE_3 = tile(8, 3), tile(3, 3), tile(1, 3)


@jit
def aligned(count: int) -> Floats:
    """Room for `count` floats that begins with a cache line: a vector across two lines takes two loads."""
    room = np.empty(count + LANES, np.float32)
    start = (-room.ctypes.data % _LINE) // 4
    return room[start : start + count]


def aligned_copy(values: NDArray[Any]) -> Floats:
    """The values as read-only float32 that begin with a cache line."""
    copy = aligned(values.size).reshape(values.shape)
    copy[...] = values
    copy.flags.writeable = False
    return copy


@jit_apart
def product(
    a: Pointer,
    a_at: int,
    a_row: int,
    a_step: int,
    b: Pointer,
    b_at: int,
    b_step: int,
    shape: tuple[int, int, int],
    out: Pointer,
    out_at: int,
    out_row: int,
) -> None:
    """out[r, c] = sum_k a[r, k] b[k, c] for shape = (rows, depth, columns), columns a multiple of 16.

    a[r, k] lies at a_at + r a_row + k a_step, b[k, c] at b_at + k b_step + c, out[r, c] at out_at + r out_row + c.
    """
    rows, depth, columns = shape
    c = 0
    while _BROAD == 4 and columns - c >= 64:
        r = 0
        while rows - r >= 6:
            _TALL_4(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
            r += 6
        while rows - r >= 2:
            _LOW_4(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
            r += 2
        if rows > r:
            _ONE_4(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
        c += 64
    if _BROAD == 4 and columns - c >= 48:
        r = 0
        while rows - r >= 8:
            _TALL_3(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
            r += 8
        while rows - r >= 3:
            _LOW_3(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
            r += 3
        while rows > r:
            _ONE_3(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
            r += 1
        c += 48
    while c < columns:
        r = 0
        while rows - r >= _HIGH:
            _TALL_1(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
            r += _HIGH
        while rows - r >= 4:
            _HALF_1(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
            r += 4
        while rows - r >= 3:
            _LOW_1(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
            r += 3
        while rows > r:
            _ONE_1(a, a_at + r * a_row, a_row, a_step, b, b_at + c, b_step, depth, out, out_at + r * out_row + c, out_row)
            r += 1
        c += 16


@jit_apart
def fetching_product(
    a: Pointer,
    a_at: int,
    a_row: int,
    a_step: int,
    b: Pointer,
    b_at: int,
    b_step: int,
    shape: tuple[int, int, int],
    out: Pointer,
    out_at: int,
    out_row: int,
    following: Pointer,
    start: int,
) -> None:
    """:func:`product`, while what is wanted next comes near: one cache line per k of `following`, from `start` on."""
    rows, depth, columns = shape
    done = 0
    if rows >= _HIGH:
        _FETCHING(a, a_at, a_row, a_step, b, b_at, b_step, depth, out, out_at, out_row, following, start)
        done = _HIGH
    else:
        for k in range(depth):
            prefetch(following, start + k * LANES)
    below = (rows - done, depth, LANES)
    product(a, a_at + done * a_row, a_row, a_step, b, b_at, b_step, below, out, out_at + done * out_row, out_row)
    beside = (rows, depth, columns - LANES)
    product(a, a_at, a_row, a_step, b, b_at + LANES, b_step, beside, out, out_at + LANES, out_row)
