"""SNR, P(t = 1) and N0: told once and for all, or estimated from the stream, :mod:`isacblocks.kernels.estimation`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.methods.base import Frames, Memory
from isacblocks.kernels.arrays import Complex, frozen
from isacblocks.kernels.detection import windows
from isacblocks.kernels.estimation import fold_likelihood, mixture_estimate, mixture_grid, mixture_sums, nothing_pending
from isacblocks.kernels.follow import SURROUNDINGS_MEMORY as _MEMORY
from isacblocks.radar import OfdmRadar, Scene


@dataclass(frozen=True)
class Surroundings:
    """What a method believes about the stream. told: a scene whose SNR and P(t = 1) hold, with N0 = `noise_power`.

    n_theta, n_tau: points of the grid that was searched, 0 for a search off the grid.
    """

    radar: OfdmRadar
    told: Scene | None
    n_theta: int
    n_tau: int
    noise_power: float = 1.0

    def begin(self) -> Memory:
        """Nothing is known but broad priors, or everything."""
        if self.told is not None:
            return {"snr": self.told.snr, "prior": self.told.target_probability, "noise_power": self.noise_power}
        likelihood = np.zeros(tuple(axis.size for axis in mixture_grid()))
        snr, prior = mixture_estimate(likelihood)
        return {
            "snr": snr,
            "prior": prior,
            "noise_power": math.nan,
            "noise": np.zeros(2),
            "likelihood": likelihood,
            "pending": nothing_pending(*likelihood.shape),
            "frames": 0,
        }

    def prepared(self, fields: Mapping[str, NDArray[Any]]) -> Frames:
        """Fields of usable peaks as methods take them: as kernels do, and with what is asked of their search windows.

        Added are extent_1 and extent_2, L1 and L2, and straddle of detection.py, (F,) each.
        """
        extents = windows(fields, self.radar, self.n_theta, self.n_tau)
        frames = {name: frozen(array) for name, array in fields.items()}
        return frames | {"extent_1": extents[0], "extent_2": extents[1], "straddle": extents[2]}

    def add(self, memory: Memory, frames: Frames, kappa: Complex) -> None:
        """Add frames to the sums of the update that is being filled."""
        if self.told is not None:
            return
        if math.isnan(memory["noise_power"]):
            memory["noise_power"] = float(frames["noise_power"][0])
        grid = mixture_grid()
        mixture_sums(
            frames["snapshot"],
            frames["symbol_energy"],
            frames["noise_power"],
            frames["extent_1"],
            frames["extent_2"],
            frames["straddle"],
            frozen(kappa),
            float(self.radar.antennas * self.radar.subcarriers),
            _MEMORY,
            memory["snr"],
            memory["prior"],
            *grid,
            memory["noise"],
            np.empty(frames["straddle"].size),
            memory["pending"],
        )

    def update(self, memory: Memory, count: int) -> None:
        """New estimates of SNR and P(t = 1) after `count` more frames."""
        if self.told is not None:
            return
        fold_likelihood(memory["likelihood"], memory["pending"], memory["frames"], count, _MEMORY)
        memory["frames"] += count
        memory["snr"], memory["prior"] = mixture_estimate(memory["likelihood"])
        memory["noise_power"] = float(memory["noise"][0])

    def believed(self, memory: Memory) -> tuple[float, float, float]:
        """(SNR linear, P(t = 1), N0), the same for all frames of an update."""
        return memory["snr"], memory["prior"], memory["noise_power"]


def decibels(snr: float) -> float:
    """A linear SNR in dB."""
    return 10 * math.log10(snr)
