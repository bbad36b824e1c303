"""One pass at the Cramer-Rao bound, for hardware that stays put or drifts at a known rate: kernels/calibration.py."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.methods.base import Estimate, Frames, Memory
from isacblocks.blocks.methods.slope import SlopeStep
from isacblocks.blocks.methods.surroundings import Surroundings
from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.calibration import online_sums, rotate
from isacblocks.kernels.impairments import retract


class Online:
    """v <- lambda v + sum p (u conj(s) - N0 ||x||^2 kappa - c), kappa = sqrt(N) v / ||v||; then the slope, if any."""

    batch = 8

    def __init__(self, surroundings: Surroundings, slope: SlopeStep | None) -> None:
        self.surroundings = surroundings
        self.slope = slope

    def begin(self, kappa: Complex, confidence: float) -> Memory:
        """kappa as if it had been learned from `confidence` frames with a target."""
        return {
            "kappa": kappa.copy(),
            "total": np.zeros_like(kappa),
            "pending": np.zeros_like(kappa),
            "targets": 0.0,  # all expected so far
            "weight": np.zeros(2),  # sums of the weights that the memory gives them, and of the squares
            "pending_targets": 0.0,
            "confidence": confidence,  # not yet turned into a part of `total`
            "missing": np.zeros(kappa.size),  # of the weight, what antennas have forgotten: they were learned from less
            "surroundings": self.surroundings.begin(),
            "slope": self.slope.begin() if self.slope is not None else {},
        }

    def add(self, memory: Memory, frames: Frames) -> None:
        """Add the frames' sums."""
        kappa = memory["kappa"]
        self.surroundings.add(memory["surroundings"], frames, kappa)
        believed = self.surroundings.believed(memory["surroundings"])
        extents, positions = (frames["extent_1"], frames["extent_2"]), frozen(self.surroundings.radar.positions)
        snapshot, energy, theta = frames["snapshot"], frames["symbol_energy"], frames["theta"]
        probability = np.empty(energy.size)
        online_sums(snapshot, energy, theta, *extents, positions, frozen(kappa), *believed, memory["pending"], probability)
        for p in probability:  # one after the other: the same bits however the frames came
            memory["pending_targets"] += float(p)
        if self.slope is not None:
            self.slope.add(memory["slope"], frames, probability, kappa, believed)

    def update(self, memory: Memory, count: int, forget: float) -> Estimate:
        """A new direction of v, turned by the slope."""
        snr, _, noise_power = self.surroundings.believed(memory["surroundings"])
        keep = math.exp(-count / forget)
        # A frame with a target adds |gamma|^2 N X^2 kappa on average: SNR S N0 per element of modulus one.
        worth = snr * self.surroundings.radar.subcarriers * noise_power
        fresh, targets = self.gather(memory)
        memory["total"] = keep * (memory["total"] + memory["confidence"] * worth * memory["kappa"]) + fresh
        memory["weight"] = np.array([keep, keep * keep]) * (memory["weight"] + memory["confidence"]) + targets
        memory["targets"] += targets
        memory["confidence"] = memory["pending_targets"] = 0.0
        memory["pending"] = np.zeros_like(memory["total"])
        memory["missing"] *= keep
        before, after = memory["kappa"], retract(self._direction(memory))
        if self.slope is not None:
            turn = self.slope.update(memory["slope"], before, after, keep)
            rotate(after, turn)
            rotate(memory["total"], turn)
        memory["kappa"] = after
        self.surroundings.update(memory["surroundings"], count)
        return self.estimate(memory)

    def _direction(self, memory: Memory) -> Complex:
        """v, the antennas that have forgotten something raised to what the others have added up."""
        missing = memory["missing"]
        if not missing.any():
            return np.asarray(memory["total"])
        return np.asarray(memory["total"] * (memory["weight"][0] / (memory["weight"][0] - missing)))

    def forget(self, memory: Memory, which: NDArray[np.bool_], kappa: Complex, spread: Float) -> None:
        """These antennas' sums begin anew, with the guess as if it had been learned from one frame with a target."""
        weight = float(memory["weight"][0])
        memory["kappa"] = retract(kappa)
        if weight <= 1.0:  # hardly more than the guess has been learned so far
            memory["total"] = memory["kappa"] * (np.linalg.norm(memory["total"]) / math.sqrt(kappa.size))
            memory["missing"][:] = 0.0
            return
        size = np.linalg.norm(self._direction(memory)) / (math.sqrt(kappa.size) * weight)  # of v after one target
        memory["total"][which] = size * memory["kappa"][which]
        memory["missing"][which] = weight - 1.0

    def gather(self, memory: Memory) -> tuple[Complex, float]:
        """What the update's frames add to v, and the expected number of targets among them."""
        return memory["pending"], memory["pending_targets"]

    def estimate(self, memory: Memory) -> Estimate:
        """What the memory says now."""
        antennas = memory["kappa"].size
        snr = self.surroundings.believed(memory["surroundings"])[0]
        # Half of the bound's NMSE per antenna, for the phase, and half for the gain, at the number of equally weighted
        # targets that would tell as much.
        first, second = memory["weight"]
        deviation = math.sqrt(antennas * (1 + snr) * second / (2 * snr**2 * first**2)) if first > 0 else math.nan
        return Estimate(
            kappa=memory["kappa"],
            sigma=np.full(antennas, deviation),
            gain_sigma=np.full(antennas, deviation),
            health=np.zeros(antennas, np.uint8),
            slope=memory["slope"].get("slope", 0.0),
            slope_sigma=self.slope.spread(memory["slope"]) if self.slope is not None else math.nan,
            targets=memory["targets"],
        )
