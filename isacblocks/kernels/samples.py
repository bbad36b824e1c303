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
    add,
    at_least,
    fused,
    largest,
    load,
    magnitude,
    pointer,
    prefetch,
    spread,
    top,
    total,
)

_EQUAL = np.float32(1.0 - 1e-6)  # of the largest: single precision


@jit
def _row_statistics(row: Pointer, at: int, count: int) -> tuple[np.float32, np.float32, int]:
    """Sum of squares, largest magnitude and how many share it, of `count` numbers from `at` on.

    The largest of numbers with NaN among them is that of the others; the sum of squares tells.
    """
    whole, pairs = count // LANES * LANES, count // (2 * LANES) * 2 * LANES
    even_squares = odd_squares = even_tops = odd_tops = spread(np.float32(0.0))  # two chains: each waits for itself
    for s in range(at, at + pairs, 2 * LANES):
        prefetch(row, s + count)  # a row is looked at twice, so that there is time
        prefetch(row, s + LANES + count)
        even, odd = load(row, s), load(row, s + LANES)
        even_squares, odd_squares = fused(even, even, even_squares), fused(odd, odd, odd_squares)
        even_tops, odd_tops = largest(magnitude(even), even_tops), largest(magnitude(odd), odd_tops)
    for s in range(at + pairs, at + whole, LANES):
        value = load(row, s)
        even_squares = fused(value, value, even_squares)
        even_tops = largest(magnitude(value), even_tops)
    power, highest = total(add(even_squares, odd_squares)), top(largest(even_tops, odd_tops))
    for s in range(at + whole, at + count):
        power += row[s] * row[s]
        highest = abs(row[s]) if abs(row[s]) > highest else highest
    floor, sharing = np.float32(highest * _EQUAL), 0
    level = spread(floor)
    for s in range(at, at + whole, LANES):
        sharing += at_least(magnitude(load(row, s)), level)
    for s in range(at + whole, at + count):
        sharing += abs(row[s]) >= floor
    return power, highest, sharing if highest > 0.0 else 0


@jit_apart
def frame_statistics(y: Floats, power: Float, largest_value: Float, shared: Float) -> None:
    """One frame, real pairs (N or more, 2 S): mean of |Y_ns|^2, largest |Re| or |Im| and how many share it, (N,) each.

    An antenna of zeros shares nothing; rows beyond the antennas are not looked at.
    """
    count = y.shape[1]
    for n in range(power.shape[0]):
        squares, highest, sharing = _row_statistics(pointer(y), n * count, count)
        power[n], largest_value[n], shared[n] = 2.0 * np.float64(squares) / count, highest, sharing


@jit
def sample_statistics(y: NDArray[np.float32], power: Float, largest_value: Float, shared: Float) -> None:
    """:func:`frame_statistics` of F frames (F, N or more, 2 S)."""
    for f in range(y.shape[0]):
        frame_statistics(y[f], power[f], largest_value[f], shared[f])
