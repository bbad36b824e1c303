"""How far the estimated gains |kappa_n| are to be believed: with few frames their errors exceed their spread."""

from __future__ import annotations

import numpy as np

from isacblocks.kernels.arrays import Complex
from isacblocks.kernels.impairments import retract


def gain_variance(snr: float, antennas: int, targets: float) -> float:
    """Variance of one antenna's gain after `targets` frames with a target: half of N (1 + SNR) / (SNR^2 K_t)."""
    return antennas * (1 + snr) / (2 * snr**2 * max(targets, 1e-300))


def shrink_gains(kappa: Complex, variance: float) -> Complex:
    """kappa with its gains moved towards their mean by the share of their spread that is error (James and Stein).

    |kappa| <- mean + (|kappa| - mean) max(0, 1 - variance / spread), spread being the gains' own variance: few frames leave
    the phases only, many change nothing, and no law of the gains has to be known. (It is for
    errors well below one: beyond, a large estimate also says that its phase is good.) kappa of any length; returns
    ||kappa||^2 = N, which is the scale of `variance`.
    """
    kappa = retract(kappa)
    gains = np.abs(kappa)
    mean, spread = float(gains.mean()), float(gains.var())
    factor = max(0.0, 1.0 - variance / spread) if spread > 0 else 0.0
    # the factor is at most one, so the result stays between the gain itself and the mean, never below zero
    return retract((mean + factor * (gains - mean)) * np.exp(1j * np.angle(kappa)))
