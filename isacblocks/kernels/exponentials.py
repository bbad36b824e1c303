"""exp over an array in vector registers: the weights of an E-step are ten thousand exponentials a frame."""

from __future__ import annotations

import numpy as np

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.jit import jit_exact

_LOWEST = -700.0  # exp(-700) = 1e-304: nothing beside a weight of one


@jit_exact
def exponentials(values: Float) -> None:
    """values <- exp(values), float64 (n,), for values <= 0; those below -700 become 1e-304. Relative error below 4e-16.

    exp(x) = 2^k exp(r), k = x / log 2 rounded, |r| <= log(2) / 2, exp(r) by its Taylor series to r^13. Adding 3 2^51 rounds
    to an integer, which then stands in the lowest bits of the sum; moved into the exponent's place they multiply by 2^k.
    jit_exact keeps the order of the operations, without which nothing would be rounded.
    """
    count = values.shape[0]
    rounded = np.empty(count)
    bits, result = rounded.view(np.int64), values.view(np.int64)
    for i in range(count):
        values[i] = max(values[i], _LOWEST)
        rounded[i] = values[i] * 1.4426950408889634 + 6755399441055744.0
    for i in range(count):
        k = rounded[i] - 6755399441055744.0
        r = (values[i] - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10  # log 2 in two parts
        p = 1.0 / 6227020800.0
        p = p * r + 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        values[i] = p * r + 1.0
    for i in range(count):
        result[i] += bits[i] << 52
