"""exp and log over an array in vector registers: likelihoods are thousands of either per frame."""

from __future__ import annotations

import numpy as np

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.jit import jit_exact

_LOWEST = -700.0  # exp(-700) = 1e-304: nothing beside a weight of one
_ROOT = np.int64(0x3FE6A09E << 32)  # the bits of sqrt(1/2), the lower half of them zero
_BIAS = np.int64((0x3FF00000 - 0x3FE6A09E) << 32)
_MANTISSA = np.int64(0x000FFFFFFFFFFFFF)
_TWO_52 = np.int64(0x43300000 << 32)  # the bits of 2^52
_ONE = np.int64(0x3FF00000 << 32)  # and of one


@jit_exact
def exponentials(values: Float) -> None:
    """values <- exp(values), float64 (n,), for values <= 0; those below -700 become 1e-304. Relative error below 4e-16.

    exp(x) = 2^k exp(r), k = x / log 2 rounded, |r| <= log(2) / 2, exp(r) by its Taylor series to r^13. Adding 3 2^51 rounds
    to an integer, which then stands in the lowest bits of the sum; moved into the exponent's place they multiply by 2^k.
    jit_exact keeps the order of the operations, without which nothing would be rounded.
    """
    exponentials_with(values, np.empty(values.shape[0]))


@jit_exact
def exponentials_with(values: Float, rounded: Float) -> None:
    """:func:`exponentials` with the room (n,) that it needs, for callers that have it."""
    count = values.shape[0]
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


@jit_exact
def logarithms(values: Float, exponent: Float) -> None:
    """values <- log(values), float64 (n,), for positive normal values; `exponent` (n,) is room that it needs.

    log(x) = k log 2 + log(m), x = 2^k m, sqrt(1/2) <= m < sqrt(2); log(m) = 2 artanh(r), r = (m - 1) / (m + 1), by its
    series to r^19. Error below 5e-16 of the larger of |log(x)| and 1/2. A bias makes k the exponent of its bits, and the
    lowest bits of 2^52 turn that into a float, as in :func:`exponentials`.
    """
    count = values.shape[0]
    bits, scratch = values.view(np.int64), exponent.view(np.int64)
    for i in range(count):
        biased = bits[i] + _BIAS  # one more in the exponent from m = sqrt(2) on
        scratch[i] = (biased >> 52) | _TWO_52
        bits[i] = (biased & _MANTISSA) + _ROOT
    for i in range(count):
        k = exponent[i] - 4503599627371519.0  # 2^52 + 1023
        m = values[i]
        r = (m - 1.0) / (m + 1.0)
        z = r * r
        p = 1.0 / 19.0
        p = p * z + 1.0 / 17.0
        p = p * z + 1.0 / 15.0
        p = p * z + 1.0 / 13.0
        p = p * z + 1.0 / 11.0
        p = p * z + 1.0 / 9.0
        p = p * z + 1.0 / 7.0
        p = p * z + 1.0 / 5.0
        p = p * z + 1.0 / 3.0
        r += r
        values[i] = k * 0.693147180369123816490 + (r + (r * z * p + k * 1.90821492927058770002e-10))


@jit_exact
def parted(values: Float, exponent: Float) -> None:
    """values = m 2^k, positive and normal (n,): m in [1, 2) to `values`, k to `exponent`, exactly."""
    bits, scratch = values.view(np.int64), exponent.view(np.int64)
    for i in range(values.shape[0]):
        scratch[i] = (bits[i] >> 52) | _TWO_52
        bits[i] = (bits[i] & _MANTISSA) | _ONE
    for i in range(values.shape[0]):
        exponent[i] -= 4503599627371519.0  # 2^52 + 1023
