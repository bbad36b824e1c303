"""How far the estimated gains |kappa_n| are to be believed: with few frames their errors exceed their spread."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from isacblocks.kernels.arrays import Complex
from isacblocks.kernels.impairments import retract

_OUTSIDE = 4.0  # standard deviations from the median gain beyond which the prior is not believed


def gain_variance(snr: float, antennas: int, targets: float) -> float:
    """Variance of one antenna's gain after `targets` frames with a target: half of N (1 + SNR) / (SNR^2 K_t)."""
    return antennas * (1 + snr) / (2 * snr**2 * max(targets, 1e-300))


def shrink_gains(kappa: Complex, variance: ArrayLike, prior_variance: float | None = None) -> Complex:
    """kappa (N,) with its gains moved to where the prior and the measurement meet, ||kappa||^2 = N.

    |kappa_n| <- m + (|kappa_n| - m) pv / (pv + v_n), m the mean gain, v the variance of the measured gains, one for all or
    (N,), pv that of the gains from antenna to antenna: 0.1^2 / 12 for Table I; where none is given, what the spread of the
    measured gains exceeds v by (James and Stein), so that few frames leave the phases only, many change nothing, and no law
    of the gains has to be known. An antenna further from the mean than the prior allows stays where it is. (For errors well
    below one: beyond, a large gain also says that its phase is good.)
    Raises ValueError for a prior variance that is not positive.
    """
    kappa = retract(kappa)
    size, v = np.abs(kappa), np.broadcast_to(np.asarray(variance, np.float64), kappa.shape)
    if prior_variance is None:
        pv = max(float(size.var() - v.mean()), 0.0)
    elif math.isfinite(prior_variance) and prior_variance > 0:
        pv = prior_variance
    else:
        raise ValueError(f"prior_variance: expected a positive number, got {prior_variance!r}")
    ordinary = np.abs(size - np.median(size)) <= _OUTSIDE * np.sqrt(pv + v)
    middle = float(size[ordinary].mean())
    share = pv / np.maximum(pv + v, 1e-300)
    # the share is at most one, so the result stays between the gain itself and the mean, never below zero
    moved = np.where(ordinary, middle + (size - middle) * share, size)
    return retract(moved * np.exp(1j * np.angle(kappa)))
