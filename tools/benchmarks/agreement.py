"""Two programs are compared for speed only where their answers are the same; here is what "the same" means.

The literal map in double precision decides. A place is right where the map reaches its maximum up to the rounding
of single precision; a gradient is right where it is that of eq. (14) at the places that were named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.workload import Workload

TIE = 1e-5  # of the map's maximum, relative: two points closer than this are one to single precision
GRADIENT = 1e-4  # relative to the gradient's length


class DisagreementError(RuntimeError):
    """Two programs that are to be compared give different answers."""


@dataclass(frozen=True)
class Answer:
    """What a detector says: the places of the maxima (F, 2), and the gradient of eq. (14), mean over the frames, (N,)."""

    index: NDArray[np.int64]
    gradient: NDArray[np.complex128]


class Oracle:
    """The literal answer for a workload with a uniform linear array, eq. (11) with numpy in double precision."""

    def __init__(self, work: Workload) -> None:
        radar = work.radar
        n, s = np.arange(radar.antennas), np.arange(radar.subcarriers)
        b = np.exp(-2j * np.pi * radar.subcarrier_spacing * np.outer(s, work.tau[0]))
        self.kappa = work.kappa
        self.maps: list[NDArray[np.float64]] = []
        self._array: list[NDArray[Any]] = []
        self._fields: list[NDArray[Any]] = []
        for f in range(work.frames):
            theta = work.theta[f if work.theta.shape[0] > 1 else 0]
            array = np.exp(-2j * np.pi * radar.element_spacing * np.outer(n, np.sin(theta)))
            field = work.y[f].astype(np.complex128) @ (b * work.x[f][:, None]).conj()
            self.maps.append(np.abs((self.kappa[:, None] * array).conj().T @ field) ** 2)
            self._array.append(array)
            self._fields.append(field)

    def gradient(self, index: NDArray[np.int64]) -> NDArray[np.complex128]:
        """Of eq. (14), mean over the frames, at these places."""
        total = np.zeros(self.kappa.size, np.complex128)
        for array, field, (i, j) in zip(self._array, self._fields, index, strict=True):
            u = array[:, i].conj() * field[:, j]
            total -= 2 * u * np.conj(np.vdot(self.kappa, u))
        return total / len(index)

    def check(self, name: str, answer: Answer) -> float:
        """The share of frames whose place is exactly that of double precision; DisagreementError where one is wrong."""
        exact = 0
        for f, (power, (i, j)) in enumerate(zip(self.maps, answer.index, strict=True)):
            if power[i, j] < (1 - TIE) * power.max():
                raise DisagreementError(
                    f"{name}: frame {f} has its maximum at {np.unravel_index(power.argmax(), power.shape)}, got {(i, j)}"
                )
            exact += bool(i * power.shape[1] + j == power.argmax())
        expected = self.gradient(answer.index)
        error = float(np.linalg.norm(answer.gradient - expected) / np.linalg.norm(expected))
        if not error <= GRADIENT:
            raise DisagreementError(f"{name}: the gradient is off by {error:.2g} of its length, allowed is {GRADIENT:g}")
        return exact / len(answer.index)

    def check_maps(self, name: str, maps: NDArray[np.float32]) -> float:
        """The largest error of stored maps (F, I, J), relative to their maxima; DisagreementError where one is wrong."""
        error = max(float(np.abs(made - power).max() / power.max()) for made, power in zip(maps, self.maps, strict=True))
        if not error <= TIE:
            raise DisagreementError(f"{name}: a map is off by {error:.2g} of its maximum, allowed is {TIE:g}")
        return error
