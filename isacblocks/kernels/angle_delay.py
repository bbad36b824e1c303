"""The angle-delay map of eq. (11).

    M_ij = |s_ij|^2,  s_ij = a^H(theta_i; kappa) Y (b(tau_j) . x)^* = sum_n conj(kappa_n a_n(theta_i)) p_nj,
    p_nj = sum_s Y_ns conj(x_s b_s(tau_j))

The delay is correlated first: it costs N S N_tau products once for all angles.

Complex numbers are worked on as separate real and imaginary arrays, because LLVM puts those into vector registers; the
loops take two antennas and four terms at a time so that every value loaded is used several times. Scratch arrays are
padded with zeros to even sizes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit
from isacblocks.kernels.steering import array_table, phasor_table

Real = NDArray[Any]  # float32 or float64, as the frames are


@jit
def delay_table(spacing: float, tau: Float, out_r: Real, out_i: Real) -> None:
    """b(tau_j) as columns: `out` (S padded, n_tau), rows beyond S are zero."""
    table = np.empty((2, tau.shape[0], out_r.shape[0]))
    phasor_table(-2.0 * math.pi * spacing * tau, table[0], table[1])
    for s in range(out_r.shape[0]):
        for j in range(tau.shape[0]):
            out_r[s, j] = table[0, j, s]
            out_i[s, j] = table[1, j, s]


@jit
def strip_symbols(y: Real, x: Real, z_r: Real, z_i: Real) -> None:
    """z_ns = Y_ns conj(x_s), real pairs in, split out; the padding of z stays zero."""
    for n in range(y.shape[0]):
        for s in range(x.shape[0] // 2):
            y_r, y_i = y[n, 2 * s], y[n, 2 * s + 1]
            x_r, x_i = x[2 * s], x[2 * s + 1]
            z_r[n, s] = y_r * x_r + y_i * x_i
            z_i[n, s] = y_i * x_r - y_r * x_i


@jit
def correlate(z_r: Real, z_i: Real, b_r: Real, b_i: Real, p_r: Real, p_i: Real) -> None:
    """p_nj = sum_s z_ns conj(b_sj) for two rows and four terms at a time; rows even, terms a multiple of four."""
    for n in range(0, z_r.shape[0], 2):
        p0_r, p0_i, p1_r, p1_i = p_r[n], p_i[n], p_r[n + 1], p_i[n + 1]
        for j in range(b_r.shape[1]):
            p0_r[j] = 0.0
            p0_i[j] = 0.0
            p1_r[j] = 0.0
            p1_i[j] = 0.0
        for s in range(0, z_r.shape[1], 4):
            a0_r, a1_r, a2_r, a3_r = z_r[n, s], z_r[n, s + 1], z_r[n, s + 2], z_r[n, s + 3]
            a0_i, a1_i, a2_i, a3_i = z_i[n, s], z_i[n, s + 1], z_i[n, s + 2], z_i[n, s + 3]
            c0_r, c1_r, c2_r, c3_r = z_r[n + 1, s], z_r[n + 1, s + 1], z_r[n + 1, s + 2], z_r[n + 1, s + 3]
            c0_i, c1_i, c2_i, c3_i = z_i[n + 1, s], z_i[n + 1, s + 1], z_i[n + 1, s + 2], z_i[n + 1, s + 3]
            b0_r, b1_r, b2_r, b3_r = b_r[s], b_r[s + 1], b_r[s + 2], b_r[s + 3]
            b0_i, b1_i, b2_i, b3_i = b_i[s], b_i[s + 1], b_i[s + 2], b_i[s + 3]
            for j in range(b_r.shape[1]):
                t0_r, t1_r, t2_r, t3_r = b0_r[j], b1_r[j], b2_r[j], b3_r[j]
                t0_i, t1_i, t2_i, t3_i = b0_i[j], b1_i[j], b2_i[j], b3_i[j]
                p0_r[j] += (
                    a0_r * t0_r + a0_i * t0_i + a1_r * t1_r + a1_i * t1_i
                    + a2_r * t2_r + a2_i * t2_i + a3_r * t3_r + a3_i * t3_i
                )  # fmt: skip
                p0_i[j] += (
                    a0_i * t0_r - a0_r * t0_i + a1_i * t1_r - a1_r * t1_i
                    + a2_i * t2_r - a2_r * t2_i + a3_i * t3_r - a3_r * t3_i
                )  # fmt: skip
                p1_r[j] += (
                    c0_r * t0_r + c0_i * t0_i + c1_r * t1_r + c1_i * t1_i
                    + c2_r * t2_r + c2_i * t2_i + c3_r * t3_r + c3_i * t3_i
                )  # fmt: skip
                p1_i[j] += (
                    c0_i * t0_r - c0_r * t0_i + c1_i * t1_r - c1_r * t1_i
                    + c2_i * t2_r - c2_r * t2_i + c3_i * t3_r - c3_r * t3_i
                )  # fmt: skip


@jit
def weights(kappa: Complex, positions: Float, pitch: float, theta: Float, w_r: Real, w_i: Real) -> None:
    """kappa_n a_n(theta_i), shape (n_theta, N padded); the padding stays zero."""
    table = np.empty((2, theta.shape[0], kappa.shape[0]))
    array_table(positions, pitch, theta, table[0], table[1])
    for i in range(theta.shape[0]):
        for n in range(kappa.shape[0]):
            w_r[i, n] = table[0, i, n] * kappa[n].real - table[1, i, n] * kappa[n].imag
            w_i[i, n] = table[0, i, n] * kappa[n].imag + table[1, i, n] * kappa[n].real


@jit
def combine(w_r: Real, w_i: Real, p_r: Real, p_i: Real, row_r: Real, row_i: Real, power: Real) -> None:
    """power_ij = |sum_n conj(w_in) p_nj|^2, the map of one frame; `row` (n_tau,) is scratch."""
    for i in range(w_r.shape[0]):
        for j in range(p_r.shape[1]):
            row_r[j] = 0.0
            row_i[j] = 0.0
        for n in range(0, p_r.shape[0], 2):
            a_r, a_i, c_r, c_i = w_r[i, n], w_i[i, n], w_r[i, n + 1], w_i[i, n + 1]
            p0_r, p0_i, p1_r, p1_i = p_r[n], p_i[n], p_r[n + 1], p_i[n + 1]
            for j in range(p_r.shape[1]):
                row_r[j] += a_r * p0_r[j] + a_i * p0_i[j] + c_r * p1_r[j] + c_i * p1_i[j]
                row_i[j] += a_r * p0_i[j] - a_i * p0_r[j] + c_r * p1_i[j] - c_i * p1_r[j]
        for j in range(p_r.shape[1]):
            power[i, j] = row_r[j] * row_r[j] + row_i[j] * row_i[j]


@jit
def padded(count: int, factor: int) -> int:
    """`count` rounded up to a multiple of `factor`."""
    return (count + factor - 1) // factor * factor


@jit
def map_frames(
    y: Real,
    x: Real,
    kappa: Complex,
    positions: Float,
    pitch: float,
    spacing: float,
    theta: Float,
    tau: Float,
    out: Real,
) -> None:
    """Eq. (11) into `out` (F, n_theta, n_tau); y (F, N, 2 S) and x (F, 2 S) are real pairs, grids (F or 1, n)."""
    elements, carriers = y.shape[1], x.shape[1] // 2
    n_theta, n_tau = theta.shape[1], tau.shape[1]
    kind = y.dtype
    z = np.zeros((2, padded(elements, 2), padded(carriers, 4)), kind)
    b = np.zeros((2, z.shape[2], n_tau), kind)
    p = np.empty((2, z.shape[1], n_tau), kind)
    w = np.zeros((2, n_theta, z.shape[1]), kind)
    row = np.empty((2, n_tau), kind)
    for f in range(y.shape[0]):
        if f == 0 or tau.shape[0] > 1:
            delay_table(spacing, tau[f], b[0, :carriers], b[1, :carriers])
        if f == 0 or theta.shape[0] > 1:
            weights(kappa, positions, pitch, theta[f], w[0], w[1])
        strip_symbols(y[f], x[f], z[0], z[1])
        correlate(z[0], z[1], b[0], b[1], p[0], p[1])
        combine(w[0], w[1], p[0], p[1], row[0], row[1], out[f])
