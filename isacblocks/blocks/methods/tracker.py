"""Hardware that drifts, jumps and breaks: scores, a bank of Kalman filters, jumps, health (kernels/tracking.py and others).

Nothing about the hardware is told: where it stays put the filters remember everything, as the online method does; where it
drifts they forget as fast as suits the drift; an antenna that jumps starts anew by itself, one that breaks is named.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.methods.base import Estimate, Frames, Memory
from isacblocks.blocks.methods.slope import SlopeStep
from isacblocks.blocks.methods.surroundings import Surroundings
from isacblocks.kernels.advance import advance
from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.bounds import slope_worth
from isacblocks.kernels.calibration import rotate, slope_information_sums
from isacblocks.kernels.drift import drift_bank, drift_estimate
from isacblocks.kernels.health import cable_places, follow_suspects, health_codes, place_sums, running_mean
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.jumps import FAST_MEMORIES, jump_threshold
from isacblocks.kernels.scores import PHASE, score_sums
from isacblocks.kernels.uncertainty import deviations, gauge_leverage

_MEMORIES = frozen(FAST_MEMORIES)
_FALSE_FLAGS = 5e-5  # expected per fast memory, all antennas together
_EVIDENCE = 16000.0  # frames over which evidence about the drift is kept
_SETTLED = 0.04  # rad^2: an antenna less certain than this says nothing about the drift
_SHARED = 200.0  # frames over which shared largest values are averaged
_EXCESS_MEMORY = 4000.0  # frames over which the scores' scatter is compared with theory
_EXCESS_BELIEF = 40.0  # targets that theory is worth before that
_EXCESS_LEAST = 2.0  # less is what the search adds, or chance, and does no harm


class Tracker:
    """The Kalman bank with jumps and health. phase_deviation: prior of the phases, rad. What it forgets it learns itself."""

    batch = 8

    def __init__(self, surroundings: Surroundings, slope: SlopeStep | None, phase_deviation: float) -> None:
        self.surroundings = surroundings
        self.slope = slope
        self.variance = phase_deviation**2
        self.radar = surroundings.radar
        self.drift, self.log_prior = (frozen(values) for values in drift_bank())
        self.leverage = frozen(gauge_leverage(self.radar))
        self.positions = frozen(self.radar.positions)
        self.threshold = jump_threshold(_FALSE_FLAGS, self.radar.antennas)

    def begin(self, kappa: Complex, confidence: float) -> Memory:
        """kappa, as certain as the prior and `confidence` frames with a target make it."""
        n, k, w = kappa.size, self.drift.size, FAST_MEMORIES.size
        return {
            "kappa": kappa.copy(),
            "offset": np.zeros((2, k, n)),
            "variance": np.full((2, k, n), self.variance),
            "confidence": confidence,  # not yet turned into a smaller variance
            "evidence": np.zeros((2, k, n)),
            "held": np.zeros((2, 2, k, n)),
            "held_information": np.zeros(1),
            "score_noise": np.zeros((2, 2)),
            "excess": 1.0,  # by what the scores' variance exceeds theory
            "excess_sums": np.zeros(2),  # what it was measured to be, and the targets that it was measured with
            "fast": np.zeros((w, 2, n)),
            "fast_variance": np.zeros((w, 2, n)),
            "gathered": np.zeros((w, n)),
            "score": np.zeros(n, np.complex128),
            "information": np.zeros(1),
            "targets": 0.0,
            "pending_targets": 0.0,
            "jumps": np.zeros(n, np.int64),  # how often each antenna was started anew
            "power": np.ones(n),  # of the last frame
            "shared": np.zeros(n),
            "shared_frames": np.zeros(1),
            "suspect": np.zeros(n, np.uint8),
            "place": np.zeros((n, n), np.complex128),
            "place_variance": np.zeros(n),
            "surroundings": self.surroundings.begin(),
            "slope": self.slope.begin() if self.slope is not None else {},
            "slope_information": np.zeros(2),  # of a target about the slope: sum over frames, and their number
        }

    def add(self, memory: Memory, frames: Frames) -> None:
        """Add the frames' scores, and what they say about slope, surroundings and health."""
        kappa = frozen(memory["kappa"])
        self.surroundings.add(memory["surroundings"], frames, kappa)
        believed = self.surroundings.believed(memory["surroundings"])
        snapshot, energy = frames["snapshot"], frames["symbol_energy"]
        probability = np.empty(energy.size)
        extents = frames["extent_1"], frames["extent_2"]
        score_sums(snapshot, energy, *extents, kappa, *believed, memory["score"], memory["information"], probability)
        for p in probability.tolist():  # one after the other: the same bits however the frames came
            memory["pending_targets"] += p
        if self.slope is not None:
            self.slope.add(memory["slope"], frames, probability, kappa, believed)
            edges = frames["theta_min"], frames["theta_max"]
            slope_information_sums(*edges, slope_worth(believed[0], self.radar), memory["slope_information"])
        self._look(memory, frames, probability, believed[2])

    def _look(self, memory: Memory, frames: Frames, probability: Float, noise_power: float) -> None:
        """What the samples and the suspects' fields say about health."""
        memory["power"] = frames["antenna_power"][-1].astype(np.float64)
        running_mean(frames["antenna_shared"], _SHARED, memory["shared"], memory["shared_frames"])
        place_sums(
            frames["snapshot"],
            frames["symbol_energy"],
            frames["theta"],
            frozen(probability),
            frozen(memory["kappa"]),
            noise_power,
            self.positions,
            memory["suspect"],
            memory["place"],
            memory["place_variance"],
        )

    def update(self, memory: Memory, count: int, forget: float) -> Estimate:
        """The filters' step, the jumps, the slope."""
        self._settle(memory)
        before = memory["kappa"].copy()
        self._track(memory, count)
        if self.slope is not None:
            keep = math.exp(-count / self._slope_memory(memory))
            turn = self.slope.update(memory["slope"], before, memory["kappa"], keep)
            rotate(memory["kappa"], turn)
        follow_suspects(memory["kappa"], memory["suspect"], memory["place"], memory["place_variance"])
        self.surroundings.update(memory["surroundings"], count)
        memory["targets"] += memory["pending_targets"]
        memory["pending_targets"] = 0.0
        memory["score"].fill(0.0)
        memory["information"].fill(0.0)
        return self.estimate(memory)

    def _settle(self, memory: Memory) -> None:
        """A start that is worth some frames makes the prior as narrow as they would."""
        if memory["confidence"] > 0:
            snr = self.surroundings.believed(memory["surroundings"])[0]
            information = memory["confidence"] * 2 * snr**2 / (memory["kappa"].size * (1 + snr))
            memory["variance"] = memory["variance"] / (1 + information * memory["variance"])
            memory["confidence"] = 0.0

    def _track(self, memory: Memory, count: int) -> None:
        # Scores with r times the variance that theory gives them carry 1 / r of the information.
        excess, jumped = memory["excess"], np.empty(memory["kappa"].size, np.uint8)
        scatter = advance(
            memory["score"] if excess == 1.0 else memory["score"] / excess,
            float(memory["information"][0]) / excess,
            float(count),
            self.drift,
            self.log_prior,
            self.leverage,
            _SETTLED,
            _EVIDENCE,
            _MEMORIES,
            self.threshold,
            self.variance,
            memory["kappa"],
            memory["offset"],
            memory["variance"],
            memory["evidence"],
            memory["held"],
            memory["held_information"],
            memory["score_noise"],
            memory["fast"],
            memory["fast_variance"],
            memory["gathered"],
            jumped,
        )
        memory["jumps"] += jumped
        if not math.isnan(scatter):
            self._measure_excess(memory, count, scatter * excess)

    def _measure_excess(self, memory: Memory, count: int, seen: float) -> None:
        """By what the scores' variance exceeds theory: echoes that are not one plane wave make it large at high SNR."""
        keep, weight, sums = math.exp(-count / _EXCESS_MEMORY), memory["pending_targets"], memory["excess_sums"]
        total, targets = keep * float(sums[0]) + weight * seen, keep * float(sums[1]) + weight
        sums[0], sums[1] = total, targets
        before, now = memory["excess"], (total + _EXCESS_BELIEF) / (targets + _EXCESS_BELIEF)
        memory["excess"] = now if now > _EXCESS_LEAST else 1.0
        if memory["excess"] != before:  # what was learned so far is worth as much more, or less
            memory["variance"] = np.minimum(memory["variance"] * (memory["excess"] / before), self.variance)

    def _slope_memory(self, memory: Memory) -> float:
        """Frames after which the slope of drifting phases is better seen anew: sqrt(v / q) of the slope."""
        antennas = memory["kappa"].size
        drift = self._drift(memory) * 12 / (antennas * (antennas**2 - 1))
        total, frames = memory["slope_information"].tolist()
        each = total / max(frames, 1.0) * self.surroundings.believed(memory["surroundings"])[1]
        return 1 / math.sqrt(drift * each) if drift * each > 0 else math.inf

    def phase_drift(self, memory: Memory) -> float:
        """The drift of the phases as it is estimated, degrees per sqrt(1000 frames)."""
        return math.degrees(math.sqrt(1000 * self._drift(memory)))

    def _drift(self, memory: Memory) -> float:
        """The drift of the phases, rad^2 per frame."""
        return float(drift_estimate(memory["evidence"], self.drift, self.log_prior)[PHASE])

    def places(self, memory: Memory) -> NDArray[np.int64]:
        """The place that every antenna's cable leads to, (N,)."""
        return cable_places(memory["place"], memory["place_variance"])

    def estimate(self, memory: Memory) -> Estimate:
        """What the memory says now."""
        kappa = retract(memory["kappa"])
        filters = memory["offset"], memory["variance"], memory["evidence"]
        sigma = deviations(kappa, *filters, self.log_prior, self.leverage)
        return Estimate(
            kappa=kappa,
            sigma=sigma[1],
            gain_sigma=sigma[0],
            health=health_codes(kappa, sigma, memory["power"], memory["shared"], self.places(memory)),
            slope=memory["slope"].get("slope", 0.0),
            slope_sigma=self.slope.spread(memory["slope"]) if self.slope is not None else math.nan,
            targets=memory["targets"],
        )
