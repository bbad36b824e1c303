"""What a detector says of every peak: decision (23), P(t = 1 | frame), gain (21), range and position, in one pass."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.detection import evidence, logistic
from isacblocks.kernels.jit import jit_exact
from isacblocks.radar import SPEED_OF_LIGHT

_METRES = SPEED_OF_LIGHT / 2  # per second of delay
LEVEL, PROBABILITY, RANGE = 0, 1, 2  # the rows of `values`


@jit_exact
def decide(
    statistic: Float,
    correlation: Complex,
    theta: Float,
    tau: Float,
    peaks: NDArray[np.uint8],
    symbol_energy: Float,
    noise_power: Float,
    windows: Float,
    threshold: Float,
    antennas: int,
    noise_to_gain: float,
    snr: float,
    prior: float,
    present: NDArray[np.uint8],
    values: Float,
    gain: Complex,
    position: Float,
) -> None:
    """Decide about K slots of F frames, of which the first `peaks` (F,) of every frame are filled; all others are (F, K).

    symbol_energy ||x||^2, noise_power N0, threshold on T: (F,); windows (3, F): their extents L1, L2 in the first two rows;
    noise_to_gain: N0 / sigma_gamma^2; snr: linear; prior: P(t = 1). `out`: present (F, K); values (3, F, K): level T,
    probability and range in m; gain (F, K); position (F, K, 2) in m.
    """
    offset = math.log(prior) - math.log1p(-prior)
    for f in range(statistic.shape[0]):
        floor = antennas * max(symbol_energy[f], 1e-300) * noise_power[f]
        for k in range(statistic.shape[1]):
            filled = k < peaks[f]
            level = statistic[f, k] / floor if filled else 0.0
            values[LEVEL, f, k] = level
            log_odds = evidence(level, windows[0, f], windows[1, f], snr) + offset
            values[PROBABILITY, f, k] = logistic(log_odds) if filled else 0.0
            distance = _METRES * tau[f, k]
            values[RANGE, f, k] = distance
            present[f, k] = filled and level >= threshold[f]
            gain[f, k] = correlation[f, k] / (antennas * symbol_energy[f] + noise_to_gain)
            position[f, k, 0] = distance * math.cos(theta[f, k])
            position[f, k, 1] = distance * math.sin(theta[f, k])
