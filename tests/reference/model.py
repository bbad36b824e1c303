"""The paper's equations, written down as they stand, in double precision, with no thought of speed.

Imports nothing of isacblocks: it is what isacblocks is compared with. Angles in rad, delays in s, d in wavelengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class Setup:
    """N, S, Delta_f in Hz, d_R / lambda."""

    antennas: int
    subcarriers: int
    spacing: float = 240e3
    pitch: float = 0.5


def a(theta: float, setup: Setup) -> Complex:
    """Eq. (3)."""
    return np.exp(-2j * np.pi * np.arange(setup.antennas) * setup.pitch * np.sin(theta))


def b(tau: float, setup: Setup) -> Complex:
    """Below eq. (5)."""
    return np.exp(-2j * np.pi * np.arange(setup.subcarriers) * setup.spacing * tau)


def frame(x: Complex, gamma: complex, kappa: Complex, theta: float, tau: float, setup: Setup) -> Complex:
    """Eq. (8) without noise."""
    return gamma * np.outer(kappa * a(theta, setup), b(tau, setup) * x)


def angle_delay_map(y: Complex, x: Complex, kappa: Complex, theta: Real, tau: Real, setup: Setup) -> Real:
    """Eq. (11) of one frame, with eqs. (12) and (13): |Phi_theta^H Y (Phi_tau . x 1^T)^*|^2."""
    phi_theta = np.stack([kappa * a(t, setup) for t in theta], axis=1)
    phi_tau = np.stack([b(t, setup) for t in tau], axis=1)
    return np.abs(phi_theta.conj().T @ y @ (phi_tau * x[:, None]).conj()) ** 2


@dataclass(frozen=True)
class Peak:
    """Eqs. (9)-(10)."""

    statistic: float
    index: tuple[int, int]
    theta: float
    tau: float
    snapshot: Complex


def find_peak(y: Complex, x: Complex, kappa: Complex, theta: Real, tau: Real, setup: Setup) -> Peak:
    """Eqs. (9)-(10) on the grid; the snapshot is conj(a) . (Y conj(b . x))."""
    m = angle_delay_map(y, x, kappa, theta, tau, setup)
    i, j = np.unravel_index(int(np.argmax(m)), m.shape)
    u = a(theta[i], setup).conj() * (y @ (b(tau[j], setup) * x).conj())
    return Peak(float(m[i, j]), (int(i), int(j)), float(theta[i]), float(tau[j]), u)


def gamma_hat(y: Complex, x: Complex, kappa: Complex, theta: float, tau: float, ratio: float, setup: Setup) -> complex:
    """Eq. (21) with ||M||_F^2 = N ||x||^2 as in eq. (23); ratio = N0 / sigma_gamma^2."""
    m = np.outer(kappa * a(theta, setup), b(tau, setup) * x)
    return complex(np.vdot(m, y) / (setup.antennas * np.sum(np.abs(x) ** 2) + ratio))


def log_map_ratio(y: Complex, m: Complex, gamma: complex, noise: float, variance: float) -> float:
    """Eq. (20) for one gamma: ||Y||^2 / N0 - (||Y - gamma M||^2 / N0 + |gamma|^2 / sigma_gamma^2)."""
    rest = np.sum(np.abs(y - gamma * m) ** 2) / noise + abs(gamma) ** 2 / variance
    return float(np.sum(np.abs(y) ** 2) / noise - rest)


def max_loss(y: Complex, x: Complex, kappa: Complex, theta: Real, tau: Real, setup: Setup) -> float:
    """Eq. (14) of one frame."""
    return -float(angle_delay_map(y, x, kappa, theta, tau, setup).max())


def reconstruction_loss(y: Complex, x: Complex, kappa: Complex, theta: Real, tau: Real, ratio: float, setup: Setup) -> float:
    """Eq. (15) of one frame, with the reconstruction (16)."""
    peak = find_peak(y, x, kappa, theta, tau, setup)
    gain = gamma_hat(y, x, kappa, peak.theta, peak.tau, ratio, setup)
    return float(np.linalg.norm(y - frame(x, gain, kappa, peak.theta, peak.tau, setup)))


def expected_excursions(h: float, extent_1: float, extent_2: float) -> float:
    """Expected Euler characteristic of the excursions of the exponential field above h."""
    return math.exp(-h) * (
        1 + (extent_1 + extent_2) * math.sqrt(h / math.pi) + extent_1 * extent_2 * (2 * h - 1) / (2 * math.pi)
    )


def threshold(p_fa: float, theta: Real, tau: Real, setup: Setup, refine: bool) -> float:
    """The threshold on T, by halving an interval of h two hundred times."""
    step_1 = 2 * np.pi * setup.pitch * (np.sin(theta[-1]) - np.sin(theta[0]))
    step_2 = 2 * np.pi * setup.spacing * (tau[-1] - tau[0])
    l_1, l_2 = (setup.antennas**2 - 1) / 12, (setup.subcarriers**2 - 1) / 12
    low, high = 0.5, 600.0
    for _ in range(200):
        h = (low + high) / 2
        p = 1 - math.exp(-expected_excursions(h, math.sqrt(l_1) * abs(step_1), math.sqrt(l_2) * abs(step_2)))
        low, high = (h, high) if p > p_fa else (low, h)
    if refine:
        return low
    cell_1, cell_2 = step_1 / max(len(theta) - 1, 1), step_2 / max(len(tau) - 1, 1)
    return low / (1 + l_1 * cell_1**2 / 12 + l_2 * cell_2**2 / 12)
