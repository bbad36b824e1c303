"""A start from nothing: phases anywhere on the circle, from the first frames (kernels/start.py); another method goes on.

The first frames are kept. When there are enough of them a spectral estimate, EM and a search for the slope are made of them
and tried on frames held back; where the trial fails, more frames are waited for, and until it is passed the estimates say
that nothing is known. What follows is the other method's: the kept frames are given to it as if they came now, seen with the
kappa that was found.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.methods import buffer
from isacblocks.blocks.methods.base import Estimate, Frames, Memory, Method
from isacblocks.blocks.methods.surroundings import Surroundings
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.delay_basis import DelayBasis
from isacblocks.kernels.search import search_compressed
from isacblocks.kernels.start import Start, full_circle_start

FIRST = 128  # frames of the first attempt
MOST = 2048  # of the largest: where that fails too, the older half is let go and as many newer ones are waited for
_UNKNOWN = math.pi / math.sqrt(3)  # rad, the standard deviation of a phase anywhere on the circle


class FullCircle:
    """Starts `follower`. The acceptance of the start is in the estimates: nan before, then the gain of its trial in nats."""

    def __init__(self, follower: Method, surroundings: Surroundings, basis: DelayBasis) -> None:
        self.follower = follower
        self.batch = follower.batch
        self.surroundings = surroundings
        self.basis = basis

    def begin(self, kappa: Complex, confidence: float) -> Memory:
        """Nothing is believed of kappa but what is needed to see peaks meanwhile."""
        return {
            "kappa": kappa.copy(),
            "buffer": buffer.empty(),
            "wanted": FIRST,
            "started": 0,  # frames that the start was made of
            "acceptance": math.nan,
            "follower": self.follower.begin(kappa, confidence),
            "surroundings": self.surroundings.begin(),
        }

    def add(self, memory: Memory, frames: Frames) -> None:
        """Keep the frames, or hand them on."""
        if memory["started"]:
            self.follower.add(memory["follower"], frames)
        else:
            buffer.append(memory["buffer"], frames)

    def update(self, memory: Memory, count: int, forget: float) -> Estimate:
        """Try to start, or let the follower update."""
        if memory["started"]:
            return self._judged(memory, self.follower.update(memory["follower"], count, forget))
        buffer.drop_bursts(memory["buffer"])
        held = buffer.count(memory["buffer"])
        if held < memory["wanted"]:
            return self.estimate(memory)
        start = self._attempt(memory)
        memory["acceptance"] = start.trial.gain
        if not start.stands:
            if held >= MOST:
                buffer.let_go(memory["buffer"], held // 2)
            memory["wanted"] = min(2 * held, MOST)
            return self.estimate(memory)
        memory["started"] = held
        memory["follower"] = self.follower.begin(start.kappa, 0.0)
        self.follower.add(memory["follower"], self._seen(memory["buffer"], start.kappa))
        memory["buffer"] = buffer.empty()
        return self._judged(memory, self.follower.update(memory["follower"], held, forget))

    def forget(self, memory: Memory, which: NDArray[np.bool_], kappa: Complex, spread: Float) -> None:
        """The follower forgets; frames that are still kept for the start were of other hardware and are let go."""
        if memory["started"]:
            self.follower.forget(memory["follower"], which, kappa, spread)
        else:
            memory["buffer"], memory["wanted"] = buffer.empty(), FIRST

    def estimate(self, memory: Memory) -> Estimate:
        """What the follower says; before the start, that nothing is known."""
        if memory["started"]:
            return self._judged(memory, self.follower.estimate(memory["follower"]))
        antennas = memory["kappa"].size
        return Estimate(
            kappa=memory["kappa"],
            sigma=np.full(antennas, _UNKNOWN),
            gain_sigma=np.full(antennas, math.nan),
            health=np.zeros(antennas, np.uint8),
            acceptance=memory["acceptance"],
        )

    def _judged(self, memory: Memory, made: Estimate) -> Estimate:
        made.acceptance = memory["acceptance"]
        memory["surroundings"] = memory["follower"]["surroundings"]
        return made

    def _attempt(self, memory: Memory) -> Start:
        kept = memory["buffer"]
        told = self.surroundings.told
        return full_circle_start(
            buffer.samples(kept),
            self.basis,
            kept["theta_min"],
            kept["theta_max"],
            snr=None if told is None else told.snr,
            prior=None if told is None else told.target_probability,
            noise_power=None if told is None else self.surroundings.noise_power,
        )

    def _seen(self, kept: Memory, kappa: Complex) -> Frames:
        """The peaks of the kept frames under `kappa`, with all that a method may ask of them."""
        radar = self.basis.radar
        steps = np.linspace(0.0, 1.0, self.surroundings.n_theta or 100)
        theta = kept["theta_min"][:, None] + (kept["theta_max"] - kept["theta_min"])[:, None] * steps
        tau = np.linspace(*self.basis.window, self.surroundings.n_tau or 100)[None, :]
        refine = not self.surroundings.n_theta
        peaks = search_compressed(buffer.samples(kept), self.basis, kappa, theta, tau, refine)
        cells = radar.antennas * radar.subcarriers
        rest = peaks.energy - peaks.statistic / (radar.antennas * peaks.symbol_energy)
        found = {"snapshot": peaks.snapshot, "theta": peaks.theta, "tau": peaks.tau, "noise_power": rest / (cells - 1)}
        return self.surroundings.prepared(dict(kept) | found)
