"""The frames that everything is measured on: Table I, every frame with its own prior sector, an array out of calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.angle_delay_map import sector_grid
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.compression import compressed
from isacblocks.kernels.delay_basis import Compressed, DelayBasis, delay_basis
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.simulation import Truth, draw_scene, draw_symbols, simulate_frames
from isacblocks.radar import OfdmRadar, Scene


@dataclass(frozen=True)
class Workload:
    """F frames y complex64 (F, N, S) with symbols x (F, S), grids theta (F, I) rad and tau (1, J) s, and kappa (N,)."""

    radar: OfdmRadar
    scene: Scene
    truth: Truth
    y: Complex
    x: Complex
    kappa: Complex
    theta: Float
    tau: Float

    @property
    def frames(self) -> int:
        """F."""
        return int(self.y.shape[0])

    @property
    def basis(self) -> DelayBasis:
        """The delay basis of the scene's window."""
        return delay_basis(self.radar, *self.scene.delay_window(self.radar))

    def compress(self) -> Compressed:
        """The frames in it."""
        return compressed(self.y, self.x, self.basis)

    def fixed(self) -> Workload:
        """The same frames, all searched over the first one's sector."""
        return Workload(self.radar, self.scene, self.truth, self.y, self.x, self.kappa, self.theta[:1], self.tau)

    def fields(self) -> dict[str, NDArray[Any]]:
        """As a block takes them: the fields of the record FRAME."""
        low, high = self.scene.delay_window(self.radar)
        return {
            "y": self.y,
            "x": self.x,
            "theta_min": self.truth.theta_min,
            "theta_max": self.truth.theta_max,
            "tau_min": np.full(self.frames, low),
            "tau_max": np.full(self.frames, high),
            "time": np.arange(self.frames) * self.radar.frame_duration,
            "valid": np.ones(self.frames, np.uint8),
        }


def draw(
    frames: int,
    radar: OfdmRadar | None = None,
    scene: Scene | None = None,
    points: tuple[int, int] = (100, 100),
    seed: int = 0,
) -> Workload:
    """Frames by the laws of the scene, Table I by default, to be searched on a grid of `points` angles and delays."""
    radar, scene = radar or OfdmRadar(), scene or Scene()
    truth = draw_scene(seed, 0, frames, radar, scene)
    x = draw_symbols(seed, 0, frames, radar)
    true_kappa = draw_impairments("table1", radar.antennas, seed)
    y = simulate_frames(x, truth.gamma, true_kappa, truth.theta, truth.tau, radar, seed=seed)
    assumed = draw_impairments("table1", radar.antennas, seed + 1)  # a kappa that is neither 1 nor right
    theta = sector_grid(truth.theta_min, truth.theta_max, points[0])
    tau = np.linspace(*scene.delay_window(radar), points[1])[None, :]
    return Workload(radar, scene, truth, y, x, assumed, theta, tau)
