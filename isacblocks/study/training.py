"""Algorithm 1 of the paper as printed, over frames that are drawn as they are needed.

Iteration i draws a batch of frames by eq. (8), finds the peak of each one's angle-delay map (11) under the present kappa,
takes the gradient of loss (14) or (15), makes one step of Adam and scales kappa to ||kappa||^2 = N, beginning at kappa = 1.

Frames are drawn in the delay basis, exact in law for the QPSK of Sec. IV, :mod:`isacblocks.kernels.compressed_simulation`;
whole ones where that is asked for, at several times the work.
Frame k of iteration i is item i batch + k of the seed's stream, so the result depends on the seed alone. A batch is worked
on in parts by as many threads as there are, and the parts are added in their order: the same bits for any number of threads.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.adam import adam_step
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.impairments import retract
from isacblocks.kernels.warmup import load
from isacblocks.study.batch import BatchGradient
from isacblocks.study.case import Training
from isacblocks.study.kept import Kept, Report, silent
from isacblocks.study.workers import Workers, parts_of

_PART = 64  # frames of a batch that are one thread's and are added apart
_SAVED_EVERY = 2.0  # seconds of work that a kill may cost


@dataclass(frozen=True)
class Trained:
    """kappa^(I), complex128 (N,); and on the way there, at `iterations` (M,): kappas (M, N), loss (M,) for N0 = 1."""

    kappa: NDArray[np.complex128]
    iterations: NDArray[np.int64]
    kappas: NDArray[np.complex128]
    losses: NDArray[np.float64]


def marks_of(iterations: int, per_decade: int = 12) -> NDArray[np.int64]:
    """Iterations at which the history is kept: evenly spaced logarithmically, the first and the last among them."""
    count = max(2, math.ceil(per_decade * math.log10(max(iterations, 10))) + 1)
    return np.unique(np.rint(np.geomspace(1, iterations, count)).astype(np.int64))


def _begin(training: Training) -> dict[str, Any]:
    antennas = training.case.radar.antennas
    marks = marks_of(training.iterations)
    return {
        "done": 0,
        "kappa": np.ones(antennas, np.complex128),
        "mean": np.zeros(antennas, np.complex128),
        "square": np.zeros((antennas, 2)),
        "iterations": marks,
        "kappas": np.zeros((marks.size, antennas), np.complex128),
        "losses": np.zeros(marks.size),
    }


class Descent:
    """Algorithm 1 under way. state: of an earlier one that is to go on, as :attr:`state` was."""

    def __init__(self, training: Training, workers: Workers | None = None, state: dict[str, Any] | None = None) -> None:
        load("gradient descent")
        load("peak search")
        load("simulation")
        self.training = training
        self.state = state or _begin(training)
        self._workers = workers or Workers(1)
        self._gradient = BatchGradient(training)

    def step(self) -> None:
        """Lines 4 to 10 of Algorithm 1: one batch, one step."""
        training, state = self.training, self.state
        work = partial(self._gradient, state["kappa"])
        loss, gradient = 0.0, np.zeros_like(state["kappa"])
        for part_loss, part_gradient in self._workers.map(
            work, parts_of(state["done"] * training.batch, training.batch, _PART)
        ):
            loss += part_loss
            gradient += part_gradient
        state["done"] += 1
        kappa = state["kappa"].copy()
        gradient = frozen(gradient * (training.scale / training.batch))
        components = training.second_moment == "components"
        adam_step(kappa, gradient, state["mean"], state["square"], state["done"], training.learning_rate, components)
        state["kappa"] = retract(kappa)
        row = int(np.searchsorted(state["iterations"], state["done"]))
        if row < state["iterations"].size and state["iterations"][row] == state["done"]:
            state["kappas"][row] = state["kappa"]
            state["losses"][row] = loss / training.batch


def train(
    training: Training,
    *,
    workers: Workers | None = None,
    kept: Kept | None = None,
    report: Report = silent,
) -> Trained:
    """Run Algorithm 1 to its end.

    workers: threads (one by default); kept: where the state is saved every two seconds, from where the run goes on if it
    was killed; report: told of the frames that are done.
    """
    kept = kept or Kept(None)
    name = f"{training.case.law}-{training.case.seed}-{training.loss}-{training.second_moment}-{training.unit}"
    descent = Descent(training, workers, kept.load(name, training))
    state = descent.state
    report(state["done"] * training.batch, kept=True)
    saved = time.monotonic()
    while state["done"] < training.iterations:
        descent.step()
        report(training.batch)
        if time.monotonic() - saved >= _SAVED_EVERY or state["done"] == training.iterations:
            kept.save(name, training, state)
            saved = time.monotonic()
    return Trained(state["kappa"], state["iterations"], state["kappas"], state["losses"])
