"""What the samples of every antenna look like: their power, the largest, and how many share it.

Among continuous values the largest is alone; behind a limiter many share it, and then the receiver clips. See health.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.simd import (
    LANES,
    Floats,
    Pointer,
    at_least,
    fused,
    largest,
    load,
    magnitude,
    pointer,
    spread,
    store,
    total,
)

_EQUAL = np.float32(1.0 - 1e-6)  # of the largest: single precision


@jit
def _row_statistics(row: Pointer, at: int, count: int, lanes: Floats) -> tuple[np.float32, np.float32, int]:
    """Sum of squares, largest magnitude and how many share it, of `count` numbers from `at` on; `lanes` is scratch.

    The largest of numbers with NaN among them is that of the others; the sum of squares tells.
    """
    whole = count // LANES * LANES
    squares = tops = spread(np.float32(0.0))
    for s in range(at, at + whole, LANES):
        value = load(row, s)
        squares = fused(value, value, squares)
        tops = largest(magnitude(value), tops)
    power = total(squares)
    store(pointer(lanes), 0, tops)
    top = np.float32(0.0)
    for lane in range(LANES):
        top = lanes[lane] if lanes[lane] > top else top
    for s in range(at + whole, at + count):
        power += row[s] * row[s]
        top = abs(row[s]) if abs(row[s]) > top else top
    floor, sharing = np.float32(top * _EQUAL), 0
    level = spread(floor)
    for s in range(at, at + whole, LANES):
        sharing += at_least(magnitude(load(row, s)), level)
    for s in range(at + whole, at + count):
        sharing += abs(row[s]) >= floor
    return power, top, sharing if top > 0.0 else 0


@jit_apart
def frame_statistics(y: Floats, power: Float, largest_value: Float, shared: Float) -> None:
    """One frame, real pairs (N, 2 S): mean of |Y_ns|^2, largest |Re| or |Im| and how many share it, (N,) each.

    An antenna of zeros shares nothing.
    """
    lanes = np.empty(LANES, np.float32)
    count = y.shape[1]
    for n in range(y.shape[0]):
        squares, top, sharing = _row_statistics(pointer(y), n * count, count, lanes)
        power[n], largest_value[n], shared[n] = 2.0 * np.float64(squares) / count, top, sharing


@jit
def sample_statistics(y: NDArray[np.float32], power: Float, largest_value: Float, shared: Float) -> None:
    """:func:`frame_statistics` of F frames (F, N, 2 S)."""
    for f in range(y.shape[0]):
        frame_statistics(y[f], power[f], largest_value[f], shared[f])
