"""The maximum of the angle-delay map, eqs. (9)-(10), and what the frame looks like there.

What a frame has to say about kappa is the snapshot u_n = conj(a_n(theta_hat)) sum_s Y_ns conj(x_s b_s(tau_hat)): the
map's value at the peak is |s|^2 with s = kappa^H u, and u itself does not depend on kappa. All that follows the map in the
flowgraph works on u, which is 256 times lighter than the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.angle_delay import (
    Real,
    combine,
    correlate,
    delay_table,
    padded,
    strip_symbols,
    weights,
)
from isacblocks.kernels.arrays import Complex, Float, frozen, real_view
from isacblocks.kernels.jit import jit
from isacblocks.kernels.refinement import moment_table, moments, newton_place
from isacblocks.kernels.steering import array_table, phasor_table, pitch_of
from isacblocks.radar import OfdmRadar

# The largest error of the single-precision map, relative to its peak, with a margin: two points closer than this are told
# apart in double precision. Measured maximum over Table I frames: 1.5e-6.
TIE = 8e-6


@jit
def snapshot_at(
    y: Real, x: Real, positions: Float, pitch: float, spacing: float, theta: float, tau: float, out: Complex
) -> None:
    """u_n = conj(a_n(theta)) sum_s Y_ns conj(x_s b_s(tau)) in double precision, complex128 (N,)."""
    elements, carriers = y.shape[0], x.shape[0] // 2
    delay = np.empty((2, 1, carriers))
    phasor_table(np.full(1, -2.0 * math.pi * spacing * tau), delay[0], delay[1])
    c_r = np.empty(carriers)
    c_i = np.empty(carriers)
    for s in range(carriers):  # x_s b_s
        x_r, x_i = np.float64(x[2 * s]), np.float64(x[2 * s + 1])
        c_r[s] = x_r * delay[0, 0, s] - x_i * delay[1, 0, s]
        c_i[s] = x_r * delay[1, 0, s] + x_i * delay[0, 0, s]
    array = np.empty((2, 1, elements))
    array_table(positions, pitch, np.full(1, theta), array[0], array[1])
    for n in range(elements):
        p_r, p_i = 0.0, 0.0
        for s in range(carriers):
            y_r, y_i = np.float64(y[n, 2 * s]), np.float64(y[n, 2 * s + 1])
            p_r += y_r * c_r[s] + y_i * c_i[s]
            p_i += y_i * c_r[s] - y_r * c_i[s]
        a_r, a_i = array[0, 0, n], array[1, 0, n]
        out[n] = complex(a_r * p_r + a_i * p_i, a_r * p_i - a_i * p_r)


@jit
def project(kappa: Complex, u: Complex) -> complex:
    """s = kappa^H u."""
    total = 0.0 + 0.0j
    for n in range(u.shape[0]):
        total += kappa[n].conjugate() * u[n]
    return total


@jit
def _argmax(power: Real) -> tuple[int, int]:
    """Row and column of the first maximum, in the order of the rows."""
    best = power[0, 0]
    row, column = 0, 0
    for i in range(power.shape[0]):
        top = power[i, 0]
        for j in range(power.shape[1]):
            top = max(top, power[i, j])
        if top > best:
            best = top
            row = i
    for j in range(power.shape[1]):
        if power[row, j] == best:
            column = j
            break
    return row, column


@jit
def _untie(
    power: Real,
    tie: float,
    y: Real,
    x: Real,
    kappa: Complex,
    positions: Float,
    pitch: float,
    spacing: float,
    theta: Float,
    tau: Float,
    row: int,
    column: int,
    u: Complex,
) -> tuple[int, int]:
    """The first largest point in double precision among those within `tie` of the peak (row, column); `u` follows it."""
    other = np.empty(u.shape[0], np.complex128)
    floor = power.dtype.type(np.float64(power[row, column]) * (1.0 - tie))
    best = abs(project(kappa, u)) ** 2
    best_i, best_j = row, column
    for i in range(power.shape[0]):
        for j in range(power.shape[1]):
            if power[i, j] >= floor and (i != row or j != column):
                snapshot_at(y, x, positions, pitch, spacing, theta[i], tau[j], other)
                size = abs(project(kappa, other)) ** 2
                earlier = i * power.shape[1] + j < best_i * power.shape[1] + best_j
                if size > best or (size == best and earlier):
                    best, best_i, best_j = size, i, j
                    u[:] = other
    return best_i, best_j


@jit
def _square_sum(values: Real) -> float:
    """sum of squares in double precision."""
    total = 0.0
    for k in range(values.shape[0]):
        total += np.float64(values[k]) * np.float64(values[k])
    return total


@jit
def peak_frames(
    y: Real,
    x: Real,
    kappa: Complex,
    positions: Float,
    pitch: float,
    spacing: float,
    theta: Float,
    tau: Float,
    refine: bool,
    tie: float,
    maps: Real,
    index: NDArray[np.int64],
    place: Float,
    snapshot: Complex,
    correlation: Complex,
    energy: Float,
) -> None:
    """Eqs. (9)-(10) for F frames: where the map is largest, and the snapshot u and s = kappa^H u there.

    Writes index (F, 2), place (F, 2) = (theta_hat, tau_hat), snapshot (F, N), correlation (F,), energy (F, 2) =
    (||Y||^2, ||x||^2), and the maps themselves where `maps` is (F, n_theta, n_tau); (1, n_theta, n_tau) is used as scratch.
    Points of the map within `tie` of its peak are compared again in double precision.
    """
    elements, carriers = y.shape[1], x.shape[1] // 2
    n_theta, n_tau = theta.shape[1], tau.shape[1]
    kind = y.dtype
    z = np.zeros((2, padded(elements, 2), padded(carriers, 4)), kind)
    b = np.zeros((2, z.shape[2], n_tau), kind)
    p = np.empty((2, z.shape[1], n_tau), kind)
    w = np.zeros((2, n_theta, z.shape[1]), kind)
    row = np.empty((2, n_tau), kind)
    m_table = np.zeros((2, 3, z.shape[2]), kind)
    m = np.empty((3, elements), np.complex128)
    other = np.empty(elements, np.complex128)
    for f in range(y.shape[0]):
        angles = theta[f if theta.shape[0] > 1 else 0]
        delays = tau[f if tau.shape[0] > 1 else 0]
        if f == 0 or tau.shape[0] > 1:
            delay_table(spacing, delays, b[0, :carriers], b[1, :carriers])
        if f == 0 or theta.shape[0] > 1:
            weights(kappa, positions, pitch, angles, w[0], w[1])
        strip_symbols(y[f], x[f], z[0], z[1])
        power = maps[f if maps.shape[0] > 1 else 0]
        correlate(z[0], z[1], b[0], b[1], p[0], p[1])
        combine(w[0], w[1], p[0], p[1], row[0], row[1], power)
        i, j = _argmax(power)
        u = snapshot[f]
        snapshot_at(y[f], x[f], positions, pitch, spacing, angles[i], delays[j], u)
        if 0.0 < power[i, j] < np.inf and tie > 0.0:
            i, j = _untie(power, tie, y[f], x[f], kappa, positions, pitch, spacing, angles, delays, i, j, u)
        index[f, 0] = i
        index[f, 1] = j
        angle, delay = angles[i], delays[j]
        correlation[f] = project(kappa, u)
        if refine:
            moment_table(spacing, delay, carriers, m_table[0], m_table[1])
            moments(z[0], z[1], m_table[0], m_table[1], m)
            better_angle, better_delay = newton_place(kappa, positions, pitch, spacing, carriers, angles, delays, i, j, m)
            snapshot_at(y[f], x[f], positions, pitch, spacing, better_angle, better_delay, other)
            better = project(kappa, other)
            if abs(better) > abs(correlation[f]):  # else the map is too rough for the grid: the point stays
                angle, delay = better_angle, better_delay
                correlation[f] = better
                u[:] = other
        place[f, 0] = angle
        place[f, 1] = delay
        energy[f, 0] = 0.0
        for n in range(elements):
            energy[f, 0] += _square_sum(y[f, n])
        energy[f, 1] = _square_sum(x[f])


@dataclass(frozen=True)
class Peaks:
    """Where the angle-delay maps of F frames are largest, and what the frames look like there.

    statistic: |a^H(theta_hat; kappa) Y (b(tau_hat) . x)^*|^2, eq. (9), shape (F,), not normalised;
    index: row and column of the grid point, int64 (F, 2); theta: rad (F,); tau: s (F,);
    snapshot: u, complex128 (F, N); correlation: s = kappa^H u, complex128 (F,); energy: ||Y||_F^2 (F,);
    symbol_energy: ||x||^2 (F,).
    """

    statistic: Float
    index: NDArray[np.int64]
    theta: Float
    tau: Float
    snapshot: NDArray[np.complex128]
    correlation: NDArray[np.complex128]
    energy: Float
    symbol_energy: Float


def found_peaks(
    index: NDArray[np.int64],
    place: Float,
    snapshot: NDArray[np.complex128],
    correlation: NDArray[np.complex128],
    energy: Float,
    symbol_energy: Float,
) -> Peaks:
    """Peaks from what the kernels write; place (F, 2) = (theta_hat, tau_hat)."""
    statistic = np.abs(correlation) ** 2
    return Peaks(statistic, index, place[:, 0], place[:, 1], snapshot, correlation, energy, symbol_energy)


def search_literally(
    frames: Complex,
    symbols: Complex,
    kappa: Complex,
    theta: Float,
    tau: Float,
    radar: OfdmRadar,
    refine: bool,
    maps: Real | None = None,
) -> Peaks:
    """The maxima of the maps of F frames by the sums as they are written, in the precision of the frames.

    Arguments in their working types: grids (F or 1, n), kappa complex128.

    maps: where the maps themselves are to be left, (F, n_theta, n_tau) in the precision of the frames.
    """
    count = frames.shape[0]
    pairs = real_view(frames)
    if maps is None:
        maps = np.empty((1, theta.shape[1], tau.shape[1]), pairs.dtype)
    index = np.empty((count, 2), np.int64)
    place = np.empty((count, 2))
    snapshot = np.empty((count, radar.antennas), np.complex128)
    correlation = np.empty(count, np.complex128)
    energy = np.empty((count, 2))
    peak_frames(
        pairs,
        real_view(symbols),
        frozen(kappa),
        frozen(radar.positions),
        pitch_of(radar),
        radar.subcarrier_spacing,
        frozen(theta),
        frozen(tau),
        refine,
        TIE if pairs.dtype == np.float32 else 0.0,
        maps,
        index,
        place,
        snapshot,
        correlation,
        energy,
    )
    return found_peaks(index, place, snapshot, correlation, energy[:, 0], energy[:, 1])
