"""The slope that snapshots and prior sectors show, and which no other method can see (docs/maths.md, "The slope")."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from isacblocks.blocks.methods.base import Frames, Memory
from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.calibration import best_slope, fold_slope, slope_deviation, slope_likelihood_ula, slope_spread
from isacblocks.kernels.errors import best_ramp
from isacblocks.radar import OfdmRadar

_POINTS = 101  # of the slope's posterior
_REACH = 8.0  # of its grid, in prior standard deviations


@dataclass(frozen=True)
class SlopeStep:
    """Keeps the slope's likelihood on a grid, relative to the start. phase_deviation: prior of the phases, rad."""

    radar: OfdmRadar
    phase_deviation: float

    @cached_property
    def deviation(self) -> float:
        """Prior standard deviation of the slope, rad per element."""
        return slope_deviation(self.phase_deviation, self.radar.antennas)

    @cached_property
    def grid(self) -> Float:
        """The slopes, (B,), rad per element."""
        return frozen(np.linspace(-_REACH, _REACH, _POINTS) * self.deviation)

    def begin(self) -> Memory:
        """Nothing known but the prior."""
        return {"likelihood": np.zeros(_POINTS), "pending": np.zeros(_POINTS), "slope": 0.0}

    def add(
        self, memory: Memory, frames: Frames, probability: Float, kappa: Complex, believed: tuple[float, float, float]
    ) -> None:
        """Add frames to the sums of the update that is being filled; probability: P(t = 1 | frame) (F,)."""
        snr, prior, noise_power = believed
        slope_likelihood_ula(
            frames["snapshot"],
            frames["symbol_energy"],
            frames["theta"],
            frames["theta_min"],
            frames["theta_max"],
            frames["extent_2"],
            frozen(probability),
            frozen(kappa),
            self.radar.element_spacing,
            snr,
            prior,
            noise_power,
            self.grid,
            memory["pending"],
        )

    def update(self, memory: Memory, before: Complex, after: Complex, keep: float) -> float:
        """How far to turn `after`, rad per element: the estimate that came after `before`, whose frames were added.

        The frames' likelihoods are functions of the slope relative to the estimate that they were seen with; `keep`: what is
        kept of the older ones.
        """
        fold_slope(memory["likelihood"], memory["pending"], self.grid, memory["slope"], keep)
        here = memory["slope"] + best_ramp(after * before.conj())[0]
        memory["slope"] = best_slope(self.grid, frozen(memory["likelihood"]), self.deviation)
        return float(memory["slope"] - here)

    def spread(self, memory: Memory) -> float:
        """Standard deviation of the slope from the curvature of its posterior at the top."""
        return slope_spread(self.grid, frozen(memory["likelihood"]), self.deviation)
