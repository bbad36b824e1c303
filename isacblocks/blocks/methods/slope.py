"""The slope that snapshots and prior sectors show, and which no other method can see (docs/maths.md, "The slope")."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from isacblocks.blocks.methods.base import Frames, Memory
from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.calibration import best_slope, slope_deviation, slope_likelihood_ula
from isacblocks.kernels.detection import delay_extent
from isacblocks.kernels.errors import best_ramp
from isacblocks.radar import OfdmRadar

_POINTS = 101  # of the slope's posterior
_REACH = 8.0  # of its grid, in prior standard deviations


@dataclass(frozen=True)
class SlopeStep:
    """Keeps the slope's likelihood on a grid, relative to the start. phase_deviation: prior of the phases, rad."""

    radar: OfdmRadar
    phase_deviation: float

    @property
    def deviation(self) -> float:
        """Prior standard deviation of the slope, rad per element."""
        return slope_deviation(self.phase_deviation, self.radar.antennas)

    @property
    def grid(self) -> Float:
        """The slopes, (B,), rad per element."""
        return np.linspace(-_REACH, _REACH, _POINTS) * self.deviation

    def begin(self) -> Memory:
        """Nothing known but the prior."""
        return {"likelihood": np.zeros(_POINTS), "pending": np.zeros(_POINTS), "slope": 0.0}

    def add(
        self, memory: Memory, frames: Frames, probability: Float, kappa: Complex, believed: tuple[float, float, float]
    ) -> None:
        """Add frames to the sums of the update that is being filled; probability: P(t = 1 | frame) (F,)."""
        snr, prior, noise_power = believed
        slope_likelihood_ula(
            frozen(frames["snapshot"]),
            frozen(frames["symbol_energy"]),
            frozen(frames["theta"]),
            frozen(frames["theta_min"]),
            frozen(frames["theta_max"]),
            frozen(delay_extent(frames["tau_min"], frames["tau_max"], self.radar)),
            frozen(probability),
            frozen(kappa),
            self.radar.element_spacing,
            snr,
            prior,
            noise_power,
            frozen(self.grid),
            memory["pending"],
        )

    def update(self, memory: Memory, before: Complex, after: Complex, keep: float) -> float:
        """How far to turn `after`, rad per element: the estimate that came after `before`, whose frames were added.

        The frames' likelihoods are functions of the slope relative to the estimate that they were seen with; `keep`: what is
        kept of the older ones.
        """
        grid = self.grid
        seen = np.interp(grid - memory["slope"], grid, memory["pending"])
        memory["likelihood"] = keep * memory["likelihood"] + seen
        memory["pending"] = np.zeros(_POINTS)
        here = memory["slope"] + best_ramp(after * before.conj())[0]
        memory["slope"] = best_slope(grid, memory["likelihood"], self.deviation)
        return float(memory["slope"] - here)

    def spread(self, memory: Memory) -> float:
        """Standard deviation of the slope from the curvature of its posterior at the top."""
        grid = self.grid
        posterior = memory["likelihood"] - np.square(grid) / (2 * self.deviation**2)
        k = min(max(int(np.argmax(posterior)), 1), _POINTS - 2)
        curve = (2 * posterior[k] - posterior[k - 1] - posterior[k + 1]) / (grid[1] - grid[0]) ** 2
        return 1 / math.sqrt(curve) if curve > 0 else self.deviation
