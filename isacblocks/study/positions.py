"""Where an estimate puts a target, how far off that is, and whether it is an outlier: what all figures of position use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float
from isacblocks.radar import SPEED_OF_LIGHT, OfdmRadar


def position(theta: Float, tau: Float) -> Float:
    """(x, y) in metres, shape (F, 2): x along the boresight, y along the array; theta rad, tau s, (F,)."""
    distance = SPEED_OF_LIGHT * tau / 2
    return np.stack([distance * np.cos(theta), distance * np.sin(theta)], axis=-1)


def outside_main_lobe(theta_hat: Float, tau_hat: Float, theta: Float, tau: Float, radar: OfdmRadar) -> NDArray[np.bool_]:
    """Which estimates lie beyond the first null, in angle or in range: outliers (F,). Angles in rad, delays in s, (F,)."""
    sine, delay = first_nulls(radar)
    return np.asarray((np.abs(np.sin(theta_hat) - np.sin(theta)) > sine) | (np.abs(tau_hat - tau) > delay))


def first_nulls(radar: OfdmRadar) -> tuple[float, float]:
    """How far the first null is from the peak: in sin theta, and in delay, s."""
    return 1 / (radar.antennas * radar.element_spacing), 1 / radar.bandwidth
