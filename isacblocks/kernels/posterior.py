"""Where a frame's target may be: the weights of its whole angle-delay map, and the sum over them that EM needs.

    w_ij ~ exp(rho T_ij), sum w = 1;   sum_ij w_ij u_ij,n conj(s_ij) = sum_i conj(a_in) sum_d g_nd q_id,
    q_id = sum_j w_ij conj(s_ij) c_d(tau_j)

from compressed frames, without forming any u. expectation.py says what it is for; derived in docs/maths.md.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.angle_delay import Real, padded, weights
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.compressed_peak import beams, delay_rows, split
from isacblocks.kernels.detection import logistic
from isacblocks.kernels.exponentials import exponentials
from isacblocks.kernels.jit import jit

_ABSENT = 1e-4  # a frame whose target probability is lower adds nothing to the sum over frames
_FAINT = 1e-7  # of a frame's weight: rows and points below are left out of the sum over its grid


@jit
def fields(rows: Real, table: Real, real: Real, imag: Real) -> None:
    """s_ij up to its delay's common phase, from :func:`beams` and :func:`delay_rows`: `real`, `imag` (n_theta, n_tau)."""
    count = real.shape[0]
    for i in range(count):
        for j in range(table.shape[1]):
            real[i, j] = 0.0
            imag[i, j] = 0.0
        for d in range(0, table.shape[0], 4):
            a0, a1, a2, a3 = rows[i, d], rows[i, d + 1], rows[i, d + 2], rows[i, d + 3]
            b0, b1, b2, b3 = rows[count + i, d], rows[count + i, d + 1], rows[count + i, d + 2], rows[count + i, d + 3]
            t0, t1, t2, t3 = table[d], table[d + 1], table[d + 2], table[d + 3]
            for j in range(table.shape[1]):
                real[i, j] += a0 * t0[j] + a1 * t1[j] + a2 * t2[j] + a3 * t3[j]
                imag[i, j] += b0 * t0[j] + b1 * t1[j] + b2 * t2[j] + b3 * t3[j]


@jit
def _weights(real: Real, imag: Real, scale: float, rate: float, level: Float, weight: Float) -> tuple[float, float, float]:
    """T into `level` and exp(rate (T - max T)) into `weight`; returns max T, sum of weights, sum of weights times T."""
    top = 0.0
    for i in range(level.shape[0]):
        for j in range(level.shape[1]):
            a, b = np.float64(real[i, j]), np.float64(imag[i, j])
            level[i, j] = (a * a + b * b) * scale
        for j in range(level.shape[1]):
            top = max(top, level[i, j])
    total, moment = 0.0, 0.0
    for i in range(level.shape[0]):
        for j in range(level.shape[1]):
            weight[i, j] = rate * (level[i, j] - top)
        exponentials(weight[i])
        for j in range(level.shape[1]):
            total += weight[i, j]
            moment += weight[i, j] * level[i, j]
    return top, total, moment


@jit
def _gather(
    real: Real,
    imag: Real,
    weight: Float,
    total: float,
    table: Real,
    a_r: Real,
    a_i: Real,
    g_r: Real,
    g_i: Real,
    out: Complex,
) -> None:
    """out_n = sum_i conj(a_in) sum_d g_nd q_id, q_id = sum_j w_ij conj(s_ij) c_d(tau_j), w = weight / total."""
    rank, elements = g_r.shape[1], out.shape[0]
    x, y = np.empty(real.shape[1], real.dtype), np.empty(real.shape[1], real.dtype)
    q_r, q_i = np.empty(rank, real.dtype), np.empty(rank, real.dtype)
    out[:] = 0.0
    for i in range(real.shape[0]):
        row = 0.0
        for j in range(real.shape[1]):
            row += weight[i, j]
        if row < _FAINT * total:
            continue
        for j in range(real.shape[1]):  # w conj(s)
            x[j] = real[i, j] * weight[i, j] / total
            y[j] = -imag[i, j] * weight[i, j] / total
        for d in range(rank):
            p, q = x.dtype.type(0.0), x.dtype.type(0.0)
            for j in range(real.shape[1]):
                p += x[j] * table[d, j]
                q += y[j] * table[d, j]
            q_r[d], q_i[d] = (p, q) if d % 2 == 0 else (-q, p)  # c_d is j times the table for odd d
        for n in range(elements):
            p, q = x.dtype.type(0.0), x.dtype.type(0.0)
            for d in range(rank):
                p += g_r[n, d] * q_r[d] - g_i[n, d] * q_i[d]
                q += g_r[n, d] * q_i[d] + g_i[n, d] * q_r[d]
            out[n] += complex(
                np.float64(a_r[i, n]) * p + np.float64(a_i[i, n]) * q, np.float64(a_r[i, n]) * q - np.float64(a_i[i, n]) * p
            )


