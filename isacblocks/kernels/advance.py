"""One update of everything that tracking.py, drift.py and jumps.py keep, in one call: the filters, then the jumps."""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.drift import HOLD, commit_evidence
from isacblocks.kernels.jit import jit
from isacblocks.kernels.jumps import Flags, fast_sums, jump_statistic, restart_jumped
from isacblocks.kernels.tracking import excess_scatter, track


@jit
def advance(
    score: Complex,
    information: float,
    frames: float,
    drift: Float,
    log_prior: Float,
    leverage: Float,
    settled: float,
    memory: float,
    memories: Float,
    threshold: float,
    restart_variance: float,
    kappa: Complex,
    offset: Float,
    variance: Float,
    evidence_sums: Float,
    held: Float,
    held_information: Float,
    noise: Float,
    fast: Float,
    fast_variance: Float,
    gathered: Float,
    flags: Flags,
) -> float:
    """:func:`track`, :func:`fast_sums`, :func:`commit_evidence`, :func:`restart_jumped`, whose arguments these are.

    memory: of the evidence and of the noise's scale, frames. Returns what :func:`excess_scatter` says of the scores, nan
    where there is no information.
    """
    antennas = kappa.shape[0]
    spread, innovation = np.empty((2, antennas)), np.empty((2, antennas))
    track(
        score, information, frames, drift, log_prior, leverage, settled, memory, evidence_sums, kappa, offset, variance,
        held, noise, spread, innovation,
    )  # fmt: skip
    fast_sums(innovation, information, spread, memories, fast, fast_variance, gathered)
    statistic = np.empty(gathered.shape)
    jump_statistic(fast, fast_variance, leverage, statistic)
    keep = math.exp(-frames / memory)
    commit_evidence(statistic, threshold / 2.0, information, HOLD, keep, held, held_information, evidence_sums)
    restart_jumped(
        statistic, threshold, restart_variance, kappa, offset, variance, held, fast, fast_variance, gathered, flags
    )  # fmt: skip
    return excess_scatter(innovation, information, spread, leverage) if information > 0.0 else math.nan
