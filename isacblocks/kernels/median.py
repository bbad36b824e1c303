"""The median of a few values, for kernels: numpy's own takes longer than an update of all filters."""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.jit import jit_exact

_FEW = 256  # values whose ranks are counted sooner than they are sorted


@jit_exact
def median(values: Float) -> float:
    """The median of values (n,), n >= 1: the mean of the two in the middle where n is even; nan where any is nan."""
    count = values.shape[0]
    first, last = (count - 1) // 2, count // 2  # the ranks in the middle
    low, high = math.nan, math.nan
    if count > _FEW:
        ordered = np.sort(values)
        low, high = ordered[first], ordered[last]
        return 0.5 * (low + high) if ordered[count - 1] == ordered[count - 1] else math.nan
    for i in range(count):
        value, below, equal = values[i], 0, 0
        for j in range(count):
            below += values[j] < value
            equal += values[j] == value
        if equal == 0:  # not a number
            return math.nan
        if below <= first < below + equal:
            low = value
        if below <= last < below + equal:
            high = value
    return 0.5 * (low + high)
