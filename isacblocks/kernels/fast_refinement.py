"""The Newton step of refinement.py for frames in a delay basis and uniform linear arrays, antennas before delays.

The phase rates of a uniform linear array are proportional to n' = n - (N - 1)/2, those of the subcarriers to s' = s - (S -
1)/2, so that all six sums of the step are

    s_qk = sum_d r_qd t_kd,   r_qd = sum_n conj(kappa_n a_n(theta)) n'^q g_nd,   t_kd = sum_s v_sd s'^k exp(j 2 pi s' Delta_f
    (tau - tau_c))

up to the common phase of a, of c and factors: three rows r_q from one product of real matrices, three rows t_k that the grid
keeps (:class:`~isacblocks.kernels.delay_grid.DelayGrid`). Off the grid e_d = t_0d comes from its series, delay_series.py.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.delay_series import delay_terms
from isacblocks.kernels.fast_snapshot import single_snapshot
from isacblocks.kernels.jit import jit
from isacblocks.kernels.peak import project
from isacblocks.kernels.products import aligned, product
from isacblocks.kernels.refinement import newton_step, of_logarithm
from isacblocks.kernels.simd import Floats, Pointer, pointer


@jit
def _weights(kappa: Complex, pitch: float, theta: float, out: Floats) -> None:
    """conj(kappa_n a_n) n'^q less a common phase: real parts for q = 0, 1, 2, then imaginary parts, `out` (6, N)."""
    count = kappa.shape[0]
    middle = 0.5 * (count - 1)
    step = 2.0 * math.pi * pitch * math.sin(theta)
    turn_r, turn_i = math.cos(step), math.sin(step)
    a_r, a_i = 1.0, 0.0
    for n in range(count):
        real, imag = kappa[n].real * a_r + kappa[n].imag * a_i, kappa[n].real * a_i - kappa[n].imag * a_r
        number = n - middle
        out[0, n], out[3, n] = np.float32(real), np.float32(imag)
        out[1, n], out[4, n] = np.float32(real * number), np.float32(imag * number)
        out[2, n], out[5, n] = np.float32(real * number * number), np.float32(imag * number * number)
        a_r, a_i = a_r * turn_r - a_i * turn_i, a_r * turn_i + a_i * turn_r


@jit
def _total(rows: Floats, q: int, terms: Float, odd: int) -> complex:
    """sum_d r_qd t_kd; t_kd is real for even d and imaginary for odd d, or the other way round where k is `odd`."""
    real, imag = 0.0, 0.0
    for d in range(terms.shape[0]):
        r = np.float64(rows[q, 2 * d]) - np.float64(rows[3 + q, 2 * d + 1])
        i = np.float64(rows[q, 2 * d + 1]) + np.float64(rows[3 + q, 2 * d])
        if (d + odd) % 2:
            r, i = -i, r
        real += r * terms[d]
        imag += i * terms[d]
    return complex(real, imag)


@jit
def fast_newton_place(
    g: Pointer,
    columns: int,
    kappa: Complex,
    positions: Float,
    pitch: float,
    spacing: float,
    carriers: int,
    moments: Float,
    theta: Float,
    tau: Float,
    i: int,
    j: int,
    weights: Floats,
    rows: Floats,
    d: Float,
) -> tuple[float, float]:
    """(theta, tau) one Newton step away from point (i, j) of the grids, inside its cell.

    g: padded rows (N, columns); moments: those of a DelayGrid at tau_j, (3, D). Scratch: weights (6, N), rows (6, columns),
    d (5,).
    """
    count = kappa.shape[0]
    _weights(kappa, pitch, theta[i], weights)
    product(pointer(weights), 0, count, 1, g, 0, columns, (6, count, columns), pointer(rows), 0, columns)
    rate = 2.0 * math.pi * pitch * math.cos(theta[i])  # of the phase of conj(a_n) over theta, per n'
    second = -2.0 * math.pi * pitch * math.sin(theta[i])
    s_10, s_20 = _total(rows, 1, moments[0], 0), _total(rows, 2, moments[0], 0)
    of_logarithm(
        _total(rows, 0, moments[0], 0),
        1j * rate * s_10,
        1j * _total(rows, 0, moments[1], 1),
        1j * second * s_10 - rate * rate * s_20,
        -rate * _total(rows, 1, moments[1], 1),
        -_total(rows, 0, moments[2], 0),
        2.0 * math.pi * spacing,
        d,
    )
    return newton_step(positions, spacing, carriers, theta, tau, i, j, d)


@jit
def delay_row(
    series: Float, rank: int, carriers: int, spacing: float, delta: float, half: float, scratch: Float, terms: Float,
    out: Floats,
) -> complex:  # fmt: skip
    """A delay off the grid, tau_c + delta, as snapshots take it: `out` (2, columns); returns the phase of c_d = phase e_d.

    half: that of the window; series: of the basis; scratch and terms as for :func:`delay_terms`.
    """
    delay_terms(series, delta / half, scratch, terms)
    for d in range(rank):
        value = np.float32(terms[d % 2, d // 2])
        out[0, 2 * d + d % 2] = -value if d % 2 else value  # Re(g e) = Re g e, or -Im g e / j
        out[1, 2 * d + 1 - d % 2] = value
    phase = math.pi * (carriers - 1) * spacing * delta
    return complex(math.cos(phase), math.sin(phase))


@jit
def fast_refined(
    g: Pointer,
    columns: int,
    kappa: Complex,
    positions: Float,
    pitch: float,
    spacing: float,
    carriers: int,
    rank: int,
    window: tuple[float, float],
    series: Float,
    moments: Float,
    theta: Float,
    tau: Float,
    i: int,
    j: int,
    scratch: tuple[Floats, Floats, Floats, Float, Float, Float],
    out: Complex,
) -> tuple[float, float, complex]:
    """(theta, tau, s) at the end of the step of :func:`fast_newton_place`, and the snapshot there in `out`.

    window: the middle and half the width of the basis's; series: of the basis; scratch: :func:`refinement_scratch`.
    """
    weights, rows, row, turns, terms, d = scratch
    angle, delay = fast_newton_place(
        g, columns, kappa, positions, pitch, spacing, carriers, moments, theta, tau, i, j, weights, rows, d
    )
    turn = delay_row(series, rank, carriers, spacing, delay - window[0], window[1], turns, terms, row)
    single_snapshot(g, columns, pointer(row), 0, turn, pitch, angle, out)
    return angle, delay, project(kappa, out)


@jit
def refinement_scratch(antennas: int, columns: int, series: Float) -> tuple[Floats, Floats, Floats, Float, Float, Float]:
    """What :func:`fast_refined` works in."""
    row = aligned(2 * columns).reshape((2, columns))
    row[:, :] = 0.0
    rows = aligned(6 * columns).reshape((6, columns))
    turns, terms = np.empty((2, 2 * series.shape[1])), np.empty((2, series.shape[2]))
    return np.empty((6, antennas), np.float32), rows, row, turns, terms, np.empty(5)
