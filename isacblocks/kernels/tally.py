"""Detections counted against the truth, and their position errors, frame by frame."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.jit import jit_exact
from isacblocks.radar import SPEED_OF_LIGHT

_METRES = SPEED_OF_LIGHT / 2  # per second of delay
PRESENT, DETECTED, ABSENT, FALSE = 0, 1, 2, 3  # the columns of `counts`

Flags = NDArray[np.uint8]
Counts = NDArray[np.int64]


@jit_exact
def tally(
    valid: Flags,
    there: Flags,
    said: Flags,
    position: Float,
    theta_hat: Float,
    tau_hat: Float,
    theta: Float,
    tau: Float,
    null_sine: float,
    null_delay: float,
    early: int,
    counts: Counts,
    squares: Float,
    stored: Counts,
    errors: Float,
) -> None:
    """Add F frames to the sums over all frames, row 0, and over those from number `early` of these on, row 1; in place.

    valid, there (truth), said: flags (F,); position (F, 2): estimated, m; angles in rad and delays in s, estimated and true,
    (F,); null_sine, null_delay: how far off the first nulls are. counts (2, 4); squares (2,): of position errors, m^2;
    stored (2,): how many; errors (M, 2): the latest M of them, m, and whether they lie outside the main lobe.
    """
    for f in range(valid.shape[0]):
        if not valid[f]:
            continue
        total, hits = (PRESENT, DETECTED) if there[f] else (ABSENT, FALSE)
        rows = 2 if f >= early else 1
        for row in range(rows):
            counts[row, total] += 1
            counts[row, hits] += 1 if said[f] else 0
        if not (there[f] and said[f]):
            continue
        distance = _METRES * tau[f]
        along = position[f, 0] - distance * math.cos(theta[f])
        across = position[f, 1] - distance * math.sin(theta[f])
        square = along * along + across * across
        outside = abs(math.sin(theta_hat[f]) - math.sin(theta[f])) > null_sine or abs(tau_hat[f] - tau[f]) > null_delay
        place = stored[0] % errors.shape[0]
        errors[place, 0] = math.sqrt(square)
        errors[place, 1] = 1.0 if outside else 0.0
        for row in range(rows):
            squares[row] += square
            stored[row] += 1