@jit
def log_odds_to_likelihood(log_odds: float, prior: float) -> float:
    """log(1 - pi + pi A) from log(pi A / (1 - pi))."""
    if log_odds > 0.0:
        return log_odds + math.log1p(math.exp(-log_odds)) + math.log1p(-prior)
    return math.log1p(math.exp(log_odds)) + math.log1p(-prior)


@jit
def expectation(
    g: Real,
    symbol_energy: Float,
    kappa: Complex,
    vectors: Float,
    centre: float,
    positions: Float,
    pitch: float,
    spacing: float,
    theta: Float,
    tau: Float,
    snr: float,
    prior: float,
    noise_power: float,
    beta: float,
    total: Complex,
    probability: Float,
    level: Float,
    likelihood: Float,
    delay: Float,
) -> None:
    """Add sum p w u conj(s) of F compressed frames to `total` (N,), one frame after the other.

    Per frame (F,): probability p, level sum w T, likelihood log(1 - pi + pi A); delay (F, n_tau): sum over the angles of w.
    g: real pairs (F, N, 2 D); kappa (N,); theta, tau: grids (F or 1, n); beta: 1, or the power of the likelihood.
    """
    elements, rank = g.shape[1], padded(g.shape[2] // 2, 4)
    n_theta, n_tau = theta.shape[1], tau.shape[1]
    kind = g.dtype
    table = np.zeros((rank, n_tau), kind)
    parts = np.zeros((4, padded(elements, 2), rank), kind)  # G, and conj(kappa) G
    a = np.zeros((2, n_theta, parts.shape[1]), kind)
    rows = np.empty((2 * n_theta, rank), kind)
    s = np.empty((2, n_theta, n_tau), kind)
    levels, weight = np.empty((n_theta, n_tau)), np.empty((n_theta, n_tau))
    ones, one = np.ones(elements, np.complex128), np.empty(elements, np.complex128)
    rate = beta * snr / (1.0 + snr)
    offset = math.log(prior) - math.log1p(-prior) - beta * math.log1p(snr) - math.log(n_theta * n_tau)
    for f in range(g.shape[0]):
        if f == 0 or tau.shape[0] > 1:
            delay_rows(vectors, spacing, centre, tau[f], table)
        if f == 0 or theta.shape[0] > 1:
            weights(ones, positions, pitch, theta[f], a[0], a[1])
        split(g[f], parts[0], parts[1])
        for n in range(elements):
            k_r, k_i = kind.type(kappa[n].real), kind.type(kappa[n].imag)
            for d in range(rank):
                parts[2, n, d] = k_r * parts[0, n, d] + k_i * parts[1, n, d]
                parts[3, n, d] = k_r * parts[1, n, d] - k_i * parts[0, n, d]
        beams(a[0], a[1], parts[2], parts[3], rows)
        fields(rows, table, s[0], s[1])
        scale = 1.0 / (elements * symbol_energy[f] * noise_power)
        top, mass, moment = _weights(s[0], s[1], scale, rate, levels, weight)
        log_odds = rate * top + math.log(mass) + offset
        p = logistic(log_odds)
        probability[f] = p
        level[f] = moment / mass
        likelihood[f] = log_odds_to_likelihood(log_odds, prior)
        for j in range(n_tau):
            delay[f, j] = 0.0
        for i in range(n_theta):
            for j in range(n_tau):
                delay[f, j] += weight[i, j] / mass
        if p >= _ABSENT:
            _gather(s[0], s[1], weight, mass, table, a[0], a[1], parts[0], parts[1], one)
            for n in range(elements):
                total[n] += p * one[n]
