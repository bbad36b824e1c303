"""How well every antenna is known: standard deviations in the gauge.

The filters' variance P is that of one antenna beside all others known. A phase common to all and one that grows linearly
are not counted as errors (and cannot be seen), nor is a common gain: of an antenna's variance the share h, its leverage in
the fit of what is not counted, is gone. Over all antennas sum (1 - h) = (N - 1) + (N - 2) = 2 N - 3 of 2 N, the factor of
the bound. Derived in docs/maths.md, section 7d.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.drift import bank_weights
from isacblocks.kernels.jit import jit
from isacblocks.kernels.scores import GAIN, PHASE
from isacblocks.kernels.tracking import mixture_moments
from isacblocks.radar import OfdmRadar

_UNKNOWN = math.pi / math.sqrt(3)  # the standard deviation of a phase of which nothing is known


def gauge_leverage(radar: OfdmRadar) -> Float:
    """h (2, N): 1 / N for gains; for phases 1 / N + (n - mean)^2 / sum (n - mean)^2 of a uniform linear array, 1 / N else.

    A linear array of two elements has nothing left to see in its phases; h is kept below 1 so that it can be divided by.
    """
    n = np.arange(radar.antennas) - (radar.antennas - 1) / 2
    h = np.full((2, radar.antennas), 1 / radar.antennas)
    if radar.uniform_linear:
        h[PHASE] += np.square(n) / np.square(n).sum()
    return np.asarray(np.minimum(h, 1 - 1e-3))


@jit
def deviations(
    kappa: Complex, offset: Float, variance: Float, evidence_sums: Float, log_prior: Float, leverage: Float
) -> Float:
    """Standard deviations of every |kappa_n| and of every phase in rad, in the gauge: (2, N), from the state of `track`.

    A phase is known to at best pi / sqrt(3) rad where |kappa_n| is close to zero.
    """
    weight = np.empty((2, log_prior.shape[0]))
    mean, sigma = np.empty((2, kappa.shape[0])), np.empty((2, kappa.shape[0]))
    bank_weights(evidence_sums, log_prior, weight)
    mixture_moments(offset, variance, weight, mean, sigma)
    for n in range(kappa.shape[0]):
        size = math.sqrt(kappa[n].real ** 2 + kappa[n].imag ** 2)
        sigma[GAIN, n] = math.sqrt(sigma[GAIN, n] * (1.0 - leverage[GAIN, n]))
        sigma[PHASE, n] = min(math.sqrt(sigma[PHASE, n] * (1.0 - leverage[PHASE, n])) / max(size, 1e-12), _UNKNOWN)
    return sigma
