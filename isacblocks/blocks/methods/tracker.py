"""Hardware that drifts, jumps and breaks: scores, a bank of Kalman filters, jumps, health (kernels/tracking.py and others).

Nothing about the hardware is told: where it stays put the filters remember everything, as the online method does; where it
drifts they forget as fast as suits the drift; an antenna that jumps starts anew by itself, one that breaks is named.
What is done with a message's frames is one kernel, kernels/follow.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.methods.base import Estimate, Frames, Memory
from isacblocks.blocks.methods.slope import SlopeStep
from isacblocks.blocks.methods.surroundings import Surroundings
from isacblocks.kernels import follow
from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.bounds import slope_worth
from isacblocks.kernels.drift import drift_bank, drift_estimate
from isacblocks.kernels.estimation import mixture_grid
from isacblocks.kernels.follow import Made
from isacblocks.kernels.health import GOOD, RESTARTED, cable_places
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.jumps import FAST_MEMORIES, jump_threshold
from isacblocks.kernels.scores import PHASE
from isacblocks.kernels.uncertainty import gauge_leverage

_UNSEEN = 1.0  # SNR of the peak: below it peaks are the noise's own, and what they say of phases is not to be believed
_FALSE_FLAGS = 5e-5  # expected per fast memory, all antennas together
_NO_GRID = frozen(np.empty(0))
_UNBOUNDED = 1 << 40  # frames: an update that does not become full
# The numbers of follow.State by their names in the memory
_NUMBERS = {
    "confidence": follow.CONFIDENCE,
    "excess": follow.EXCESS,
    "pending_targets": follow.PENDING,
    "targets": follow.TARGETS,
}


class Tracker:
    """The Kalman bank with jumps and health. phase_deviation: prior of the phases, rad. What it forgets it learns itself."""

    batch = 8

    def __init__(self, surroundings: Surroundings, slope: SlopeStep | None, phase_deviation: float) -> None:
        self.surroundings = surroundings
        self.slope = slope
        self.variance = phase_deviation**2
        self.radar = radar = surroundings.radar
        drift, log_prior = drift_bank()
        snr_grid, prior_grid = mixture_grid()
        self.rules = follow.Rules(
            drift=frozen(drift),
            log_prior=frozen(log_prior),
            leverage=frozen(gauge_leverage(radar)),
            memories=frozen(FAST_MEMORIES),
            positions=frozen(radar.positions),
            slopes=_NO_GRID if slope is None else slope.grid,
            snr_grid=snr_grid,
            prior_grid=prior_grid,
            threshold=jump_threshold(_FALSE_FLAGS, radar.antennas),
            variance=self.variance,
            deviation=1.0 if slope is None else slope.deviation,
            pitch=float(radar.element_spacing),
            worth=0.0 if slope is None else slope_worth(1.0, radar),
            cells=float(radar.antennas * radar.subcarriers),
            told=surroundings.told is not None,
        )

    def begin(self, kappa: Complex, confidence: float) -> Memory:
        """kappa, as certain as the prior and `confidence` frames with a target make it."""
        n, k, w = kappa.size, self.rules.drift.size, FAST_MEMORIES.size
        return {
            "kappa": kappa.astype(np.complex128),
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

    def _state(self, memory: Memory) -> follow.State:
        """The memory as the kernel takes it; its numbers are copies."""
        around, slope = memory["surroundings"], memory["slope"]
        numbers = np.zeros(follow.NUMBERS)
        for name, place in _NUMBERS.items():
            numbers[place] = memory[name]
        numbers[follow.SLOPE] = slope.get("slope", 0.0)
        numbers[follow.SNR], numbers[follow.PRIOR], numbers[follow.NOISE_POWER] = self.surroundings.believed(around)
        numbers[follow.FRAMES] = around.get("frames", 0)
        elsewhere = {
            "numbers": numbers,
            "slope_likelihood": slope.get("likelihood", _unused(1)),
            "slope_pending": slope.get("pending", _unused(1)),
            "noise": around.get("noise", _unused(1)),
            "likelihood": around.get("likelihood", _unused(2)),
            "pending": around.get("pending", _unused(3)),
        }
        return follow.State(*(elsewhere[name] if name in elsewhere else memory[name] for name in follow.State._fields))

    def _keep(self, memory: Memory, numbers: NDArray[np.float64]) -> None:
        """Put the numbers back to where they belong."""
        values = numbers.tolist()
        for name, place in _NUMBERS.items():
            memory[name] = values[place]
        if self.slope is not None:
            memory["slope"]["slope"] = values[follow.SLOPE]
        if not self.rules.told:
            found = {"snr": follow.SNR, "prior": follow.PRIOR, "noise_power": follow.NOISE_POWER}
            memory["surroundings"].update({name: values[place] for name, place in found.items()})
            memory["surroundings"]["frames"] = int(values[follow.FRAMES])

    def follow(self, memory: Memory, frames: Frames, filled: int, batch: int) -> Made:
        """Add the frames, and make every update of `batch` frames that becomes full; `filled` are in it already.

        batch 0: what the memory says now. Raises ValueError where kappa has no norm.
        """
        seen = follow.Seen(*(frozen(frames[name]) for name in follow.Seen._fields))
        state = self._state(memory)
        made = follow.room_for((filled + seen.symbol_energy.size) // batch if batch else 1, state.kappa.size)
        updates = follow.follow(seen, self.rules, state, filled, batch, made)
        if updates < 0:
            raise ValueError("kappa: cannot be scaled to ||kappa||^2 = N, it has no norm")
        self._keep(memory, state.numbers)
        if made.snr.min(initial=math.inf) < _UNSEEN:
            unseen = (made.snr < _UNSEEN)[:, None] & (made.health == GOOD)
            made.health[unseen] = RESTARTED
        return made

    def add(self, memory: Memory, frames: Frames) -> None:
        """Add the frames' scores, and what they say about slope, surroundings and health."""
        self.follow(memory, frames, 0, _UNBOUNDED)

    def update(self, memory: Memory, count: int, forget: float) -> Estimate:
        """The filters' step, the jumps, the slope."""
        made = self.follow(memory, self._no_frames, count, count)
        return self.estimates(made, 0)

    def forget(self, memory: Memory, which: NDArray[np.bool_], kappa: Complex, spread: Float) -> None:
        """The filters of these antennas begin anew, as after a jump; what the others know stays as it is."""
        memory["kappa"] = retract(kappa)
        for name in ("offset", "held", "fast", "fast_variance", "gathered"):
            memory[name][..., which] = 0.0
        memory["variance"][..., which] = np.minimum(self.variance, np.square(spread[:, None, which]))
        memory["suspect"][which], memory["place"][which], memory["place_variance"][which] = 0, 0.0, 0.0

    @property
    def _no_frames(self) -> Frames:
        rows: dict[str, NDArray[Any]] = {
            name: np.empty((0, self.radar.antennas), kind) for name, kind in follow.ROWS.items()
        }
        return {name: rows.get(name, np.empty(0)) for name in follow.Seen._fields}

    def estimates(self, made: Made, update: int) -> Estimate:
        """One of the estimates that :meth:`follow` made."""
        return Estimate(
            kappa=made.kappa[update],
            sigma=made.sigma[update],
            gain_sigma=made.gain_sigma[update],
            health=made.health[update],
            slope=float(made.slope[update]),
            slope_sigma=float(made.slope_sigma[update]),
            targets=float(made.targets[update]),
        )

    def phase_drift(self, memory: Memory) -> float:
        """The drift of the phases as it is estimated, degrees per sqrt(1000 frames)."""
        drift = drift_estimate(memory["evidence"], self.rules.drift, self.rules.log_prior)[PHASE]  # rad^2 per frame
        return math.degrees(math.sqrt(1000 * float(drift)))

    def places(self, memory: Memory) -> NDArray[np.int64]:
        """The place that every antenna's cable leads to, (N,)."""
        return cable_places(memory["place"], memory["place_variance"])

    def estimate(self, memory: Memory) -> Estimate:
        """What the memory says now."""
        return self.estimates(self.follow(memory, self._no_frames, 0, 0), 0)


def _unused(dimensions: int) -> NDArray[np.float64]:
    """In the place of sums that are not kept."""
    return np.zeros((1,) * dimensions)
