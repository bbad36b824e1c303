"""How far the estimated gains |kappa_n| are to be believed: with few frames their errors exceed their spread."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.jit import jit
from isacblocks.kernels.median import median

_UNKNOWN = 4.0  # times the median variance: an antenna's gain that says nothing about the spread
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
    v = np.asarray(variance, np.float64)
    if v.shape != kappa.shape:
        v = np.broadcast_to(v, kappa.shape)
    if prior_variance is not None and not (math.isfinite(prior_variance) and prior_variance > 0):
        raise ValueError(f"prior_variance: expected a positive number, got {prior_variance!r}")
    made = moved_gains(frozen(kappa), frozen(v), math.nan if prior_variance is None else float(prior_variance))
    return made if made.size else retract(kappa)  # which says what is wrong with it


@jit
def measured_spread(size: Float, v: Float) -> float:
    """The variance of the gains `size` (N,) from antenna to antenna: what theirs exceeds that of their errors v (N,) by.

    One antenna that has just started anew would bring more error than all others bring spread: it is left out.
    """
    most = _UNKNOWN * median(v)
    known = v <= most
    if np.all(known):
        return float(max(size.var() - v.mean(), 0.0))
    if not np.any(known):
        return 0.0
    return float(max(size[known].var() - v[known].mean(), 0.0))


@jit
def moved_gains(kappa: Complex, v: Float, prior_variance: float) -> Complex:
    """kappa (N,) with its gains moved, retracted, or nothing where it has no norm; v (N,).

    prior_variance: nan for what the spread of the gains exceeds v by.
    """
    elements = kappa.shape[0]
    size, power = np.empty(elements), 0.0
    for n in range(elements):
        power += kappa[n].real ** 2 + kappa[n].imag ** 2
    if not (math.isfinite(power) and power > 0.0):
        return np.empty(0, np.complex128)
    retraction = math.sqrt(elements / power)
    for n in range(elements):
        size[n] = math.sqrt(kappa[n].real ** 2 + kappa[n].imag ** 2) * retraction
    pv = measured_spread(size, v) if math.isnan(prior_variance) else prior_variance
    centre, middle, count = median(size), 0.0, 0
    for n in range(elements):
        if abs(size[n] - centre) <= _OUTSIDE * math.sqrt(pv + v[n]):
            middle += size[n]
            count += 1
    middle /= count
    out, norm = np.empty(elements, np.complex128), 0.0
    for n in range(elements):
        out[n] = kappa[n]
        if abs(size[n] - centre) <= _OUTSIDE * math.sqrt(pv + v[n]):
            # the share is at most one, so the result stays between the gain itself and the mean, never below zero
            moved = middle + (size[n] - middle) * pv / max(pv + v[n], 1e-300)
            out[n] = kappa[n] * (moved / size[n]) if size[n] > 0.0 else complex(moved / retraction, 0.0)
        norm += out[n].real ** 2 + out[n].imag ** 2
    scale = math.sqrt(elements / norm)
    for n in range(elements):
        out[n] *= scale
    return out
