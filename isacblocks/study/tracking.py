"""Hardware that drifts, jumps and breaks, followed by the calibrator's tracker in a plain loop over full frames.

For figures and tests: faults that the channel block does not know, and a look at what the tracker believes at any moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.methods import tracker
from isacblocks.blocks.methods.slope import SlopeStep
from isacblocks.blocks.methods.surroundings import Surroundings
from isacblocks.blocks.soundness import sound_samples
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.impairments import draw_impairments, drift_phases
from isacblocks.kernels.peak import Peaks
from isacblocks.kernels.search import search
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.radar import OfdmRadar, Scene

GRID = 100  # points of the search in each direction, Table I
BATCH = 8  # frames per update


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


class Tracker:
    """The calibrator's tracker over frames; told: a scene whose SNR and P(t = 1) need not be estimated."""

    def __init__(self, radar: OfdmRadar, told: Scene | None = None, kappa: Complex | None = None) -> None:
        self.radar = radar
        phases = math.pi / math.sqrt(12)
        slope = SlopeStep(radar, phases) if radar.uniform_linear else None
        self.method = tracker.Tracker(Surroundings(radar, told, GRID, GRID), slope, phases)
        start = np.ones(radar.antennas, np.complex128) if kappa is None else kappa
        self.memory = self.method.begin(start, 1.0)
        self.frames = 0
        self.flags: list[tuple[int, int]] = []  # (frame, antenna)

    def look(self, frames: Frames) -> Mapping[str, NDArray[Any]]:
        """The fields of the frames' peaks under the present kappa."""
        peaks = frames.peaks(self.kappa, self.radar)
        cells = self.radar.antennas * self.radar.subcarriers
        rest = peaks.energy - peaks.statistic / (self.radar.antennas * peaks.symbol_energy)
        sector = {name: getattr(frames, name) for name in ("theta_min", "theta_max", "tau_min", "tau_max")}
        found = {name: getattr(peaks, name) for name in ("snapshot", "theta", "tau", "energy", "symbol_energy")}
        samples = sound_samples(frames.y, np.ones(peaks.theta.size, np.uint8))[1]
        return self.method.surroundings.prepared(sector | found | samples | {"noise_power": rest / (cells - 1)})

    def estimate(self, frames: Frames) -> None:
        """SNR, P(t = 1) and N0 alone from one update's frames; kappa stays."""
        known = self.memory["surroundings"]
        self.method.surroundings.add(known, self.look(frames), self.kappa)
        self.method.surroundings.update(known, len(frames.y))
        self.frames += len(frames.y)

    def update(self, frames: Frames) -> None:
        """One update from the frames' peaks under the present kappa."""
        before = self.memory["jumps"].copy()
        self.method.add(self.memory, self.look(frames))
        self.method.update(self.memory, len(frames.y), math.inf)
        self.frames += len(frames.y)
        self.flags += [(self.frames, int(n)) for n in np.flatnonzero(self.memory["jumps"] != before)]

    @property
    def kappa(self) -> Complex:
        """The estimate, (N,)."""
        return np.asarray(self.memory["kappa"])

    @property
    def believed(self) -> tuple[float, float, float]:
        """SNR, P(t = 1), N0: told, or estimated so far."""
        return self.method.surroundings.believed(self.memory["surroundings"])

    @property
    def sigma(self) -> Float:
        """Standard deviations of gain and phase, (2, N)."""
        made = self.method.estimate(self.memory)
        return np.stack([made.gain_sigma, made.sigma])

    @property
    def phase_drift(self) -> float:
        """Estimated drift of the phases, degrees per sqrt(1000 frames)."""
        return self.method.phase_drift(self.memory)

    @property
    def places(self) -> NDArray[np.int64]:
        """The place that every antenna's cable leads to, (N,)."""
        return self.method.places(self.memory)

    @property
    def health(self) -> NDArray[np.uint8]:
        """The code of every antenna, (N,)."""
        return self.method.estimate(self.memory).health
