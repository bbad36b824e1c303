"""Expectation maximisation over the whole map instead of its maximum: kernels/expectation.py.

Where single frames say little, their echoes may be anywhere in the map; the online method believes the largest point.
"""

from __future__ import annotations

import numpy as np

from isacblocks.blocks.methods import buffer
from isacblocks.blocks.methods.base import Frames, Memory
from isacblocks.blocks.methods.online import Online
from isacblocks.blocks.methods.slope import SlopeStep
from isacblocks.blocks.methods.surroundings import Surroundings
from isacblocks.kernels.arrays import Complex
from isacblocks.kernels.delay_basis import DelayBasis
from isacblocks.kernels.expectation import em_step

_POINTS = 100  # of the grids


class ExpectationMaximisation(Online):
    """v <- lambda v + sum p w (u conj(s) - N0 ||x||^2 kappa) over all points of the map, w their posterior."""

    batch = 32

    def __init__(self, surroundings: Surroundings, slope: SlopeStep | None, basis: DelayBasis) -> None:
        super().__init__(surroundings, slope)
        self.basis = basis

    def begin(self, kappa: Complex, confidence: float) -> Memory:
        """As the online method, with room for the frames of one update."""
        return super().begin(kappa, confidence) | {"buffer": buffer.empty()}

    def add(self, memory: Memory, frames: Frames) -> None:
        """Keep the frames; what the peaks tell of the surroundings and of the slope is taken at once."""
        super().add(memory, frames)
        buffer.append(memory["buffer"], frames)

    def gather(self, memory: Memory) -> tuple[Complex, float]:
        """The frames' share of v by one EM step from the present kappa: more of them would fit kappa to these few frames."""
        kept = memory["buffer"]
        theta = kept["theta_min"][:, None] + (kept["theta_max"] - kept["theta_min"])[:, None] * np.linspace(0, 1, _POINTS)
        tau = np.linspace(*self.basis.window, _POINTS)[None, :]
        believed = self.surroundings.believed(memory["surroundings"])
        made = em_step(buffer.samples(kept), self.basis, memory["kappa"], theta, tau, *believed)
        memory["buffer"] = buffer.empty()
        return made.direction(memory["kappa"]), float(made.probability.sum())
