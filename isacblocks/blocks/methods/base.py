"""What every method is: a memory of arrays, frames added to it, and an estimate made of it after every update."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float

Memory = dict[str, Any]  # arrays and numbers by name: the method's whole state
# Fields of usable peaks, of one slot each, as Surroundings.prepared made them: snapshot (F, N), symbol_energy (F,) ...
Frames = Mapping[str, NDArray[Any]]


@dataclass
class Estimate:
    """kappa (N,) with ||kappa||^2 = N, and how well it is known, in the gauge of the start.

    sigma: standard deviations of the phases, rad (N,); gain_sigma: of the gains (N,); health: codes (N,); slope: rad per
    element applied since the start; targets: the expected number of frames with a target; loss: what is minimised, nan
    where nothing is; acceptance: by how many nats a start from nothing explained frames that it had not seen better than no
    kappa at all, nan where there was no such start.
    """

    kappa: Complex
    sigma: Float
    gain_sigma: Float
    health: NDArray[np.uint8]
    slope: float = 0.0
    slope_sigma: float = math.nan
    targets: float = 0.0
    loss: float = math.nan
    acceptance: float = math.nan


class Method(Protocol):
    """One way to learn kappa. It holds parameters only; what it learns is in the memory."""

    batch: int  # frames per update, where none is asked for

    def begin(self, kappa: Complex, confidence: float) -> Memory:
        """The memory at the start: kappa (N,) is taken for true, and worth `confidence` frames with a target."""

    def add(self, memory: Memory, frames: Frames) -> None:
        """Add frames to the update that is being filled; the same bits however they are portioned."""

    def update(self, memory: Memory, count: int, forget: float) -> Estimate:
        """The update of `count` frames is full; forget: the memory in frames that was set, inf for none."""

    def forget(self, memory: Memory, which: NDArray[np.bool_], kappa: Complex, spread: Float) -> None:
        """Between two updates: of the antennas `which` (N,) nothing is known any more but kappa (N,), a guess.

        spread: standard deviations of the guess along kappa_n and across, (2, N), where that is less than the prior
        """

    def estimate(self, memory: Memory) -> Estimate:
        """What the memory says now, of the updates that were full."""


def unknown(antennas: int) -> dict[str, Any]:
    """Deviations and health of a method that does not judge itself."""
    return {
        "sigma": np.full(antennas, math.nan),
        "gain_sigma": np.full(antennas, math.nan),
        "health": np.zeros(antennas, np.uint8),
    }
