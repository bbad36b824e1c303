"""The gradient of a batch of Algorithm 1: frames are drawn, searched and forgotten while they are in the cache.

A part of a batch is worked on by one thread, in chunks of frames whose buffers the thread keeps. Losses and gradients are
added frame by frame in double precision, so that the sum over a part does not depend on the chunks it was cut into.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import empty_lines, frozen
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.losses import max_gradient, reconstruction_gradient
from isacblocks.kernels.peak import Peaks
from isacblocks.kernels.search import search, search_compressed
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.study.case import Training

Vector = NDArray[np.complex128]

# Frames that a thread holds at a time: less than a megabyte of compressed ones, eight of whole ones. Each chunk costs some
# 80 us of calls; a quarter of the whole ones would stay in a core's own cache, and gain less than that.
CHUNK = {"compressed": 64, "full": 64}


class _Buffers(threading.local):
    """One thread's: the chunk's frames and its grid of angles."""

    def __init__(self, frame: tuple[int, int], chunk: int, points: int) -> None:
        self.frames = empty_lines((chunk, *frame), np.complex64)
        self.theta = np.empty((chunk, points))


class BatchGradient:
    """Sums of a training's loss and of its gradient over parts of its stream of frames, for N0 = 1."""

    def __init__(self, training: Training) -> None:
        case = training.case
        self.training = training
        self.basis = delay_basis(case.radar, *case.scene.delay_window(case.radar))
        self.true = frozen(case.kappa)
        self.chunk = CHUNK[training.simulation]
        self.full = training.simulation == "full"
        self.noise_to_gain = 1 / case.scene.gain_variance(case.radar)
        samples = case.radar.subcarriers if self.full else self.basis.rank
        self._buffers = _Buffers((case.radar.antennas, samples), self.chunk, case.points)
        self._unit = np.linspace(0.0, 1.0, case.points)
        self._tau = frozen(np.linspace(*self.basis.window, case.points)[None, :])

    def __call__(self, kappa: Vector, part: tuple[int, int]) -> tuple[float, Vector]:
        """Loss and gradient of items first .. first + count - 1, `part` = (first, count), under `kappa` (N,)."""
        first, count = part
        here, loss, gradient = frozen(kappa), np.zeros(1), np.zeros(kappa.shape[0], np.complex128)
        for k in range(first, first + count, self.chunk):
            peaks = self._peaks(here, k, min(self.chunk, first + count - k))
            u = frozen(peaks.snapshot)
            if self.training.loss == "max":
                max_gradient(u, here, loss, gradient)
            else:
                energies = frozen(peaks.energy), frozen(peaks.symbol_energy)
                reconstruction_gradient(u, *energies, here, self.noise_to_gain, loss, gradient)
        return float(loss[0]), gradient

    def _peaks(self, kappa: Vector, first: int, count: int) -> Peaks:
        """Draw `count` items and search them, eqs. (8)-(10)."""
        case, seed = self.training.case, self.training.case.seed
        frames, theta = self._buffers.frames[:count], self._buffers.theta[:count]
        truth = draw_scene(seed, first, count, case.radar, case.scene)
        np.multiply((truth.theta_max - truth.theta_min)[:, None], self._unit, out=theta)
        theta += truth.theta_min[:, None]
        if not self.full:
            drawn = simulate_compressed(truth, self.true, self.basis, seed=seed, first=first, out=frames)
            return search_compressed(drawn, self.basis, kappa, theta, self._tau)
        x = draw_symbols(seed, first, count, case.radar)
        simulate_frames(x, truth.gamma, self.true, truth.theta, truth.tau, case.radar, seed=seed, first=first, out=frames)
        return search(frames, x, kappa, theta, self._tau, case.radar, False)
