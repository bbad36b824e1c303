"""A start for kappa where nothing is known of its phases: what the frames say before any beam can be formed.

**Noncoherent evidence.** With y_n = p_n(tau) / sqrt(||x||^2 N0) an echo is y = sqrt(c / N) exp(j phi) kappa . a + w, w
white of power one, c exponential with mean SNR. For kappa anywhere on the sphere ||kappa||^2 = N with equal probability the
likelihood ratio of a target at the delay tau is a function of the energy E = ||y||^2 alone:

    LR(E) = 1F1(1; N; rho E) / (1 + SNR) = sum_m t_m / (1 + SNR),  t_m = (rho E)^m / (N (N + 1) ... (N + m - 1))
    E[c | E] = rho sum_m (m + 1) t_m / sum_m t_m,   rho = SNR / (1 + SNR)

so that SNR and pi = P(t = 1) follow by expectation maximisation over the delays, without kappa.

**The spectral start.** The frame's target is somewhere in its sector: E[a a^H] = C_k, known. Then E[y y^H] = (c / N) (kappa
kappa^H) . C_k + I, and R = sum_k p_k sum_j w_kj (y y^H) . conj(C_k), zero on the diagonal, is on average kappa kappa^H with
positive weights |C_k|^2: its top eigenvector has kappa's phases. kappa <- exp(j arg(R kappa)), a few times, makes it one of
modulus one.

All derived in docs/maths.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from isacblocks.kernels.angle_delay import Real
from isacblocks.kernels.arrays import Complex, Float, frozen, real_view
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.detection import logistic
from isacblocks.kernels.expectation import check_law
from isacblocks.kernels.jit import jit, jit_exact
from isacblocks.kernels.posterior import log_odds_to_likelihood
from isacblocks.kernels.steering import array_table, pitch_of

_NODES = 48  # of the mean over the sector: exact for phases that sweep up to some 80 rad
_WORTH = 1e-3  # of a frame's weight: delays below are left out of R
_LARGE = 1e200  # terms of the series are scaled down from here on


@jit
def delay_energies(g: Real, scale: Float, c: Complex, out: Float) -> None:
    """E_kj = ||p(tau_j)||^2 scale_k into `out` (F, n_tau); g real pairs (F, N, 2 D), c (n_tau, D), scale (F,).

    By the Gram matrix: ||p(tau)||^2 = c^H (G^H G)^* c, D^2 products per delay instead of N D.
    """
    rank = c.shape[1]
    gram_r, gram_i = np.empty((rank, rank)), np.empty((rank, rank))
    for f in range(g.shape[0]):
        gram_r[:, :] = 0.0
        gram_i[:, :] = 0.0
        for n in range(g.shape[1]):
            for d in range(rank):
                x, y = np.float64(g[f, n, 2 * d]), np.float64(g[f, n, 2 * d + 1])
                for e in range(d + 1):  # g_d conj(g_e)
                    u, v = np.float64(g[f, n, 2 * e]), np.float64(g[f, n, 2 * e + 1])
                    gram_r[d, e] += x * u + y * v
                    gram_i[d, e] += y * u - x * v
        for j in range(c.shape[0]):
            total = 0.0
            for d in range(rank):
                total += gram_r[d, d] * (c[j, d].real ** 2 + c[j, d].imag ** 2)
                for e in range(d):
                    both = c[j, d] * c[j, e].conjugate()
                    total += 2.0 * (gram_r[d, e] * both.real - gram_i[d, e] * both.imag)
            out[f, j] = total * scale[f]


@jit_exact
def noncoherent(energy: float, elements: int, snr: float) -> tuple[float, float]:
    """log LR(E) and E[c | E] (see the module)."""
    rho = snr / (1.0 + snr)
    x = rho * energy
    term, total, moment, shift = 1.0, 1.0, 1.0, 0.0
    m = 0
    while term > 1e-17 * total or x > elements + m:  # the terms grow while x > N + m
        term *= x / (elements + m)
        m += 1
        total += term
        moment += (m + 1) * term
        if total > _LARGE:
            term, total, moment = term / _LARGE, total / _LARGE, moment / _LARGE
            shift += math.log(_LARGE)
    return math.log(total) + shift - math.log1p(snr), rho * moment / total


@jit_exact
def noncoherent_step(
    energy: Float, elements: int, snr: float, prior: float, weight: Float, probability: Float, gain: Float, likelihood: Float
) -> None:
    """The delay's posterior (F, n_tau), and per frame (F,) p, E[c], log(1 - pi + pi LR), LR the mean over the delays."""
    count = energy.shape[1]
    offset = math.log(prior) - math.log1p(-prior) - math.log(count)
    mean = np.empty(count)
    for f in range(energy.shape[0]):
        top = -math.inf
        for j in range(count):
            weight[f, j], mean[j] = noncoherent(energy[f, j], elements, snr)
            top = max(top, weight[f, j])
        total, moment = 0.0, 0.0
        for j in range(count):
            weight[f, j] = math.exp(weight[f, j] - top)
            total += weight[f, j]
            moment += weight[f, j] * mean[j]
        for j in range(count):
            weight[f, j] /= total
        log_odds = top + math.log(total) + offset
        probability[f] = logistic(log_odds)
        gain[f] = moment / total
        likelihood[f] = log_odds_to_likelihood(log_odds, prior)


