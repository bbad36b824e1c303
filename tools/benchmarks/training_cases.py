"""A step of Algorithm 1 by the project: on full frames through the public kernels, and as study/training.py does it."""

from __future__ import annotations

import numpy as np

from benchmarks.measure import PROCESS, Case, case
from benchmarks.workload import Workload
from isacblocks import Adam
from isacblocks.blocks.angle_delay_map import sector_grid
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.losses import max_gradient
from isacblocks.kernels.search import search
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.study import case as studied
from isacblocks.study import training

_PART = 16  # frames at a time: they stay in the second cache


class FullStep:
    """Simulation of full frames, search, gradient of eq. (14), Adam: a step for every call, each with its own frames."""

    def __init__(self, work: Workload, batch: int) -> None:
        self.work, self.batch = work, batch
        self.kappa = np.ones(work.radar.antennas, np.complex128)
        self.adam = Adam()
        self.first = 0

    def _add(self, first: int, count: int, gradient: np.ndarray[tuple[int], np.dtype[np.complex128]]) -> None:
        work, radar = self.work, self.work.radar
        truth = draw_scene(0, first, count, radar, work.scene)
        x = draw_symbols(0, first, count, radar)
        y = simulate_frames(x, truth.gamma, work.kappa, truth.theta, truth.tau, radar, first=first)
        theta = sector_grid(truth.theta_min, truth.theta_max, work.theta.shape[1])
        peaks = search(y, x, self.kappa, theta, work.tau, radar, False)
        max_gradient(frozen(peaks.snapshot), frozen(self.kappa), np.zeros(1), gradient)

    def __call__(self) -> float:
        """One step; says how many frames it took."""
        gradient = np.zeros(self.work.radar.antennas, np.complex128)
        for first in range(0, self.batch, _PART):
            self._add(self.first + first, min(_PART, self.batch - first), gradient)
        self.first += self.batch
        self.kappa = np.asarray(self.adam.step(self.kappa, gradient / self.batch))
        return self.batch


def cases(work: Workload, batch: int, least: float = 0.01) -> list[Case]:
    """Full and compressed; the second by study/training.py, one iteration, threads and files left out."""
    array = studied.Case(radar=work.radar, scene=work.scene, points=work.tau.shape[1])
    one = studied.Training(array, "max", iterations=1, batch=batch)

    def compressed() -> float:
        training.train(one)
        return batch

    return [
        case(
            "training step, full",
            f"simulate full frames, search, gradient of (14), Adam; batch {batch}",
            FullStep(work, batch),
            clock=PROCESS,
            least=least,
        ),
        case(
            "training step, compressed",
            f"study/training.py, frames drawn in the delay basis; batch {batch}",
            compressed,
            clock=PROCESS,
            least=least,
        ),
    ]
