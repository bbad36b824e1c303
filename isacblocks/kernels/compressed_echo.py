"""Echoes of eq. (8) in the delay subspace: gamma kappa_n a_n(theta) conj(c_d(tau)).

With c_d = exp(j psi) e_d, e_d = sum_k T_k(x) A_dk real for even d and j times that for odd d (delay_series.py), and the
complex factor a + j b = gamma exp(-j psi) kappa_n a_n, the number is e_d (a + j b) for even d and e_d (b - j a) for odd d.
Phases are computed in double precision; the sum over k and the products of N factors with D terms in single.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.normals import Floats
from isacblocks.kernels.simd import (
    LANES,
    add,
    fused,
    load,
    multiply,
    pairs_high,
    pairs_low,
    pointer,
    repeat,
    spread,
    store,
)


@jit_exact
def echo_factors(gain: complex, kappa: Float, array: Float, out: Floats) -> None:
    """gain kappa_n a_n, real and imaginary parts into `out` (2, N); kappa as pairs (2 N,), a as parts (2, N)."""
    for n in range(out.shape[1]):
        r = gain.real * kappa[2 * n] - gain.imag * kappa[2 * n + 1]
        i = gain.real * kappa[2 * n + 1] + gain.imag * kappa[2 * n]
        out[0, n] = r * array[0, n] - i * array[1, n]
        out[1, n] = r * array[1, n] + i * array[0, n]


@jit_exact
def delay_pairs(table: Floats, terms: Floats, along: Floats, across: Floats) -> None:
    """What a and b are multiplied by in every pair of numbers: (e, 0) and (0, e) for even d, (0, -e) and (e, 0) for odd.

    table: :func:`single_series`, (2, M, C); terms (2 M,): T_k(x); along and across: (4 C,).
    """
    given, series, first, second = pointer(terms), pointer(table), pointer(along), pointer(across)
    rows, columns = table.shape[1], table.shape[2]
    for k in range(LANES):  # the masks (1, 0, 0, -1) and (0, 1, 1, 0), where the results will be
        along[k] = np.float32((k % 4 == 0) - (k % 4 == 3))
        across[k] = np.float32(k % 4 == 1 or k % 4 == 2)
    mask_a, mask_b = load(first, 0), load(second, 0)
    for c in range(0, columns, LANES):
        e0, e1, o0, o1 = spread(np.float32(0.0)), spread(np.float32(0.0)), spread(np.float32(0.0)), spread(np.float32(0.0))
        for m in range(0, rows, 2):
            even, odd = m * columns + c, (rows + m) * columns + c
            e0 = fused(repeat(given, 2 * m), load(series, even), e0)
            o0 = fused(repeat(given, 2 * m + 1), load(series, odd), o0)
            e1 = fused(repeat(given, 2 * m + 2), load(series, even + columns), e1)
            o1 = fused(repeat(given, 2 * m + 3), load(series, odd + columns), o1)
        e, o = add(e0, e1), add(o0, o1)
        low, high = pairs_low(e, o), pairs_high(e, o)  # e_0, e_1, e_2, ...
        _masked(pairs_low(low, low), mask_a, mask_b, first, second, 4 * c)
        _masked(pairs_high(low, low), mask_a, mask_b, first, second, 4 * c + LANES)
        _masked(pairs_low(high, high), mask_a, mask_b, first, second, 4 * c + 2 * LANES)
        _masked(pairs_high(high, high), mask_a, mask_b, first, second, 4 * c + 3 * LANES)


@jit_exact
def _masked(e: Any, mask_a: Any, mask_b: Any, along: Any, across: Any, at: int) -> None:
    store(along, at, multiply(e, mask_a))
    store(across, at, multiply(e, mask_b))


@jit_exact
def echo_rows(factors: Floats, along: Floats, across: Floats, width: int, out: Floats) -> None:
    """The echo as pairs into the first N `width` of `out`, which has room for a vector more.

    Columns from the last to the first: what a vector writes beyond its row is written again with the next row's first one.
    """
    given, first, second, place = pointer(factors), pointer(along), pointer(across), pointer(out)
    elements = factors.shape[1]
    for column in range((width - 1) // LANES * LANES, -LANES, -LANES):
        e_a, e_b = load(first, column), load(second, column)
        for n in range(elements):
            a, b = repeat(given, n), repeat(given, elements + n)
            store(place, n * width + column, fused(a, e_a, multiply(b, e_b)))
