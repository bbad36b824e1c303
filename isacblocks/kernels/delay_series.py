"""The coefficients c(tau) of one delay in a basis, by a Chebyshev series: a tenth of the direct sum's work.

c_d(tau) = exp(j pi (S - 1) Delta_f delta) e_d, delta = tau - tau_c, with e_d real and even in delta for even d, imaginary
and odd for odd d, see compression.py. Over the window, delta = h x with |x| <= 1, h half its width,

    e_d = sum_m a_dm T_2m(x)  (even d),   e_d = j sum_m a_dm T_(2m+1)(x)  (odd d).

The fastest phase in e_d is c = pi (S - 1) Delta_f h, and the expansion of exp(j c x) has the terms J_k(c), which fall off
faster than exponentially beyond k = c. T_k(x) = Re (x + j sqrt(1 - x^2))^k: powers of one number, no cosine.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float, frozen
from isacblocks.kernels.delay_basis import DelayBasis
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.products import aligned_copy
from isacblocks.kernels.simd import LANES, fma
from isacblocks.kernels.steering import powers

_ERROR = 1e-10  # of a delay vector relative to its length sqrt(S): nothing beside the basis's own error


@lru_cache(maxsize=32)
def chebyshev_series(basis: DelayBasis) -> Float:
    """a_dm as (2, M, D / 2): even and odd d apart; M padded to a multiple of four, D / 2 to one of eight."""
    radar, half = basis.radar, 0.5 * (basis.window[1] - basis.window[0])
    spacing, carriers = radar.subcarrier_spacing, radar.subcarriers
    c = math.pi * (carriers - 1) * spacing * half
    nodes = 4 * math.ceil((c + 12.0 * c ** (1 / 3) + 24.0) / 4)
    angle = math.pi * (np.arange(nodes) + 0.5) / nodes  # e at the zeros of T_K, and the discrete cosine transform
    delta = half * np.cos(angle)
    e = basis.coefficients(basis.centre + delta) * np.exp(-1j * math.pi * (carriers - 1) * spacing * delta)[:, None]
    values = np.where(np.arange(basis.rank) % 2 == 0, e.real, e.imag)
    a = np.cos(np.arange(nodes)[:, None] * angle) @ values * (2.0 / nodes)
    a[0] *= 0.5
    tail = np.cumsum(np.abs(a[::-1]).max(axis=1))[::-1]  # of the terms k, k + 1, ...
    terms = int(np.argmax(np.append(tail, 0.0) <= _ERROR * math.sqrt(carriers)))
    out = np.zeros((2, -(-terms // 8) * 4, -(-basis.rank // 16) * 8))
    for parity in range(2):
        part = a[parity:terms:2, parity::2]
        out[parity, : part.shape[0], : part.shape[1]] = part
    return frozen(out)


@lru_cache(maxsize=32)
def single_series(basis: DelayBasis) -> NDArray[np.float32]:
    """:func:`chebyshev_series` in single precision, D / 2 padded to a multiple of 16: (2, M, C)."""
    series = chebyshev_series(basis)
    padded = np.zeros((*series.shape[:2], -(-series.shape[2] // LANES) * LANES))
    padded[:, :, : series.shape[2]] = series
    return aligned_copy(padded)


@jit_exact
def delay_terms(series: Float, x: float, scratch: Float, terms: Float) -> None:
    """e_d for even d into `terms[0]` and e_d / j for odd d into `terms[1]`, (2, columns of `series`).

    x: (tau - tau_c) / h; scratch: (2, twice the rows of `series`).
    """
    powers(x, math.sqrt(max(1.0 - x * x, 0.0)), scratch[0], scratch[1])
    for parity in range(2):
        a, total = series[parity], terms[parity]
        total[:] = 0.0
        for m in range(0, a.shape[0], 4):
            k = 2 * m + parity
            t0, t1, t2, t3 = scratch[0, k], scratch[0, k + 2], scratch[0, k + 4], scratch[0, k + 6]
            a0, a1, a2, a3 = a[m], a[m + 1], a[m + 2], a[m + 3]
            for d in range(total.shape[0]):
                total[d] = fma(a3[d], t3, fma(a2[d], t2, fma(a1[d], t1, fma(a0[d], t0, total[d]))))
