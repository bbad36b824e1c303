"""What a frame says about every antenna: its score and the information in it.

Given s = kappa^H u the snapshot is a linear regression, E[u_n | s, target] - kappa_n s / N = rho (s / N) times
the error of kappa_n, rho = SNR / (1 + SNR), with noise of variance N0 ||x||^2. With the target there with probability p, the
score and the information for the error of one antenna, per real component, are

    e_n = sum p (2 rho / (N N0 ||x||^2)) (u_n conj(s) - kappa_n |s|^2 / N - c_n)
    j = sum 2 p^2 rho^2 |s|^2 / (N^2 N0 ||x||^2)

c is what the search for the peak adds, search_gain.py. The scores have mean j times the error and variance j while kappa is
right, and kappa^H e = 0: the common gain and phase are not in them. Derived in docs/maths.md, section 7b.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.detection import evidence, logistic
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.peak import project
from isacblocks.kernels.search_gain import search_gain, search_shares

GAIN, PHASE = 0, 1  # the components of an error: along kappa_n and across it


@jit_exact
def score_sums(
    snapshot: Complex,
    symbol_energy: Float,
    theta: Float,
    extent_1: Float,
    extent_2: Float,
    positions: Float,
    kappa: Complex,
    snr: float,
    prior: float,
    noise_power: float,
    score: Complex,
    information: Float,
    probability: Float,
) -> None:
    """Add every frame's e_n to `score` (N,) and j to `information` (1,), and write p to `probability` (F,).

    snapshot (F, N); symbol_energy ||x||^2 (F,); theta: the peaks' angles, rad (F,); extents of the windows (F,); positions
    (N, 3) in wavelengths; kappa (N,), ||kappa||^2 = N; snr linear.
    """
    offset = math.log(prior) - math.log1p(-prior)
    elements = kappa.shape[0]
    share = np.empty(elements)
    rho = snr / (1.0 + snr)
    for f in range(snapshot.shape[0]):
        s = project(kappa, snapshot[f])
        power = s.real * s.real + s.imag * s.imag
        unit = symbol_energy[f] * noise_power  # the variance of the noise in u_n
        p = logistic(evidence(power / (elements * unit), extent_1[f], extent_2[f], snr) + offset)
        probability[f] = p
        weight = 2.0 * p * rho / (elements * unit)
        search_shares(positions, theta[f], kappa, share)
        gain = unit * search_gain(p, extent_1[f])
        for n in range(elements):
            score[n] += weight * (snapshot[f, n] * s.conjugate() - kappa[n] * (power / elements + gain * share[n]))
        information[0] += weight * p * rho * power / elements


@jit_exact
def direction(value: complex) -> complex:
    """value / |value|, 1 where it is zero."""
    square = value.real * value.real + value.imag * value.imag
    inverse = 1.0 / math.sqrt(square) if square > 0.0 else 0.0
    return complex(value.real * inverse, value.imag * inverse) if square > 0.0 else 1.0 + 0.0j


@jit_exact
def components(values: Complex, kappa: Complex, out: Float) -> None:
    """values_n along kappa_n and across it, turned by +90 degrees: complex (N,) to real (2, N)."""
    for n in range(kappa.shape[0]):
        turned = values[n] * direction(kappa[n]).conjugate()
        out[0, n] = turned.real
        out[1, n] = turned.imag
