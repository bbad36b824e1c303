"""What an assumed kappa is worth to the radar: detections and position errors on frames that nothing was learned from.

Detection at a false-alarm probability compares T with the closed-form threshold of every frame's own window. A frame's
*significance* is the false-alarm probability whose threshold its T just reaches, the closed form read backwards, so one
search of the map serves all probabilities: a target is announced where the significance is at most P_fa.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.angle_delay_map import sector_grid
from isacblocks.kernels.arrays import Float
from isacblocks.kernels.bounds import position_bound
from isacblocks.kernels.detection import false_alarm_probability
from isacblocks.kernels.simulation import Truth
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar
from isacblocks.study.case import Case
from isacblocks.study.kept import Report, silent
from isacblocks.study.positions import outside_main_lobe, position
from isacblocks.study.workers import Workers, parts_of

FIRST_TEST = 1 << 41  # items from here on are for testing: nothing is learned from them
_PART = 256  # frames that a thread works on at a time

# Sums over detections that ratios of figures are made of, per P_fa.
COUNTS = ("targets", "detected", "absent", "false_alarms", "outliers")
SUMS = ("squares", "fourths", "inlier_squares", "inlier_fourths", "bound_squares", "median")


@dataclass(frozen=True)
class Sensing:
    """The test of one kappa: which case, how many frames, at which false-alarm probabilities."""

    case: Case
    frames: int
    p_fa: tuple[float, ...]


@dataclass(frozen=True)
class Frames:
    """F tested frames: present bool; significance; position error, its bound for |gamma| known, m; outlier bool."""

    present: NDArray[np.bool_]
    significance: Float
    error: Float
    bound: Float
    outlier: NDArray[np.bool_]


def _bound(truth: Truth, radar: OfdmRadar) -> Float:
    """The bound of the position of every target, m (F,); infinite where there is none."""
    rho = np.square(np.abs(truth.gamma)) * radar.antennas * radar.subcarriers
    there = rho > 0
    out = np.full(rho.shape, math.inf)
    out[there] = position_bound(rho[there], truth.theta[there], truth.tau[there], radar)
    return out


def _sense_part(case: Case, kappa: NDArray[np.complex128], part: tuple[int, int]) -> Frames:
    truth, peaks = case.search(kappa, *part)
    radar = case.radar
    level = peaks.statistic / (radar.antennas * peaks.symbol_energy)
    theta = sector_grid(truth.theta_min, truth.theta_max, case.points)
    tau = np.linspace(*case.scene.delay_window(radar), case.points)
    return Frames(
        truth.present != 0,
        np.asarray(false_alarm_probability(level, radar, theta, tau)),
        np.linalg.norm(position(peaks.theta, peaks.tau) - position(truth.theta, truth.tau), axis=-1),
        _bound(truth, radar),
        outside_main_lobe(peaks.theta, peaks.tau, truth.theta, truth.tau, radar),
    )


def sense(task: Sensing, kappa: NDArray[np.complex128], workers: Workers, report: Report = silent) -> dict[str, Any]:
    """Counts int64 (P,) and sums float64 (P,) of :data:`COUNTS` and :data:`SUMS` at every P_fa.

    kappa: what the receiver assumes (N,); report: told of the frames that are done. Sums are over detected
    targets: of the squares and fourth powers of the position error in metres, over all and over inliers; of the squared
    bound over inliers; and "median" is the median error over all.
    """
    load("simulation")
    load("peak search")
    done = []
    parts = parts_of(FIRST_TEST, task.frames, _PART)
    step = 4 * workers.count  # so that progress is seen
    for k in range(0, len(parts), step):
        made = workers.map(partial(_sense_part, task.case, kappa), parts[k : k + step])
        done += made
        report(sum(part.present.size for part in made))
    tested = Frames(
        *(np.concatenate([getattr(part, name) for part in done]) for name in ("present", "significance", "error")),
        *(np.concatenate([getattr(part, name) for part in done]) for name in ("bound", "outlier")),
    )
    return _totals(tested, task.p_fa)


def _totals(tested: Frames, p_fa: tuple[float, ...]) -> dict[str, Any]:
    out: dict[str, Any] = {name: np.zeros(len(p_fa), np.int64) for name in COUNTS}
    out |= {name: np.zeros(len(p_fa)) for name in SUMS}
    for k, nominal in enumerate(p_fa):
        said = tested.significance <= nominal
        hit = said & tested.present
        inlier = hit & ~tested.outlier
        out["targets"][k] = tested.present.sum()
        out["detected"][k] = hit.sum()
        out["absent"][k] = (~tested.present).sum()
        out["false_alarms"][k] = (said & ~tested.present).sum()
        out["outliers"][k] = (hit & tested.outlier).sum()
        out["squares"][k] = np.square(tested.error[hit]).sum()
        out["fourths"][k] = (tested.error[hit] ** 4).sum()
        out["inlier_squares"][k] = np.square(tested.error[inlier]).sum()
        out["inlier_fourths"][k] = (tested.error[inlier] ** 4).sum()
        out["bound_squares"][k] = np.square(tested.bound[inlier]).sum()
        out["median"][k] = np.median(tested.error[hit]) if hit.any() else math.nan
    return out
