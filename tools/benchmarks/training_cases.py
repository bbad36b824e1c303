"""A step of Algorithm 1 as study/training.py does it, on full frames and on compressed ones."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.measure import PROCESS, Case, case
from benchmarks.workload import Workload
from isacblocks.study import case as studied
from isacblocks.study.training import Descent

DRAWN = {"full": "full frames simulated", "compressed": "frames drawn in the delay basis"}


def _step(training: studied.Training) -> Callable[[], float]:
    """One step on one thread, each on frames of its own; says how many."""
    descent = Descent(training)

    def step() -> float:
        descent.step()
        return training.batch

    return step


def cases(work: Workload, batch: int, least: float = 0.01) -> list[Case]:
    """Both, with loss (14)."""
    array = studied.Case(radar=work.radar, scene=work.scene, points=work.tau.shape[1])
    return [
        case(
            f"training step, {simulation}",
            f"study/training.py: {drawn}, search, gradient of (14), Adam; batch {batch}",
            _step(studied.Training(array, "max", batch=batch, simulation=simulation)),
            clock=PROCESS,
            least=least,
        )
        for simulation, drawn in DRAWN.items()
    ]
