"""Which drift: the evidence of all antennas for the filters of tracking.py, and how it is made to last.

What a score says about the drift is held back until it is plain that its antenna has not jumped, and then added to the
evidence, which forgets. One antenna can say only so much, and what has been ruled out is not ruled out further. Derived in
docs/maths.md, section 7b.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.jit import jit

_CAP_ONE, _CAP_ALL = 4.0, 20.0  # nats by which a drift can be less likely than the best: by one antenna, by all
HOLD = 60.0  # rad^-2 for which evidence about drift is held back, twice: jumps of 90 degrees are found in less


@jit
def evidence_totals(evidence_sums: Float, out: Float) -> None:
    """All antennas' evidence together, (2, K, N) to `out` (2, K); none says more than 4 against a drift.

    A jump is not drift: a few antennas that jump must not shorten the memory of all.
    """
    floor = np.empty(evidence_sums.shape[2])
    for c in range(out.shape[0]):
        for n in range(floor.shape[0]):
            floor[n] = evidence_sums[c, 0, n]
        for k in range(1, out.shape[1]):
            for n in range(floor.shape[0]):
                floor[n] = max(floor[n], evidence_sums[c, k, n])
        for k in range(out.shape[1]):
            total = 0.0
            for n in range(floor.shape[0]):
                total += max(evidence_sums[c, k, n] - floor[n], -_CAP_ONE)
            out[c, k] = total


@jit
def bank_weights(evidence_sums: Float, log_prior: Float, out: Float) -> None:
    """The posterior of every drift, from all antennas together: evidence (2, K, N), log prior (K,), `out` (2, K)."""
    evidence_totals(evidence_sums, out)
    for c in range(out.shape[0]):
        top = -np.inf
        for k in range(out.shape[1]):
            out[c, k] += log_prior[k]
            top = max(top, out[c, k])
        total = 0.0
        for k in range(out.shape[1]):
            out[c, k] = math.exp(out[c, k] - top)
            total += out[c, k]
        for k in range(out.shape[1]):
            out[c, k] /= total


@jit
def level_evidence(evidence_sums: Float) -> None:
    """Lift a drift that has fallen behind the best by more than 20, in place; evidence (2, K, N).

    It is ruled out then, and hardware that calms down after a year of drift must not have to make up for that year.
    """
    drifts, antennas = evidence_sums.shape[1], evidence_sums.shape[2]
    total = np.empty((2, drifts))
    evidence_totals(evidence_sums, total)
    for c in range(evidence_sums.shape[0]):
        top = total[c].max()
        for k in range(drifts):
            lift = max(top - _CAP_ALL - total[c, k], 0.0) / antennas
            for n in range(antennas):
                evidence_sums[c, k, n] += lift


@jit
def commit_evidence(
    statistic: Float,
    doubt: float,
    information: float,
    hold: float,
    keep: float,
    held: Float,
    held_information: Float,
    evidence_sums: Float,
) -> None:
    """Let the evidence (2, K, N) forget by `keep`, and add to it what has been held for an information of `hold` twice over.

    statistic chi^2 (W, N): what an antenna above `doubt` says is held on, until it has calmed down or is found to have
    jumped (which drops it). held (2, 2, K, N): the newer and the older part; held_information (1,): gathered since the
    last time.
    """
    for c in range(evidence_sums.shape[0]):
        for k in range(evidence_sums.shape[1]):
            for n in range(evidence_sums.shape[2]):
                evidence_sums[c, k, n] *= keep
    held_information[0] += information
    if held_information[0] < hold:
        return
    held_information[0] = 0.0
    for n in range(evidence_sums.shape[2]):
        calm = True
        for w in range(statistic.shape[0]):
            calm = calm and statistic[w, n] <= doubt
        for c in range(evidence_sums.shape[0]):
            for k in range(evidence_sums.shape[1]):
                if calm:
                    evidence_sums[c, k, n] += held[1, c, k, n]
                    held[1, c, k, n] = 0.0
                held[1, c, k, n] += held[0, c, k, n]
                held[0, c, k, n] = 0.0
    level_evidence(evidence_sums)


def drift_bank() -> tuple[Float, Float]:
    """The drifts q (K,) of the bank in rad^2 per frame and their log prior (K,).

    0, then 0.1 to 25.6 degrees per square root of 1000 frames by factors of two: the memories differ by two as well, and a
    drift in between loses at most 6 % to the nearer of its neighbours. All are equally likely a priori.
    """
    degrees = np.concatenate([[0.0], 0.1 * 2.0 ** np.arange(9)])
    return np.square(np.radians(degrees)) / 1000, np.full(degrees.size, -math.log(degrees.size))


@jit
def drift_estimate(evidence_sums: Float, drift: Float, log_prior: Float) -> Float:
    """Posterior mean of the drift q of gain and of phase, rad^2 per frame, shape (2,)."""
    weight, out = np.empty((2, drift.shape[0])), np.zeros(2)
    bank_weights(evidence_sums, log_prior, weight)
    for c in range(2):
        for k in range(drift.shape[0]):
            out[c] += weight[c, k] * drift[k]
    return out
