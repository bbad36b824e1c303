"""The paper's method: gradient descent on eq. (14) or (15) by Adam, and ||kappa||^2 = N, Algorithm 1.

A batch of Algorithm 1 is one update here: consecutive frames of the stream.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.methods.base import Estimate, Frames, Memory, unknown
from isacblocks.blocks.methods.surroundings import Surroundings
from isacblocks.kernels.adam import SECOND_MOMENTS, adam_step
from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.losses import max_gradient, reconstruction_gradient


class Descent:
    """Adam on loss (14), "max", or (15), "reconstruction". second_moment: see :mod:`isacblocks.kernels.adam`."""

    batch = 128

    def __init__(self, loss: str, surroundings: Surroundings, learning_rate: float, second_moment: str) -> None:
        if second_moment not in SECOND_MOMENTS:
            raise ValueError(f"second_moment: expected one of {', '.join(SECOND_MOMENTS)}, got {second_moment!r}")
        if not (math.isfinite(learning_rate) and learning_rate > 0):
            raise ValueError(f"learning_rate: expected a positive number, got {learning_rate!r}")
        self.loss = loss
        self.surroundings = surroundings
        self.learning_rate = learning_rate
        self.second_moment = second_moment

    def begin(self, kappa: Complex, confidence: float) -> Memory:
        """Start at kappa; Adam knows no confidence."""
        return {
            "kappa": kappa.copy(),
            "gradient": np.zeros_like(kappa),
            "loss": np.zeros(1),
            "last_loss": math.nan,
            "mean": np.zeros_like(kappa),
            "square": np.zeros((kappa.size, 2)),
            "steps": 0,
            "surroundings": self.surroundings.begin(),
        }

    def add(self, memory: Memory, frames: Frames) -> None:
        """Add the frames' loss and gradient."""
        u, kappa = frames["snapshot"], frozen(memory["kappa"])
        self.surroundings.add(memory["surroundings"], frames, kappa)
        if self.loss == "max":
            max_gradient(u, kappa, memory["loss"], memory["gradient"])
            return
        radar = self.surroundings.radar
        noise_to_gain = radar.antennas * radar.subcarriers / self.surroundings.believed(memory["surroundings"])[0]
        energies = frames["energy"], frames["symbol_energy"]
        reconstruction_gradient(u, *energies, kappa, noise_to_gain, memory["loss"], memory["gradient"])

    def update(self, memory: Memory, count: int, forget: float) -> Estimate:
        """One step of Adam, and the retraction."""
        memory["steps"] += 1
        loss = float(memory["loss"][0]) / count
        kappa, gradient = memory["kappa"].copy(), frozen(memory["gradient"] / count)
        components = self.second_moment == "components"
        adam_step(kappa, gradient, memory["mean"], memory["square"], memory["steps"], self.learning_rate, components)
        memory["kappa"] = retract(kappa)
        memory["gradient"], memory["loss"] = np.zeros_like(kappa), np.zeros(1)
        self.surroundings.update(memory["surroundings"], count)
        memory["last_loss"] = loss
        return self.estimate(memory)

    def forget(self, memory: Memory, which: NDArray[np.bool_], kappa: Complex, spread: Float) -> None:
        """Descend from the guess, without the moments of these antennas' gradients."""
        memory["kappa"] = retract(kappa)
        memory["mean"][which], memory["square"][which] = 0.0, 0.0

    def estimate(self, memory: Memory) -> Estimate:
        """The latest kappa; gradient descent does not say how well it is known."""
        return Estimate(kappa=memory["kappa"], loss=memory["last_loss"], **unknown(memory["kappa"].size))
