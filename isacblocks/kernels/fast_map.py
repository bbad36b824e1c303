"""The map of one frame from its delay basis, eq. (11), at the machine's speed.

The same sums as in compressed_peak.py, with the angles in a basis too (angle_basis.py). From a frame in its delay basis,
g (N, D), d running over all but the last step as columns of real pairs:

    z_nd = conj(kappa_n) exp(j 2 pi d n' u_c) g_nd          each antenna turned to the middle of the sector
    h    = z_n + z_(N-1-n) and j (z_n - z_(N-1-n))          n < N/2: the array folded
    core = sum_n v_nk h_n                                   K functions of the angle instead of N antennas
    r_i  = sum_k eps_k(u_i - u_c) core_k                    every angle of the grid
    s_ij = sum_d r_id e_d(tau_j)                            every delay; e_d real for even d, imaginary for odd d

Where the grid of delays lies evenly about the middle of the window, the delays tau_j and tau_(n-1-j) share the sums over
even and over odd d, and half of the last step is saved. All steps but the folding are products of real matrices.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.angle_basis import direct, interpolated, sines, width_of
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.products import product
from isacblocks.kernels.simd import (
    LANES,
    Floats,
    Pointer,
    add,
    fused,
    load,
    multiply,
    pairs_low,
    pointer,
    spread,
    store,
    subtract,
    swapped,
)


@jit
def _folded_array(
    g: Pointer, row: int, kappa: Complex, spacing: float, centre: float, antennas: int, columns: int, h: Pointer
) -> None:
    """h: rows n < N/2 of z_n + z_(N-1-n), then of j (z_n - z_(N-1-n)), z_n = conj(kappa_n) exp(j 2 pi d n' u_c) g_n."""
    half = (antennas + 1) // 2
    weight = np.empty((2, antennas), np.float32)
    step = 2.0 * math.pi * spacing * centre
    turn_r, turn_i = math.cos(step), math.sin(step)
    real, imag = math.cos(-0.5 * (antennas - 1) * step), math.sin(-0.5 * (antennas - 1) * step)
    for n in range(half):  # the turns of n and of N - 1 - n are conjugate
        m = antennas - 1 - n
        weight[0, n] = np.float32(kappa[n].real * real + kappa[n].imag * imag)
        weight[1, n] = np.float32(kappa[n].real * imag - kappa[n].imag * real)
        weight[0, m] = np.float32(kappa[m].real * real - kappa[m].imag * imag)
        weight[1, m] = np.float32(-kappa[m].real * imag - kappa[m].imag * real)
        real, imag = real * turn_r - imag * turn_i, real * turn_i + imag * turn_r
    minus, plus = spread(np.float32(-1.0)), spread(np.float32(1.0))
    sign = pairs_low(minus, plus)  # j (a, b) = (-b, a)
    for n in range(antennas // 2):
        m = antennas - 1 - n
        n_r, n_i = spread(weight[0, n]), multiply(sign, spread(weight[1, n]))
        m_r, m_i = spread(weight[0, m]), multiply(sign, spread(weight[1, m]))
        for c in range(0, columns, LANES):
            here, there = load(g, n * row + c), load(g, m * row + c)
            here = fused(here, n_r, multiply(swapped(here), n_i))
            there = fused(there, m_r, multiply(swapped(there), m_i))
            store(h, n * columns + c, add(here, there))
            store(h, (half + n) * columns + c, multiply(sign, swapped(subtract(here, there))))
    if antennas % 2:
        n = half - 1
        n_r, n_i = spread(weight[0, n]), multiply(sign, spread(weight[1, n]))
        for c in range(0, columns, LANES):
            here = load(g, n * row + c)
            store(h, n * columns + c, fused(here, n_r, multiply(swapped(here), n_i)))
            store(h, (half + n) * columns + c, spread(np.float32(0.0)))


@jit_apart
def sector_core(
    g: Pointer,
    row: int,
    kappa: Complex,
    spacing: float,
    antennas: int,
    columns: int,
    theta: Float,
    bases: tuple[Floats, Floats, NDArray[np.int64], Float],
    u: Float,
    h: Pointer,
    core: Pointer,
) -> tuple[int, float, float]:
    """From the first `columns` of g (N, row), both whole vectors, to the core of the frame's sector; u = sin(theta) is left
    in `u`.

    Returns the number of the basis, -1 where there is none and h is all there is, and the smallest and largest u.
    """
    layout, half = bases[2], (antennas + 1) // 2
    low, high = sines(theta, u)
    _folded_array(g, row, kappa, spacing, 0.5 * (low + high), antennas, columns, h)
    width = width_of(0.5 * (high - low), bases[3])
    if width >= 0:
        even, terms = layout[width, 1], layout[width, 1] + layout[width, 2]
        for parity in range(2):
            first, count = parity * even, terms - even if parity else even
            at = layout[width, 0] + first
            shape = (count, half, columns)
            product(
                pointer(bases[0]), at, 1, terms, h, parity * half * columns, columns, shape, core, first * columns, columns
            )
    return width, low, high


@jit_apart
def beam_rows(
    u: Float,
    centre: float,
    width: int,
    spacing: float,
    antennas: int,
    columns: int,
    bases: tuple[Floats, Floats, NDArray[np.int64], Float],
    h: Pointer,
    core: Pointer,
    e: Pointer,
    beams: Pointer,
) -> None:
    """r_i for all of u, (n_theta, columns), from what :func:`sector_core` has left; e: scratch."""
    count = u.shape[0]
    if width < 0:  # no basis: the folded array itself meets cos and sin
        terms = across = (antennas + 1) // 2 * 2
        direct(u, centre, spacing, antennas, across, e)
        product(e, 0, across, 1, h, 0, columns, (count, terms, columns), beams, 0, columns)
        return
    layout = bases[2]
    terms, across = layout[width, 1] + layout[width, 2], layout[width, 5]
    interpolated(u, centre, bases[3][width, 1], pointer(bases[1]), layout[width, 3], layout[width, 4], across, e)
    product(e, 0, across, 1, core, 0, columns, (count, terms, columns), beams, 0, columns)


@jit
def padded_rows(g: Pointer, at: int, antennas: int, rank: int, columns: int, out: Pointer) -> None:
    """Rows of 2 D numbers of g, from `at` on, to rows of `columns`; what is beyond 2 D is left alone."""
    whole = 2 * rank // LANES * LANES
    for n in range(antennas):
        for c in range(0, whole, LANES):
            store(out, n * columns + c, load(g, at + n * 2 * rank + c))
        for c in range(whole, 2 * rank):
            out[n * columns + c] = g[at + n * 2 * rank + c]
