"""Hardware that drifts, jumps and breaks, followed by the tracker's kernels in a plain loop over full frames.

For figures and tests: what a block does with its declared state is done here with attributes, update by update.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float, frozen, real_view
from isacblocks.kernels.detection import angle_extent, delay_extent
from isacblocks.kernels.drift import HOLD, commit_evidence, drift_bank, drift_estimate
from isacblocks.kernels.estimation import fold_likelihood, mixture_estimate, mixture_grid, mixture_sums
from isacblocks.kernels.health import (
    cable_places,
    follow_suspects,
    health_codes,
    place_sums,
    running_mean,
    sample_statistics,
)
from isacblocks.kernels.impairments import draw_impairments, drift_phases
from isacblocks.kernels.jumps import FAST_MEMORIES, fast_sums, jump_statistic, jump_threshold, restart_jumped
from isacblocks.kernels.peak import Peaks, search
from isacblocks.kernels.scores import score_sums
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.kernels.tracking import track
from isacblocks.kernels.uncertainty import deviations, gauge_leverage
from isacblocks.radar import OfdmRadar, Scene

GRID = 100  # points of the search in each direction, Table I
BATCH = 8  # frames per update
_SHARED_MEMORY = 200.0  # frames over which shared largest values are averaged


@dataclass(frozen=True)
class Fault:
    """What happens to antennas at a frame: kind is "factor" (kappa times `value`), "zero" (no samples), "swap" (the two
    antennas' cables are exchanged) or "clip" (samples are limited to `value` standard deviations of the noise).
    """

    frame: int
    antennas: tuple[int, ...]
    kind: str = "factor"
    value: complex = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("factor", "zero", "swap", "clip"):
            raise ValueError(f"kind: expected factor, zero, swap or clip, got {self.kind!r}")
        if self.kind == "swap" and len(self.antennas) != 2:
            raise ValueError(f"antennas: a swap takes two, got {self.antennas}")


@dataclass(frozen=True)
class Frames:
    """One update's worth: frames y (F, N, S), symbols x, prior sectors and delay window (F,), and the true kappa (F, N)."""

    y: Complex
    x: Complex
    theta_min: Float
    theta_max: Float
    tau_min: Float
    tau_max: Float
    kappa: Complex

    def peaks(self, kappa: Complex, radar: OfdmRadar) -> Peaks:
        """The peaks under an assumed kappa, on the grid."""
        steps = np.linspace(0.0, 1.0, GRID)
        theta = self.theta_min[:, None] + (self.theta_max - self.theta_min)[:, None] * steps
        tau = self.tau_min[:1, None] + (self.tau_max - self.tau_min)[:1, None] * steps
        return search(self.y, self.x, kappa, theta, tau, radar, False)


def hardware(
    frames: int, seed: int, radar: OfdmRadar, scene: Scene, drift: float = 0.0, faults: Sequence[Fault] = ()
) -> Iterator[Frames]:
    """Frames by Table I with phases that walk by `drift` degrees per sqrt(1000 frames), and faults."""
    initial, walk = draw_impairments("table1", radar.antennas, seed), np.zeros(radar.antennas)
    window = scene.delay_window(radar)
    for first in range(0, frames, BATCH):
        kappa = np.tile(initial, (BATCH, 1))
        if drift > 0:
            step = math.radians(drift) / math.sqrt(1000)
            phases = drift_phases(seed, first, BATCH, radar.antennas, walk, step)
            walk = phases[-1].copy()
            kappa = kappa * np.exp(1j * phases)
        now = [fault for fault in faults if first >= fault.frame]
        for fault in now:
            if fault.kind in ("factor", "zero"):
                kappa[:, fault.antennas] *= fault.value if fault.kind == "factor" else 0.0
        truth = draw_scene(seed, first, BATCH, radar, scene)
        x = draw_symbols(seed, first, BATCH, radar)
        y = simulate_frames(x, truth.gamma, kappa, truth.theta, truth.tau, radar, seed=seed, first=first)
        for fault in now:
            antennas = list(fault.antennas)
            if fault.kind == "zero":
                y[:, antennas] = 0
            elif fault.kind == "swap":
                y[:, antennas] = y[:, antennas[::-1]]
            elif fault.kind == "clip":
                limit = abs(fault.value) * math.sqrt(0.5)
                pairs = y.view(np.float32)
                pairs[:, antennas] = np.clip(pairs[:, antennas], -limit, limit)
        low, high = np.full(BATCH, window[0]), np.full(BATCH, window[1])
        yield Frames(y, x, truth.theta_min, truth.theta_max, low, high, kappa)


@dataclass
class Tracker:
    """The tracker's state and one update of it; `told` = (SNR, P(t = 1), N0) where they need not be estimated."""

    radar: OfdmRadar
    told: tuple[float, float, float] | None = None
    phase_deviation: float = math.pi / math.sqrt(12)
    false_flags: float = 1e-5  # per fast memory
    estimate_memory: float = 4000.0
    evidence_memory: float = 16000.0
    settled: float = 0.04  # rad^2
    frames: int = 0
    snr: float = 10**1.2
    prior: float = 0.5
    flags: list[tuple[int, int]] = field(default_factory=list)  # (frame, antenna)

    def __post_init__(self) -> None:
        n = self.radar.antennas
        self.drift, self.log_prior = drift_bank()
        self.leverage = gauge_leverage(self.radar)
        self.grid = mixture_grid()
        self.likelihood = np.zeros((self.grid[0].size, self.grid[1].size))
        self.noise = np.zeros(2)
        self.kappa = np.ones(n, np.complex128)
        self.offset = np.zeros((2, self.drift.size, n))
        self.variance = np.full((2, self.drift.size, n), self.phase_deviation**2)
        self.evidence = np.zeros((2, self.drift.size, n))
        self.held, self.held_information = np.zeros((2, *self.evidence.shape)), np.zeros(1)
        self.score_noise = np.zeros((2, 2))
        self.spread, self.innovation = np.empty((2, n)), np.empty((2, n))
        self.fast = np.zeros((FAST_MEMORIES.size, 2, n))
        self.fast_variance, self.gathered = np.zeros_like(self.fast), np.zeros((FAST_MEMORIES.size, n))
        self.threshold = jump_threshold(self.false_flags, n)
        self.power, self.shared, self.shared_frames = np.ones(n), np.zeros(n), np.zeros(1)
        self.suspect, self.place, self.place_variance = np.zeros(n, np.uint8), np.zeros((n, n), complex), np.zeros(n)

    @property
    def believed(self) -> tuple[float, float, float]:
        """SNR, P(t = 1), N0: told, or estimated so far."""
        return self.told or (self.snr, self.prior, float(self.noise[0]))

    def estimate(self, frames: Frames, peaks: Peaks) -> None:
        """SNR, P(t = 1) and N0 from one update's peaks."""
        elements, cells = self.radar.antennas, self.radar.antennas * self.radar.subcarriers
        energy, extents = frozen(peaks.symbol_energy), self._extents(frames)
        rest = (peaks.energy - peaks.statistic / (elements * energy)) / (cells - 1)
        straddle = 1 + (np.square(extents[0]) + np.square(extents[1])) / (12 * (GRID - 1) ** 2)
        pending, probability = np.zeros_like(self.likelihood), np.empty(peaks.theta.size)
        mixture_sums(
            frozen(peaks.snapshot), energy, frozen(rest), *extents, frozen(straddle), frozen(self.kappa), float(cells),
            self.estimate_memory, self.snr, self.prior, frozen(self.grid[0]), frozen(self.grid[1]), self.noise,
            probability, pending,
        )  # fmt: skip
        self.likelihood = fold_likelihood(self.likelihood, pending, self.frames, peaks.theta.size, self.estimate_memory)
        self.snr, self.prior = mixture_estimate(self.likelihood)
        self.frames += peaks.theta.size

    def _extents(self, frames: Frames) -> tuple[Float, Float]:
        first = angle_extent(frames.theta_min, frames.theta_max, self.radar)
        return frozen(first), frozen(delay_extent(frames.tau_min, frames.tau_max, self.radar))

    def update(self, frames: Frames) -> None:
        """One update from the frames' peaks under the present kappa."""
        peaks = frames.peaks(self.kappa, self.radar)
        self.estimate(frames, peaks)
        score, information = np.zeros(self.radar.antennas, np.complex128), np.zeros(1)
        probability = np.empty(peaks.theta.size)
        score_sums(
            frozen(peaks.snapshot), frozen(peaks.symbol_energy), *self._extents(frames), frozen(self.kappa), *self.believed,
            score, information, probability,
        )  # fmt: skip
        self._health(frames, peaks, probability)
        self._track(score, float(information[0]), peaks.theta.size)

    def _track(self, score: Complex, information: float, count: int) -> None:
        track(
            score, information, float(count), frozen(self.drift), frozen(self.log_prior), frozen(self.leverage),
            self.settled, self.evidence_memory, frozen(self.evidence), self.kappa, self.offset, self.variance, self.held,
            self.score_noise, self.spread, self.innovation,
        )  # fmt: skip
        fast_sums(
            self.innovation, information, self.spread, frozen(FAST_MEMORIES), self.fast, self.fast_variance, self.gathered
        )
        statistic = np.empty(self.gathered.shape)
        jump_statistic(self.fast, self.fast_variance, frozen(self.leverage), statistic)
        keep = math.exp(-count / self.evidence_memory)
        commit_evidence(
            statistic, self.threshold / 2, information, HOLD, keep, self.held, self.held_information, self.evidence
        )
        flags = np.empty(self.radar.antennas, np.uint8)
        restart_jumped(
            statistic, self.threshold, self.phase_deviation**2, self.kappa, self.offset, self.variance, self.held,
            self.fast, self.fast_variance, self.gathered, flags,
        )  # fmt: skip
        self.flags += [(self.frames, int(n)) for n in np.flatnonzero(flags)]

    def _health(self, frames: Frames, peaks: Peaks, probability: Float) -> None:
        values = np.empty((3, *frames.y.shape[:2]))
        sample_statistics(real_view(frames.y), values[0], values[1], values[2])
        self.power = values[0].mean(axis=0)
        running_mean(values[2], _SHARED_MEMORY, self.shared, self.shared_frames)
        place_sums(
            frozen(peaks.snapshot), frozen(peaks.symbol_energy), frozen(peaks.theta), frozen(probability),
            frozen(self.kappa), self.believed[2], frozen(self.radar.positions), self.suspect, self.place,
            self.place_variance,
        )  # fmt: skip
        follow_suspects(self.kappa, self.suspect, self.place, self.place_variance)

    @property
    def sigma(self) -> Float:
        """Standard deviations of gain and phase, (2, N)."""
        return deviations(self.kappa, self.offset, self.variance, self.evidence, self.log_prior, self.leverage)

    @property
    def phase_drift(self) -> float:
        """Estimated drift of the phases, degrees per sqrt(1000 frames)."""
        return math.degrees(math.sqrt(1000 * drift_estimate(self.evidence, self.drift, self.log_prior)[1]))

    @property
    def places(self) -> NDArray[np.int64]:
        """The place that every antenna's cable leads to, (N,)."""
        return cable_places(self.place, self.place_variance)

    @property
    def health(self) -> NDArray[np.uint8]:
        """The code of every antenna, (N,)."""
        return health_codes(self.kappa, self.sigma, self.power, self.shared, self.places)
