"""From the largest point of the grid to the maximum of the continuous map: one Newton step on log |s|^2.

    s(theta, tau) = sum_n conj(kappa_n a_n(theta)) p_n(tau),   p_n(tau) = sum_s Y_ns conj(x_s b_s(tau))

The derivatives of s are sums like s itself, weighted with the phase rates of the elements and of the subcarriers: exact,
jointly in angle and delay, for any planar array and any grid. The step ends inside the cell around the grid point and
inside the grid, so that a peak at the edge of the window moves inwards or along the edge, never out.
Derived in docs/maths.md, section 4.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.angle_delay import Real
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit
from isacblocks.kernels.steering import array_table, phasor_table

_FLAT = 1e-30  # stands for the curvature of a direction in which nothing changes


@jit
def moment_table(spacing: float, tau: float, carriers: int, out_r: Real, out_i: Real) -> None:
    """(s - (S - 1) / 2)^k conj(b_s(tau)) for k = 0, 1, 2 into `out` (3, at least S); what lies beyond S is left alone."""
    phase = np.empty((2, 1, carriers))
    phasor_table(np.full(1, 2.0 * math.pi * spacing * tau), phase[0], phase[1])
    for s in range(carriers):
        number = s - 0.5 * (carriers - 1)
        weight = 1.0
        for k in range(3):
            out_r[k, s] = weight * phase[0, 0, s]
            out_i[k, s] = weight * phase[1, 0, s]
            weight *= number


@jit
def moments(z_r: Real, z_i: Real, table_r: Real, table_i: Real, out: Complex) -> None:
    """m_kn = sum_s z_ns t_ks: p_n and, up to factors j 2 pi Delta_f, its derivatives over the delay; complex128 (3, N)."""
    for n in range(out.shape[1]):
        for k in range(3):
            real, imag = z_r.dtype.type(0), z_r.dtype.type(0)
            for s in range(table_r.shape[1]):
                real += z_r[n, s] * table_r[k, s] - z_i[n, s] * table_i[k, s]
                imag += z_r[n, s] * table_i[k, s] + z_i[n, s] * table_r[k, s]
            out[k, n] = complex(real, imag)


@jit
def phase_rates(positions: Float, theta: float, out: Float) -> None:
    """First and second derivative over theta of the phase of conj(a_n), less their means over the elements; `out` (2, N).

    A phase common to all elements leaves |s| alone; without it the sums below stay small.
    """
    cosine, sine = 2.0 * math.pi * math.cos(theta), 2.0 * math.pi * math.sin(theta)
    mean = np.zeros(2)
    for n in range(out.shape[1]):
        out[0, n] = positions[n, 1] * cosine - positions[n, 0] * sine
        out[1, n] = -positions[n, 0] * cosine - positions[n, 1] * sine
        mean[0] += out[0, n] / out.shape[1]
        mean[1] += out[1, n] / out.shape[1]
    for n in range(out.shape[1]):
        out[0, n] -= mean[0]
        out[1, n] -= mean[1]


@jit
def of_logarithm(
    s: complex, s_1: complex, s_2: complex, s_11: complex, s_12: complex, s_22: complex, unit: float, out: Float
) -> None:
    """Gradient and Hessian of log |s|^2 from the derivatives of s over (theta, tau), those over tau in units of `unit`."""
    scale = 1.0 / (s.real * s.real + s.imag * s.imag)
    inverse = complex(s.real * scale, -s.imag * scale)  # 1 / s; numba's own division raises an error at zero
    r_1, r_2 = s_1 * inverse, s_2 * inverse
    out[0] = 2.0 * r_1.real
    out[1] = 2.0 * r_2.real * unit
    out[2] = 2.0 * (s_11 * inverse - r_1 * r_1).real
    out[3] = 2.0 * (s_12 * inverse - r_1 * r_2).real * unit
    out[4] = 2.0 * (s_22 * inverse - r_2 * r_2).real * unit * unit


@jit
def log_power_derivatives(
    kappa: Complex, positions: Float, pitch: float, spacing: float, theta: float, m: Complex, out: Float
) -> None:
    """Gradient and Hessian of log |s|^2 over (theta, tau): `out` = (g_1, g_2, H_11, H_12, H_22), nan where s = 0.

    theta: the angle; m: the moments at the delay, (3, N).
    """
    array = np.empty((2, 1, kappa.shape[0]))
    array_table(positions, pitch, np.full(1, theta), array[0], array[1])
    rates = np.empty((2, kappa.shape[0]))
    phase_rates(positions, theta, rates)
    s, s_1, s_2, s_11, s_12, s_22 = 0j, 0j, 0j, 0j, 0j, 0j
    for n in range(kappa.shape[0]):
        w = kappa[n].conjugate() * complex(array[0, 0, n], -array[1, 0, n])
        v_0, v_1 = w * m[0, n], w * m[1, n]
        s += v_0
        s_1 += v_0 * complex(0.0, rates[0, n])  # d conj(a) = j rate conj(a)
        s_11 += v_0 * complex(-rates[0, n] * rates[0, n], rates[1, n])
        s_2 += v_1 * 1j
        s_12 -= v_1 * rates[0, n]
        s_22 -= w * m[2, n]
    of_logarithm(s, s_1, s_2, s_11, s_12, s_22, 2.0 * math.pi * spacing, out)


@jit
def concave(positions: Float, spacing: float, carriers: int, theta: float, out: Float) -> None:
    """Make the Hessian in `out` (see above) that of an echo without noise where it is not negative definite.

    That is minus twice the variance of the phase rates in either direction, and always points uphill.
    """
    if out[2] < 0.0 and out[2] * out[4] > out[3] * out[3]:
        return
    rates = np.empty((2, positions.shape[0]))
    phase_rates(positions, theta, rates)
    spread = 0.0
    for n in range(positions.shape[0]):
        spread += rates[0, n] * rates[0, n] / positions.shape[0]
    out[2] = -2.0 * max(spread, _FLAT)
    out[3] = 0.0
    out[4] = -2.0 * (2.0 * math.pi * spacing) ** 2 * (carriers * carriers - 1) / 12.0


@jit
def box_step(d: Float, low: Float, high: Float) -> tuple[float, float]:
    """The maximum of g x + x H x / 2 over the box low <= x <= high; d = (g_1, g_2, H_11, H_12, H_22), H negative definite.

    Where the free maximum lies outside, the constrained one is on an edge that the free one lies beyond.
    """
    g_1, g_2, h_11, h_12, h_22 = d[0], d[1], d[2], d[3], d[4]
    determinant = h_11 * h_22 - h_12 * h_12
    free_1 = (h_12 * g_2 - h_22 * g_1) / determinant
    free_2 = (h_12 * g_1 - h_11 * g_2) / determinant
    edge_1, edge_2 = min(max(free_1, low[0]), high[0]), min(max(free_2, low[1]), high[1])
    if edge_1 == free_1 and edge_2 == free_2:
        return free_1, free_2
    other_1 = min(max(-(g_1 + h_12 * edge_2) / h_11, low[0]), high[0])  # the best on the edge of the second kind
    other_2 = min(max(-(g_2 + h_12 * edge_1) / h_22, low[1]), high[1])
    gain_1 = g_1 * edge_1 + g_2 * other_2 + 0.5 * (h_11 * edge_1**2 + h_22 * other_2**2) + h_12 * edge_1 * other_2
    gain_2 = g_1 * other_1 + g_2 * edge_2 + 0.5 * (h_11 * other_1**2 + h_22 * edge_2**2) + h_12 * other_1 * edge_2
    first = edge_1 != free_1 and (edge_2 == free_2 or gain_1 >= gain_2)
    return (edge_1, other_2) if first else (other_1, edge_2)


@jit
def newton_step(
    positions: Float, spacing: float, carriers: int, theta: Float, tau: Float, i: int, j: int, d: Float
) -> tuple[float, float]:
    """(theta, tau) one Newton step away from point (i, j) of the grids, inside its cell.

    d: gradient and Hessian of log |s|^2 there, made concave; where they are not finite the point stays.
    """
    if not np.isfinite(d.sum()):
        return theta[i], tau[j]
    concave(positions, spacing, carriers, theta[i], d)
    low, high = np.empty(2), np.empty(2)
    for k in range(2):
        axis, here = (theta, i) if k == 0 else (tau, j)
        before, after = axis[max(here - 1, 0)] - axis[here], axis[min(here + 1, axis.shape[0] - 1)] - axis[here]
        low[k], high[k] = min(before, after), max(before, after)  # either may be the lower one: grids may fall
    step_1, step_2 = box_step(d, low, high)
    return theta[i] + step_1, tau[j] + step_2


@jit
def newton_place(
    kappa: Complex,
    positions: Float,
    pitch: float,
    spacing: float,
    carriers: int,
    theta: Float,
    tau: Float,
    i: int,
    j: int,
    m: Complex,
) -> tuple[float, float]:
    """:func:`newton_step` from the moments at tau_j, m (3, N)."""
    d = np.empty(5)
    log_power_derivatives(kappa, positions, pitch, spacing, theta[i], m, d)
    return newton_step(positions, spacing, carriers, theta, tau, i, j, d)
