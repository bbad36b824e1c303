"""Cramer-Rao bounds of what the receiver estimates; derived in docs/maths.md.

All take the linear SNR = sigma_gamma^2 N S / N0 or, for one target, rho = |gamma|^2 N S / N0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from isacblocks.kernels.arrays import Float
from isacblocks.radar import OfdmRadar


def kappa_bound(frames: ArrayLike, antennas: int, snr: float, target_probability: float) -> Float:
    """Least mean ||kappa_hat - kappa||^2 / N, up to common and linear phase, after `frames` frames (any shape):

    (2 N - 3) / 2 (1 + SNR) / (SNR^2 K P(t = 1)).
    """
    used = np.maximum(np.asarray(frames, dtype=np.float64) * target_probability, 1e-300)
    return np.asarray((2 * antennas - 3) / 2 * (1 + snr) / (snr**2 * used))


def loss_bound_db(frames: ArrayLike, antennas: int, snr: float, target_probability: float) -> Float:
    """The loss of gain correlation in dB at the bound of kappa: 20 log10(1 - NMSE / 2), negated; about 4.34 NMSE."""
    error = kappa_bound(frames, antennas, snr, target_probability)
    return np.asarray(-20 * np.log10(np.maximum(1 - error / 2, 1e-15)))


def angle_bound(rho: ArrayLike, theta: ArrayLike, radar: OfdmRadar) -> Float:
    """Least standard deviation of one target's angle, radians: var psi >= 6 / (rho (N^2 - 1)), psi = 2 pi d sin theta."""
    psi = np.sqrt(6 / (np.asarray(rho) * (radar.antennas**2 - 1)))
    return np.asarray(psi / (2 * math.pi * radar.element_spacing * np.abs(np.cos(theta))))


def delay_bound(rho: ArrayLike, radar: OfdmRadar) -> Float:
    """Least standard deviation of one target's delay, s: var omega >= 6 / (rho (S^2 - 1)), omega = 2 pi Delta_f tau."""
    omega = np.sqrt(6 / (np.asarray(rho) * (radar.subcarriers**2 - 1)))
    return np.asarray(omega / (2 * math.pi * radar.subcarrier_spacing))
