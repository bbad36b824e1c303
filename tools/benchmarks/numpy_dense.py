"""The yardstick: the best that numpy does for the same work, dense products in complex64.

The delay is correlated first, with a table that all frames share; the steering vectors of a frame's own sector come from
single-precision sines and cosines; frames are taken a few at a time, so that what one product leaves is in the cache for the
next one. How many at a time is tried out on the machine. The maximum's place, the snapshot there and eq. (14)'s gradient
follow, as a detector and Algorithm 1 need them.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.agreement import Answer
from benchmarks.workload import Workload

Array = NDArray[Any]
CHUNKS = (1, 2, 3, 4, 6, 8)


class DenseDetector:
    """Map, maximum, snapshot and gradient of all frames of a workload, `chunk` frames at a time."""

    def __init__(self, work: Workload, chunk: int) -> None:
        self.work = work
        self.chunk = chunk
        radar = work.radar
        self.n = np.arange(radar.antennas, dtype=np.float32)
        self.pitch = np.float32(2 * np.pi * radar.element_spacing)
        self.kappa = work.kappa.astype(np.complex64)
        phase = 2 * np.pi * radar.subcarrier_spacing * np.outer(np.arange(radar.subcarriers), work.tau[0])
        self.delay = np.exp(1j * phase).astype(np.complex64)  # conj(b), (S, J)
        self.shared = None if work.theta.shape[0] > 1 else self.steering(work.theta)
        self.z = np.empty((chunk, radar.antennas, radar.subcarriers), np.complex64)
        self.power = np.empty((2, chunk, work.theta.shape[1], work.tau.shape[1]), np.float32)

    def steering(self, theta: Array) -> Array:
        """conj(kappa_n a_n(theta_i)), complex64 (F, I, N)."""
        phase = (self.pitch * np.sin(theta).astype(np.float32))[:, :, None] * self.n
        out = np.empty(phase.shape, np.complex64)
        np.cos(phase, out=out.real)
        np.sin(phase, out=out.imag)
        out *= self.kappa.conj()
        return out

    def maps(self, first: int) -> tuple[Array, Array, Array]:
        """p (F, N, J), the weights (F or 1, I, N) and the map (F, I, J) of a chunk of frames."""
        work = self.work
        y = work.y[first : first + self.chunk]
        z = self.z[: len(y)]
        np.multiply(y, work.x[first : first + self.chunk, None, :].conj(), out=z)
        p = (z.reshape(-1, z.shape[2]) @ self.delay).reshape(len(y), z.shape[1], -1)
        weights = self.steering(work.theta[first : first + self.chunk]) if self.shared is None else self.shared
        s = weights @ p
        real, imag = self.power[0, : len(y)], self.power[1, : len(y)]
        np.multiply(s.real, s.real, out=real)
        np.multiply(s.imag, s.imag, out=imag)
        real += imag
        return p, weights, real

    def answer(self) -> Answer:
        """The work that is timed."""
        work = self.work
        index = np.empty((work.frames, 2), np.int64)
        gradient = np.zeros(work.radar.antennas, np.complex128)
        for first in range(0, work.frames, self.chunk):
            p, weights, power = self.maps(first)
            count = len(power)
            rows = np.arange(count)
            i, j = np.divmod(power.reshape(count, -1).argmax(1), power.shape[2])
            index[first : first + count, 0], index[first : first + count, 1] = i, j
            summands = weights[rows if self.shared is None else 0, i] * p[rows, :, j]  # conj(kappa_n) u_n
            snapshot = summands / self.kappa.conj()
            gradient += -2.0 * np.sum(snapshot * summands.sum(1).conj()[:, None], axis=0, dtype=np.complex128)
        return Answer(index, gradient / work.frames)


class LiteralDetector(DenseDetector):
    """The same, in the order in which eq. (11) is written: a^H Y first, then b . x, and exponentials for both."""

    def maps(self, first: int) -> tuple[Array, Array, Array]:
        """As above."""
        work, radar = self.work, self.work.radar
        y, x = work.y[first : first + self.chunk], work.x[first : first + self.chunk]
        theta = work.theta[first : first + self.chunk]
        phase = 2 * np.pi * radar.element_spacing * np.sin(theta)[:, :, None] * np.arange(radar.antennas)
        weights = (np.exp(1j * phase) * work.kappa.conj()).astype(np.complex64)
        carriers = np.arange(radar.subcarriers)[:, None]
        b = np.exp(-2j * np.pi * radar.subcarrier_spacing * work.tau[0] * carriers).astype(np.complex64)
        waves = (b * x[:, :, None]).conj()
        s = weights @ y @ waves
        return y @ waves, weights, np.abs(s) ** 2


def best_chunk(work: Workload) -> int:
    """The number of frames at a time that is fastest here."""
    spent: dict[int, float] = {}
    for chunk in CHUNKS:
        detector = DenseDetector(work, chunk)
        detector.answer()
        times = []
        for _ in range(3):
            begin = time.thread_time()
            detector.answer()
            times.append(time.thread_time() - begin)
        spent[chunk] = min(times)
    return min(spent, key=spent.__getitem__)