@jit
def spectral_sum(
    g: Real,
    scale: Float,
    c: Complex,
    weight: Float,
    positions: Float,
    pitch: float,
    theta: Float,
    share: Float,
    out: Complex,
) -> None:
    """Add sum_j weight_kj (y y^H) . conj(C_k) of every frame to `out` (N, N).

    weight (F, n_tau) = p w; theta (F, Q) and share (Q,): nodes and weights of the mean over each sector.
    """
    elements, rank = g.shape[1], c.shape[1]
    y = np.empty(elements, np.complex128)
    block = np.empty((elements, elements), np.complex128)
    array = np.empty((2, theta.shape[1], elements))
    for f in range(g.shape[0]):
        heaviest = 0.0
        for j in range(c.shape[0]):
            heaviest = max(heaviest, weight[f, j])
        if heaviest < _WORTH:
            continue
        block[:, :] = 0.0
        for j in range(c.shape[0]):
            if weight[f, j] < _WORTH * heaviest:
                continue
            for n in range(elements):
                total = 0.0 + 0.0j
                for d in range(rank):
                    total += complex(np.float64(g[f, n, 2 * d]), np.float64(g[f, n, 2 * d + 1])) * c[j, d]
                y[n] = total
            for n in range(elements):
                left = weight[f, j] * scale[f] * y[n]
                for m in range(n):
                    block[n, m] += left * y[m].conjugate()
        array_table(positions, pitch, theta[f], array[0], array[1])
        for n in range(elements):
            for m in range(n):
                mean = 0.0 + 0.0j  # conj(C_nm) = E[conj(a_n) a_m]
                for q in range(theta.shape[1]):
                    a = complex(array[0, q, n], -array[1, q, n])
                    mean += share[q] * a * complex(array[0, q, m], array[1, q, m])
                entry = block[n, m] * mean
                out[n, m] += entry
                out[m, n] += entry.conjugate()


@dataclass(frozen=True)
class Noncoherent:
    """What frames say without kappa: snr, prior; per frame p (F,), w over delays (F, n_tau), log(1 - pi + pi LR) (F,)."""

    snr: float
    prior: float
    probability: Float
    weight: Float
    likelihood: Float


def frame_energies(frames: Compressed, basis: DelayBasis, tau: Float, noise_power: float = 1.0) -> Float:
    """E = ||p(tau_j)||^2 / (||x||^2 N0), float64 (F, n_tau); tau (n_tau,) in s."""
    out = np.empty((frames.g.shape[0], tau.shape[0]))
    scale = 1.0 / (frames.symbol_energy * noise_power)
    delay_energies(real_view(frames.g), frozen(scale), frozen(basis.coefficients(tau)), out)
    return out


def noncoherent_law(energy: Float, elements: int, snr: float = 10.0, prior: float = 0.5, iterations: int = 0) -> Noncoherent:
    """p and w at the given SNR and pi, or after `iterations` steps of expectation maximisation for the two.

    energy: of :func:`frame_energies`; elements: N. Raises ValueError for numbers out of range.
    """
    check_law(snr, prior, 1.0)
    count = energy.shape[0]
    weight = np.empty_like(energy)
    probability, gain, likelihood = np.empty(count), np.empty(count), np.empty(count)
    for step in range(iterations + 1):
        noncoherent_step(frozen(energy), elements, snr, prior, weight, probability, gain, likelihood)
        if step < iterations:
            snr = float(probability @ gain / max(float(probability.sum()), 1e-300))
            prior = float(np.clip(probability.mean(), 0.5 / count, 1.0 - 0.5 / count))
    return Noncoherent(snr, prior, probability, weight, likelihood)


def spectral_matrix(
    frames: Compressed,
    basis: DelayBasis,
    found: Noncoherent,
    theta_min: Float,
    theta_max: Float,
    tau: Float,
    noise_power: float = 1.0,
) -> Complex:
    """R of the module, complex128 (N, N), Hermitian with a zero diagonal; found: on the delays `tau`."""
    radar = basis.radar
    nodes, share = np.polynomial.legendre.leggauss(_NODES)
    theta = 0.5 * (theta_min + theta_max)[:, None] + 0.5 * (theta_max - theta_min)[:, None] * nodes
    out = np.zeros((radar.antennas, radar.antennas), np.complex128)
    spectral_sum(
        real_view(frames.g),
        frozen(1.0 / (frames.symbol_energy * noise_power)),
        frozen(basis.coefficients(tau)),
        frozen(found.probability[:, None] * found.weight),
        frozen(radar.positions),
        pitch_of(radar),
        frozen(theta),
        frozen(0.5 * share),
        out,
    )
    return out


def spectral_phases(matrix: Complex, iterations: int = 30) -> Complex:
    """kappa of modulus one from R: the top eigenvector's phases, then kappa <- exp(j arg(R kappa))."""
    kappa = np.exp(1j * np.angle(np.linalg.eigh(matrix)[1][:, -1]))
    for _ in range(iterations):
        kappa = np.exp(1j * np.angle(matrix @ kappa))
    return np.asarray(kappa)
