"""What is sent of an estimate: the fields of the record "kappa"."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.methods.base import Estimate
from isacblocks.blocks.methods.surroundings import decibels
from isacblocks.blocks.records import GAUGE_START
from isacblocks.kernels.arrays import Complex
from isacblocks.kernels.follow import Made
from isacblocks.kernels.gains import shrink_gains

Fields = dict[str, NDArray[Any]]  # items on the leading axis


def fields_of(new: Estimate, used: int, believed: tuple[float, float, float], shrink: bool) -> dict[str, Any]:
    """The fields of one item. used: frames since the start; believed: SNR, P(t = 1), N0; shrink: see KappaCalibrator."""
    snr, prior, noise_power = believed
    return {
        "kappa": _sent(new) if shrink else new.kappa,
        "sigma": new.sigma,
        "gain_sigma": new.gain_sigma,
        "health": new.health,
        "slope": new.slope,
        "slope_sigma": new.slope_sigma,
        "frames": used,
        "targets": new.targets,
        "loss": new.loss,
        "acceptance": new.acceptance,
        "snr": decibels(snr),
        "target_probability": prior,
        "noise_power": noise_power,
        "gauge": GAUGE_START,
    }


def _sent(new: Estimate) -> Complex:
    """The estimate, its gains as far from their mean as they are to be believed; learning goes on without that."""
    if math.isnan(new.gain_sigma @ new.gain_sigma):
        return new.kappa
    return shrink_gains(new.kappa, np.square(new.gain_sigma))


def fields_of_all(found: Made, used: NDArray[np.uint64], shrink: bool) -> Fields:
    """The fields of the items of several updates, which the tracker made at once. used: frames since the start, of each."""
    count = used.size
    return {
        "kappa": found.sent if shrink else found.kappa,
        "sigma": found.sigma,
        "gain_sigma": found.gain_sigma,
        "health": found.health,
        "slope": found.slope,
        "slope_sigma": found.slope_sigma,
        "frames": used,
        "targets": found.targets,
        "loss": np.full(count, math.nan),
        "acceptance": np.full(count, math.nan),
        "snr": 10.0 * np.log10(found.snr),
        "target_probability": found.target_probability,
        "noise_power": found.noise_power,
        "gauge": np.full(count, GAUGE_START, np.uint8),
    }
