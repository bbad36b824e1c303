"""What an estimate says, as plain values: for a report, and for a calibration file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from isacblocks.blocks.methods.base import Estimate
from isacblocks.blocks.methods.surroundings import decibels
from isacblocks.kernels.health import HEALTH


def findings_of(made: Estimate, believed: tuple[float, float, float]) -> dict[str, Any]:
    """Numbers, None where there is none, and health, the antennas by what is wrong. believed: SNR, P(t = 1), N0."""
    snr, prior, noise_power = believed
    numbers = {
        "snr_db": decibels(snr),
        "target_probability": prior,
        "noise_power": noise_power,
        "sigma_rad": float(np.median(made.sigma)),
        "gain_sigma": float(np.median(made.gain_sigma)),
        "slope_sigma_rad": made.slope_sigma,
        "acceptance": made.acceptance,
    }
    found: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    codes = ((name, np.flatnonzero(made.health == code).tolist()) for code, name in enumerate(HEALTH) if code)
    return found | {"health": {name: antennas for name, antennas in codes if antennas}}


def calibration_values(made: Estimate) -> dict[str, Any]:
    """What a calibration file keeps of an estimate beside kappa, by the file's names."""
    return {
        "sigma_rad": None if np.isnan(made.sigma).any() else made.sigma.tolist(),
        "gain_sigma": None if np.isnan(made.gain_sigma).any() else made.gain_sigma.tolist(),
        "health": made.health.tolist(),
        "acceptance": None if math.isnan(made.acceptance) else made.acceptance,
        "slope_rad": made.slope,
        "slope_sigma_rad": None if math.isnan(made.slope_sigma) else made.slope_sigma,
        "targets": made.targets,
    }
