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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.angle_basis import direct, interpolated, sines, width_of
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.products import product
from isacblocks.kernels.simd import (
    LANES,
    WIDE,
    Floats,
    Pointer,
    add,
    backwards,
    fused,
    largest,
    load,
    multiply,
    pairs_low,
    pointer,
    repeat,
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
    for n in range(antennas):
        weight[0, n] = np.float32(kappa[n].real * real + kappa[n].imag * imag)
        weight[1, n] = np.float32(kappa[n].real * imag - kappa[n].imag * real)
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
def _power_pair(
    re_e: Any, im_e: Any, im_o: Any, re_o: Any, mirrored: bool, power: Pointer, at: int, across: int, top: Any
) -> Any:
    """|s|^2 of 16 delays to `at`, of their mirror images to at + across; returns the larger of `top` and these."""
    real, imag = subtract(re_e, im_o), add(im_e, re_o)
    here = fused(real, real, multiply(imag, imag))
    store(power, at, here)
    top = largest(here, top)
    if mirrored:
        real, imag = add(re_e, im_o), subtract(im_e, re_o)
        there = fused(real, real, multiply(imag, imag))
        store(power, at + across, there)
        top = largest(there, top)
    return top


@jit
def _powers_64(
    beams: Pointer,
    b: int,
    tables: Pointer,
    t: int,
    terms: tuple[int, int, int],
    mirrored: bool,
    power: Pointer,
    at: int,
    top: Any,
) -> Any:
    """:func:`_powers_16` for 64 delays: sixteen sums in registers, all of them going on at the same time."""
    evens, odds, across = terms
    u = t + evens * across
    p0 = p1 = p2 = p3 = q0 = q1 = q2 = q3 = spread(np.float32(0.0))
    r0 = r1 = r2 = r3 = s0 = s1 = s2 = s3 = spread(np.float32(0.0))
    for k in range(odds):
        re, im = repeat(beams, b + 4 * k), repeat(beams, b + 4 * k + 1)
        e0, e1 = load(tables, t + k * across), load(tables, t + k * across + LANES)
        e2, e3 = load(tables, t + k * across + 2 * LANES), load(tables, t + k * across + 3 * LANES)
        p0, p1, p2, p3 = fused(re, e0, p0), fused(re, e1, p1), fused(re, e2, p2), fused(re, e3, p3)
        q0, q1, q2, q3 = fused(im, e0, q0), fused(im, e1, q1), fused(im, e2, q2), fused(im, e3, q3)
        re, im = repeat(beams, b + 4 * k + 2), repeat(beams, b + 4 * k + 3)
        e0, e1 = load(tables, u + k * across), load(tables, u + k * across + LANES)
        e2, e3 = load(tables, u + k * across + 2 * LANES), load(tables, u + k * across + 3 * LANES)
        r0, r1, r2, r3 = fused(im, e0, r0), fused(im, e1, r1), fused(im, e2, r2), fused(im, e3, r3)
        s0, s1, s2, s3 = fused(re, e0, s0), fused(re, e1, s1), fused(re, e2, s2), fused(re, e3, s3)
    for k in range(odds, evens):  # the last even d, where the odd ones are one fewer
        re, im = repeat(beams, b + 4 * k), repeat(beams, b + 4 * k + 1)
        e0, e1 = load(tables, t + k * across), load(tables, t + k * across + LANES)
        e2, e3 = load(tables, t + k * across + 2 * LANES), load(tables, t + k * across + 3 * LANES)
        p0, p1, p2, p3 = fused(re, e0, p0), fused(re, e1, p1), fused(re, e2, p2), fused(re, e3, p3)
        q0, q1, q2, q3 = fused(im, e0, q0), fused(im, e1, q1), fused(im, e2, q2), fused(im, e3, q3)
    top = _power_pair(p0, q0, r0, s0, mirrored, power, at, across, top)
    top = _power_pair(p1, q1, r1, s1, mirrored, power, at + LANES, across, top)
    top = _power_pair(p2, q2, r2, s2, mirrored, power, at + 2 * LANES, across, top)
    return _power_pair(p3, q3, r3, s3, mirrored, power, at + 3 * LANES, across, top)


@jit
def _powers_16(
    beams: Pointer,
    b: int,
    tables: Pointer,
    t: int,
    terms: tuple[int, int, int],
    mirrored: bool,
    power: Pointer,
    at: int,
    top: Any,
) -> Any:
    """|s|^2 of one angle, r at `b`, and 16 delays, tables from `t` on, to `at`; see :func:`_power_pair`."""
    evens, odds, across = terms
    re_e = im_e = re_o = im_o = spread(np.float32(0.0))
    for k in range(evens):
        e = load(tables, t + k * across)
        re_e, im_e = fused(repeat(beams, b + 4 * k), e, re_e), fused(repeat(beams, b + 4 * k + 1), e, im_e)
    t += evens * across
    for k in range(odds):
        e = load(tables, t + k * across)
        re_o, im_o = fused(repeat(beams, b + 4 * k + 2), e, re_o), fused(repeat(beams, b + 4 * k + 3), e, im_o)
    return _power_pair(re_e, im_e, im_o, re_o, mirrored, power, at, across, top)


@jit
def _unfolded(row: Pointer, across: int, mirrored: bool, delays: int, out: Pointer, at: int) -> None:
    """A row of powers in the order of the grid, to `at`."""
    here = (delays + 1) // 2 if mirrored else delays
    there = delays - here
    for j in range(0, here // LANES * LANES, LANES):
        store(out, at + j, load(row, j))
    for j in range(here // LANES * LANES, here):
        out[at + j] = row[j]
    at += delays
    for j in range(0, there // LANES * LANES, LANES):
        store(out, at - LANES - j, backwards(load(row, across + j)))
    for j in range(there // LANES * LANES, there):
        out[at - 1 - j] = row[across + j]


@jit_apart
def powers(
    first: int,
    last: int,
    beams: Pointer,
    columns: int,
    tables: Pointer,
    terms: tuple[int, int, int],
    mirrored: bool,
    row: Pointer,
    best: Pointer,
    delays: int,
    out: Pointer,
    start: int,
) -> None:
    """|s_ij|^2 of the angles from `first` to before `last`, to a map (n_theta, n_tau) at `start` unless that is below 0.

    tables: of a DelayGrid, flat; terms: even d, odd d, delays; row: scratch, at the end the last angle's powers: the first
    half of the delays, padded, then the second half backwards where `mirrored`; best: the largest of every angle in 16
    lanes. The columns of beams are Re r_0, Im r_0, Re r_1, ...
    """
    across = terms[2]
    for i in range(first, last):
        top = spread(np.float32(0.0))
        c = 0
        while WIDE and across - c >= 4 * LANES:
            top = _powers_64(beams, i * columns, tables, c, terms, mirrored, row, c, top)
            c += 4 * LANES
        while c < across:
            top = _powers_16(beams, i * columns, tables, c, terms, mirrored, row, c, top)
            c += LANES
        store(best, i * LANES, top)
        if start >= 0:
            _unfolded(row, across, mirrored, delays, out, start + i * delays)


@jit
def padded_rows(g: Pointer, at: int, antennas: int, rank: int, columns: int, out: Pointer) -> None:
    """Rows of 2 D numbers of g, from `at` on, to rows of `columns`; what is beyond 2 D is left alone."""
    whole = 2 * rank // LANES * LANES
    for n in range(antennas):
        for c in range(0, whole, LANES):
            store(out, n * columns + c, load(g, at + n * 2 * rank + c))
        for c in range(whole, 2 * rank):
            out[n * columns + c] = g[at + n * 2 * rank + c]
