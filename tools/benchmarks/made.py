"""Frames made by the project's simulation, against numpy's noise generator, the least that numpy would have to do."""

from __future__ import annotations

import numpy as np

from benchmarks.measure import Case, case
from benchmarks.workload import Workload
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.simulation import draw_scene, simulate_frames


def cases(work: Workload, least: float = 0.01) -> list[Case]:
    """numpy's noise, full frames, compressed frames."""
    generator = np.random.default_rng(0)
    noise = np.empty((work.frames, work.radar.antennas, 2 * work.radar.subcarriers), np.float32)
    made = np.empty_like(work.y)
    radar, basis = work.radar, work.basis

    def numpy_noise() -> float:
        generator.standard_normal(out=noise, dtype=np.float32)
        return work.frames

    def full() -> float:
        truth = draw_scene(0, 0, work.frames, radar, work.scene)
        simulate_frames(work.x, truth.gamma, work.kappa, truth.theta, truth.tau, radar, out=made)
        return work.frames

    def compressed() -> float:
        simulate_compressed(draw_scene(0, 0, work.frames, radar, work.scene), work.kappa, basis)
        return work.frames

    return [
        case("numpy noise", "numpy's normals in single precision, the noise of a frame", numpy_noise, least=least),
        case("simulate full", "draw_scene and simulate_frames: eq. (8) with noise", full, least=least),
        case("simulate compressed", "draw_scene and simulate_compressed", compressed, least=least),
    ]
