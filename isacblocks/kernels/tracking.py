"""Kappa of hardware that drifts: a bank of Kalman filters that learns the drift from the scores of scores.py.

**The bank.** Gain (component 0, along kappa_n) and phase (component 1, across) walk at random by q per frame. For every q of
a grid a Kalman filter follows them: P <- P + q m, then by e and j. How well each one predicts the scores gives the weights
with which their estimates are averaged (Magill, 1965). Where nothing drifts the filter of q = 0 takes over, which never
forgets; where something does, the filter whose memory is sqrt(v / q) frames. No memory is set by hand.

Derived in docs/maths.md, section 7b. The state is plain arrays: offset, variance and evidence (2, K, N), K drifts.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.drift import bank_weights
from isacblocks.kernels.exponentials import logarithms
from isacblocks.kernels.jit import jit
from isacblocks.kernels.median import median
from isacblocks.kernels.scores import components, direction

_BELIEF = 500.0  # scores that theory is worth before the scale of their variance has been measured


@jit
def predict(variance: Float, drift: Float, frames: float) -> None:
    """P <- P + q m, in place: variance (2, K, N), drift q (K,) in rad^2 per frame."""
    for c in range(variance.shape[0]):
        for k in range(variance.shape[1]):
            for n in range(variance.shape[2]):
                variance[c, k, n] += drift[k] * frames


@jit
def mixture_moments(offset: Float, variance: Float, weight: Float, mean: Float, spread: Float) -> None:
    """Mean and variance of the mixture of filters: offset, variance (2, K, N), weight (2, K); to `mean`, `spread` (2, N)."""
    for c in range(mean.shape[0]):
        for n in range(mean.shape[1]):
            mean[c, n] = 0.0
            spread[c, n] = 0.0
        for k in range(weight.shape[1]):
            for n in range(mean.shape[1]):
                mean[c, n] += weight[c, k] * offset[c, k, n]
        for k in range(weight.shape[1]):
            for n in range(mean.shape[1]):
                spread[c, n] += weight[c, k] * (variance[c, k, n] + (offset[c, k, n] - mean[c, n]) ** 2)


@jit
def correct(
    innovation: Float,
    information: float,
    leverage: Float,
    learns: Float,
    noise_scale: Float,
    offset: Float,
    variance: Float,
    held: Float,
) -> None:
    """One update of every filter by the scores e (2, N) of information j; offset, variance and evidence (2, K, N) in place.

    leverage h (2, N): the share of a score that the gauge takes, so that only 1 - h of it can be seen; learns (N,): 1 where
    the antenna's scores may speak about the drift, else 0; noise_scale (2,): by what the scores' variance differs from
    theory; held: the evidence to be added to. Without information nothing happens.
    """
    if information <= 0.0:
        return
    growth, exponent = np.empty(learns.shape[0]), np.empty(learns.shape[0])
    for c in range(offset.shape[0]):
        unit = 1.0 / (information * noise_scale[c])
        for k in range(offset.shape[1]):
            for n in range(offset.shape[2]):
                error = innovation[c, n] - information * offset[c, k, n]  # this filter's own innovation
                growth[n] = 1.0 + information * variance[c, k, n]
                inverse = 1.0 / growth[n]
                # The innovation is normal with variance (1 - h) (j + j^2 P), and 1 - h of it counts
                held[c, k, n] -= 0.5 * learns[n] * error * error * unit * inverse
                gain = variance[c, k, n] * inverse
                offset[c, k, n] += gain * error
                variance[c, k, n] = gain
            logarithms(growth, exponent)
            for n in range(offset.shape[2]):
                held[c, k, n] -= 0.5 * learns[n] * (1.0 - leverage[c, n]) * growth[n]


@jit
def measure_noise(
    innovation: Float,
    information: float,
    leverage: Float,
    learns: Float,
    spread: Float,
    keep: float,
    noise: Float,
    out: Float,
) -> None:
    """By what factor the scores' variance differs from (1 - h) (j + j^2 P): sums in `noise` (2, 2), factors to `out` (2,).

    Drift shows as one per cent of the variance and as a correlation from update to update. So small a part of a variance
    that theory gives to a few per cent says nothing: the scale is measured, only the correlation is left to speak.
    """
    for c in range(out.shape[0]):
        seen, expected = 0.0, 0.0
        if information > 0.0:
            for n in range(learns.shape[0]):
                growth = 1.0 + information * spread[c, n]
                seen += learns[n] * innovation[c, n] ** 2 / (information * growth)
                expected += learns[n] * (1.0 - leverage[c, n])
        noise[c, 0] = noise[c, 0] * keep + seen
        noise[c, 1] = noise[c, 1] * keep + expected
        out[c] = (noise[c, 0] + _BELIEF) / (noise[c, 1] + _BELIEF)


@jit
def excess_scatter(innovation: Float, information: float, spread: Float, leverage: Float) -> float:
    """By what factor the scores' variance exceeds (1 - h) (j + j^2 P): the median over the antennas, all arrays (2, N).

    Over theory it is exponential with mean one, of which the median is log 2.
    """
    ratio = np.zeros(innovation.shape[1])
    for c in range(innovation.shape[0]):
        for n in range(ratio.shape[0]):
            expected = information * (1.0 + information * spread[c, n]) * (1.0 - leverage[c, n])
            ratio[n] += innovation[c, n] ** 2 / expected
    return float(median(ratio) / (innovation.shape[0] * math.log(2.0)))


@jit
def recentre(kappa: Complex, mean: Float, offset: Float) -> None:
    """Move kappa (N,) by the `mean` (2, N) of the offsets, retract it, and restate the offsets (2, K, N)."""
    turn = np.empty((2, kappa.shape[0]))
    norm = 0.0
    for n in range(kappa.shape[0]):
        before = direction(kappa[n])
        kappa[n] += before * complex(mean[0, n], mean[1, n])
        turned = before * direction(kappa[n]).conjugate()  # the offsets keep their place while the axes turn
        turn[0, n], turn[1, n] = turned.real, turned.imag
        norm += kappa[n].real ** 2 + kappa[n].imag ** 2
    scale = math.sqrt(kappa.shape[0] / norm)
    for n in range(kappa.shape[0]):
        kappa[n] *= scale
        turn[0, n] *= scale
        turn[1, n] *= scale
    for k in range(offset.shape[1]):
        for n in range(kappa.shape[0]):
            along, across = offset[0, k, n] - mean[0, n], offset[1, k, n] - mean[1, n]
            offset[0, k, n] = along * turn[0, n] - across * turn[1, n]
            offset[1, k, n] = along * turn[1, n] + across * turn[0, n]


@jit
def track(
    score: Complex,
    information: float,
    frames: float,
    drift: Float,
    log_prior: Float,
    leverage: Float,
    settled: float,
    memory: float,
    evidence_sums: Float,
    kappa: Complex,
    offset: Float,
    variance: Float,
    held: Float,
    noise: Float,
    spread: Float,
    innovation: Float,
) -> None:
    """One update: everything from `frames` frames' scores (N,) and information to the next kappa (N,), in place.

    drift q (K,), log_prior (K,), leverage (2, N): see above; settled: variance below which an antenna's scores speak about
    the drift; memory: of the noise's scale, frames; evidence_sums (2, K, N): by which the filters are weighted.
    State: kappa (N,), offset, variance (2, K, N), held (2, 2, K, N), noise (2, 2). What the scores say about the drift goes
    to held[0]; :func:`commit_evidence` takes it from there. Leaves the predicted variance of the estimate, before the scores
    were used, in `spread` and the scores' components in `innovation`, (2, N).
    """
    weight = np.empty((2, drift.shape[0]))
    mean = np.empty((2, kappa.shape[0]))
    learns = np.empty(kappa.shape[0])
    predict(variance, drift, frames)
    bank_weights(evidence_sums, log_prior, weight)
    mixture_moments(offset, variance, weight, mean, spread)
    for n in range(kappa.shape[0]):
        learns[n] = 1.0 if spread[0, n] < settled and spread[1, n] < settled else 0.0
    components(score, kappa, innovation)
    keep = math.exp(-frames / memory)
    noise_scale = np.empty(2)
    measure_noise(innovation, information, leverage, learns, spread, keep, noise, noise_scale)
    correct(innovation, information, leverage, learns, noise_scale, offset, variance, held[0])
    mixture_moments(offset, variance, weight, mean, np.empty_like(mean))
    recentre(kappa, mean, offset)
