"""Map, peak and snapshot, eqs. (9)-(11), from delay-compressed frames: what peak.py does at a tenth of the samples.

    s_ij = sum_d r_id c_d(tau_j),   r_id = sum_n conj(kappa_n a_n(theta_i)) g_nd

Here the angle comes first, because there are fewer basis functions than points of the delay grid. c_d = (common phase) e_d
with e_d real for even d and imaginary for odd d, and the common phase does not change the map, so the second sum takes real
coefficients.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.angle_delay import Real, padded, weights
from isacblocks.kernels.arrays import Complex, Float, frozen, real_view
from isacblocks.kernels.delay_basis import Compressed, DelayBasis, coefficients
from isacblocks.kernels.jit import jit
from isacblocks.kernels.peak import Peaks, _argmax, found_peaks, project
from isacblocks.kernels.refinement import newton_place
from isacblocks.kernels.steering import array_table, pitch_of


@jit
def delay_rows(vectors: Float, spacing: float, centre: float, tau: Float, out: Real) -> None:
    """The real coefficients of a grid of delays as rows, (D padded, n_tau); rows beyond D stay zero.

    e_d for even d, e_d / j for odd d.
    """
    rank = vectors.shape[1]
    table = np.empty((tau.shape[0], rank), np.complex128)
    coefficients(vectors, spacing, centre, tau, table)
    middle = 0.5 * (vectors.shape[0] - 1)
    for j in range(tau.shape[0]):
        phase = 2.0 * math.pi * spacing * (tau[j] - centre) * middle
        turn = complex(math.cos(phase), -math.sin(phase))
        for d in range(rank):
            value = table[j, d] * turn
            out[d, j] = value.real if d % 2 == 0 else value.imag


@jit
def split(g: Real, g_r: Real, g_i: Real) -> None:
    """Real pairs (N, 2 D) to (N padded, D padded) arrays of real and imaginary parts; the padding stays zero."""
    for n in range(g.shape[0]):
        for d in range(g.shape[1] // 2):
            g_r[n, d] = g[n, 2 * d]
            g_i[n, d] = g[n, 2 * d + 1]


@jit
def beams(w_r: Real, w_i: Real, g_r: Real, g_i: Real, out: Real) -> None:
    """r_id = sum_n conj(w_in) g_nd, as the two real rows per angle that meet the real delay coefficients.

    out (2 n_theta, D padded): row i is (Re r_0, -Im r_1, Re r_2, ...), row n_theta + i is (Im r_0, Re r_1, Im r_2, ...).
    """
    count, rank = w_r.shape[0], g_r.shape[1]
    row_r, row_i = np.empty(rank, out.dtype), np.empty(rank, out.dtype)
    for i in range(count):
        for d in range(rank):
            row_r[d] = 0.0
            row_i[d] = 0.0
        for n in range(0, g_r.shape[0], 2):
            a_r, a_i, c_r, c_i = w_r[i, n], w_i[i, n], w_r[i, n + 1], w_i[i, n + 1]
            p_r, p_i, q_r, q_i = g_r[n], g_i[n], g_r[n + 1], g_i[n + 1]
            for d in range(rank):
                row_r[d] += a_r * p_r[d] + a_i * p_i[d] + c_r * q_r[d] + c_i * q_i[d]
                row_i[d] += a_r * p_i[d] - a_i * p_r[d] + c_r * q_i[d] - c_i * q_r[d]
        for d in range(0, rank, 2):
            out[i, d], out[i, d + 1] = row_r[d], -row_i[d + 1]
            out[count + i, d], out[count + i, d + 1] = row_i[d], row_r[d + 1]


@jit
def expand(rows: Real, table: Real, scratch: Real, power: Real) -> None:
    """power_ij = |s_ij|^2 from :func:`beams` and :func:`delay_rows`; scratch (2, n_tau)."""
    count = power.shape[0]
    real, imag = scratch[0], scratch[1]
    for i in range(count):
        for j in range(table.shape[1]):
            real[j] = 0.0
            imag[j] = 0.0
        for d in range(0, table.shape[0], 4):
            a0, a1, a2, a3 = rows[i, d], rows[i, d + 1], rows[i, d + 2], rows[i, d + 3]
            b0, b1, b2, b3 = rows[count + i, d], rows[count + i, d + 1], rows[count + i, d + 2], rows[count + i, d + 3]
            t0, t1, t2, t3 = table[d], table[d + 1], table[d + 2], table[d + 3]
            for j in range(table.shape[1]):
                real[j] += a0 * t0[j] + a1 * t1[j] + a2 * t2[j] + a3 * t3[j]
                imag[j] += b0 * t0[j] + b1 * t1[j] + b2 * t2[j] + b3 * t3[j]
        for j in range(table.shape[1]):
            power[i, j] = real[j] * real[j] + imag[j] * imag[j]


@jit
def compressed_snapshot(
    g: Real,
    vectors: Float,
    positions: Float,
    pitch: float,
    spacing: float,
    centre: float,
    theta: float,
    tau: float,
    out: Complex,
) -> None:
    """u_n = conj(a_n(theta)) sum_d g_nd c_d(tau) in double precision, complex128 (N,)."""
    rank = vectors.shape[1]
    c = np.empty((1, rank), np.complex128)
    coefficients(vectors, spacing, centre, np.full(1, tau), c)
    array = np.empty((2, 1, out.shape[0]))
    array_table(positions, pitch, np.full(1, theta), array[0], array[1])
    for n in range(out.shape[0]):
        total = 0.0 + 0.0j
        for d in range(rank):
            total += complex(np.float64(g[n, 2 * d]), np.float64(g[n, 2 * d + 1])) * c[0, d]
        out[n] = complex(array[0, 0, n], -array[1, 0, n]) * total


@jit
def compressed_moments(
    g: Real, vectors: Float, spacing: float, centre: float, tau: float, table: Complex, out: Complex
) -> None:
    """What :func:`refinement.moments` makes of the whole frame: m_kn = sum_s z_ns (s - (S - 1)/2)^k conj(b_s(tau)), (3, N).

    conj(b) weighted with powers of s is, up to factors, its derivative over the delay, and lies in the basis as b itself
    does. table: scratch, (3, D).
    """
    carriers, rank = vectors.shape
    middle = 0.5 * (carriers - 1)
    step = 2.0 * math.pi * spacing * (tau - centre)
    table[:, :] = 0.0
    for s in range((carriers + 1) // 2):  # an even and an odd function of s - middle make twice their half, or nothing
        number = s - middle
        fold = 1.0 if 2 * s == carriers - 1 else 2.0
        even, odd = fold * math.cos(number * step), complex(0.0, fold * math.sin(number * step))
        for d in range(rank):
            first, second = (even + 0j, odd) if d % 2 == 0 else (odd, even + 0j)
            table[0, d] += vectors[s, d] * first
            table[1, d] += vectors[s, d] * number * second
            table[2, d] += vectors[s, d] * number * number * first
    turn = complex(math.cos(middle * step), math.sin(middle * step))
    for n in range(out.shape[1]):
        for k in range(3):
            total = 0.0 + 0.0j
            for d in range(rank):
                total += complex(np.float64(g[n, 2 * d]), np.float64(g[n, 2 * d + 1])) * table[k, d]
            out[k, n] = total * turn


@jit
def compressed_peaks(
    g: Real,
    kappa: Complex,
    vectors: Float,
    centre: float,
    positions: Float,
    pitch: float,
    spacing: float,
    theta: Float,
    tau: Float,
    refine: bool,
    maps: Real,
    index: NDArray[np.int64],
    place: Float,
    snapshot: Complex,
    correlation: Complex,
) -> None:
    """Eqs. (9)-(10) for F compressed frames, g real pairs (F, N, 2 D); results as for :func:`peak.peak_frames`."""
    elements, rank = g.shape[1], padded(g.shape[2] // 2, 4)
    n_theta, n_tau = theta.shape[1], tau.shape[1]
    kind = g.dtype
    table = np.zeros((rank, n_tau), kind)
    parts = np.zeros((2, padded(elements, 2), rank), kind)
    w = np.zeros((2, n_theta, parts.shape[1]), kind)
    rows = np.empty((2 * n_theta, rank), kind)
    scratch = np.empty((2, n_tau), kind)
    m_table, m = np.empty((3, vectors.shape[1]), np.complex128), np.empty((3, elements), np.complex128)
    other = np.empty(elements, np.complex128)
    for f in range(g.shape[0]):
        angles = theta[f if theta.shape[0] > 1 else 0]
        delays = tau[f if tau.shape[0] > 1 else 0]
        if f == 0 or tau.shape[0] > 1:
            delay_rows(vectors, spacing, centre, delays, table)
        if f == 0 or theta.shape[0] > 1:
            weights(kappa, positions, pitch, angles, w[0], w[1])
        split(g[f], parts[0], parts[1])
        power = maps[f if maps.shape[0] > 1 else 0]
        beams(w[0], w[1], parts[0], parts[1], rows)
        expand(rows, table, scratch, power)
        i, j = _argmax(power)
        index[f, 0] = i
        index[f, 1] = j
        angle, delay = angles[i], delays[j]
        u = snapshot[f]
        compressed_snapshot(g[f], vectors, positions, pitch, spacing, centre, angle, delay, u)
        correlation[f] = project(kappa, u)
        if refine:
            compressed_moments(g[f], vectors, spacing, centre, delay, m_table, m)
            carriers = vectors.shape[0]
            better_angle, better_delay = newton_place(kappa, positions, pitch, spacing, carriers, angles, delays, i, j, m)
            compressed_snapshot(g[f], vectors, positions, pitch, spacing, centre, better_angle, better_delay, other)
            better = project(kappa, other)
            if abs(better) > abs(correlation[f]):  # else the map is too rough for the grid: the point stays
                angle, delay = better_angle, better_delay
                correlation[f] = better
                u[:] = other
        place[f, 0] = angle
        place[f, 1] = delay


def search_compressed_literally(
    frames: Compressed,
    basis: DelayBasis,
    kappa: Complex,
    theta: Float,
    tau: Float,
    refine: bool = False,
    maps: NDArray[Any] | None = None,
) -> Peaks:
    """The maxima of the maps of compressed frames by the sums as they are written, in the precision of the frames.

    kappa: complex128 (N,); theta, tau: grids (F or 1, n) inside the basis's window; maps: where the maps themselves are to
    be left, (F, n_theta, n_tau) in the precision of the frames.
    """
    count, elements = frames.g.shape[:2]
    radar = basis.radar
    pairs = real_view(frames.g)
    if maps is None:
        maps = np.empty((1, theta.shape[1], tau.shape[1]), pairs.dtype)
    index = np.empty((count, 2), np.int64)
    place = np.empty((count, 2))
    snapshot = np.empty((count, elements), np.complex128)
    correlation = np.empty(count, np.complex128)
    compressed_peaks(
        pairs,
        frozen(kappa),
        frozen(basis.vectors),
        basis.centre,
        frozen(radar.positions),
        pitch_of(radar),
        radar.subcarrier_spacing,
        frozen(theta),
        frozen(tau),
        refine,
        maps,
        index,
        place,
        snapshot,
        correlation,
    )
    return found_peaks(index, place, snapshot, correlation, frames.energy, frames.symbol_energy)
