"""A sink that holds detections and kappa against the truth of a simulation. It sits beside the receiver, never in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from isacblocks.blocks.records import DETECTION, KAPPA, TRUTH, radar_sizes
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.errors import kappa_error
from isacblocks.kernels.tally import tally
from isacblocks.kernels.warmup import load
from isacblocks.radar import OfdmRadar
from isacblocks.stream import Block, In, Reading, State
from isacblocks.stream.spec import Items
from isacblocks.study.positions import first_nulls

LEARNED = 1000  # frames after which the online method has arrived; figures from there on are kept apart
_KEPT = 65536  # position errors kept for median and outlier rate, the latest ones
_COUNTS = 4  # present, detected, absent, false alarms


def is_round(frames: int) -> bool:
    """Whether a number has at most two digits that are not zero at its end: the frame counts that a report lists."""
    return frames > 0 and frames % 10 ** max(0, len(str(frames)) - 2) == 0


class Evaluation(Block):
    """P_d, P_fa, position errors, and kappa's three error figures over the frames.

    radar: its parameters. Connect `detection` and `truth`, and `kappa` where something calibrates.
    """

    detection = In(DETECTION)
    truth = In(TRUTH)
    kappa = In(KAPPA, optional=True)
    frames = State("int64")
    counts = State("int64", 2, _COUNTS)  # [all frames, those after LEARNED]
    errors = State("float64", _KEPT, 2)  # m, position; and whether it lies outside the main lobe
    stored = State("int64", 2)  # detections with a position error, [all, after LEARNED]
    squares = State("float64", 2)  # their sum of squares
    history = State(list)  # rows {frames, phase_db, ramp_db, slope_deg, loss_db, sigma_rad}
    last = State(dict)  # the latest row, round or not
    final_kappa = State("complex128", "N")
    final_truth = State("complex128", "N")
    loss_db = Reading("dB")
    slope_deg = Reading("deg")
    p_d = Reading()
    p_fa = Reading()

    def __init__(self, radar: OfdmRadar) -> None:
        self.radar = radar

    def dimensions(self) -> Mapping[str, int]:
        """N, S, K."""
        return radar_sizes(self.radar)

    @classmethod
    def prepare(cls) -> None:
        """Load the compiled kernels."""
        load("evaluation")

    def process(self, detection: Items, truth: Items, kappa: Items | None) -> None:
        """Compare one message of each."""
        self._detections(detection, truth)
        if kappa is not None and len(kappa):
            self._impairments(detection, truth, kappa)
        self.frames += len(detection)
        self.final_truth = truth.kappa[-1]
        present, detected, absent, false = self.counts[0].tolist()
        self.p_d, self.p_fa = detected / max(present, 1), false / max(absent, 1)

    def _detections(self, detection: Items, truth: Items) -> None:
        tally(
            frozen(detection.valid),
            frozen(truth.present),
            frozen(detection.present[:, 0]),
            frozen(detection.position[:, 0]),
            frozen(detection.theta[:, 0]),
            frozen(detection.tau[:, 0]),
            frozen(truth.theta),
            frozen(truth.tau),
            *first_nulls(self.radar),
            LEARNED - detection.first,
            self.counts,
            self.squares,
            self.stored,
            self.errors,
        )

    def _impairments(self, detection: Items, truth: Items, kappa: Items) -> None:
        for k in range(len(kappa)):
            frames = int(kappa.frames[k])
            newest = k == len(kappa) - 1
            if not newest and not is_round(frames):
                continue
            row = min(max(frames - 1 - detection.first, 0), len(truth) - 1)  # the frame that completed the update
            error = kappa_error(kappa.kappa[k], truth.kappa[row], self.radar)
            entry = {
                "frames": frames,
                "phase_db": error.phase_db,
                "ramp_db": error.ramp_db,
                "slope_deg": error.slope_deg,
                "loss_db": error.loss_db,
            }
            # what the calibrator itself thinks, where it has a thought
            sigma = float(kappa.sigma[k].sum()) / self.radar.antennas
            if math.isfinite(sigma):
                entry["sigma_rad"] = sigma
            if is_round(frames):
                self.history.append(entry)
            if newest:
                self.last = entry
                self.final_kappa = kappa.kappa[k]
                self.loss_db, self.slope_deg = error.loss_db, error.slope_deg

    # What came out

    def kappa_errors(self) -> list[dict[str, float]]:
        """The error figures at round numbers of frames, and the last one."""
        rows = list(self.history)
        if self.last and (not rows or rows[-1]["frames"] != self.last["frames"]):
            rows.append(self.last)
        return rows

    def detection_figures(self, p_fa: float) -> dict[str, Any]:
        """P_d, P_fa, their counts and position errors over all frames, and after the first 1000 as "after_1000".

        p_fa: the nominal false-alarm probability. A figure without a single event is None.
        """
        figures = {"p_fa_nominal": p_fa} | self._rates(0) | self._places(0)
        return figures | {"after_1000": self._rates(1) | self._places(1)}

    def _places(self, row: int) -> dict[str, Any]:
        """Median, RMSE without outliers and outlier rate of the position errors that are kept."""
        newest, count = int(self.stored[0]), min(int(self.stored[row]), _KEPT)  # those after LEARNED are the last ones
        kept = self.errors[np.arange(newest - count, newest) % _KEPT]
        inliers = kept[kept[:, 1] == 0, 0]
        return {
            "position_median_m": _number(np.median(kept[:, 0])) if len(kept) else None,
            "position_inlier_rmse_m": _number(np.sqrt(np.mean(np.square(inliers)))) if len(inliers) else None,
            "outlier_rate": _number(np.mean(kept[:, 1])) if len(kept) else None,
        }

    def _rates(self, row: int) -> dict[str, Any]:
        present, detected, absent, false = (int(n) for n in self.counts[row])
        return {
            "targets": present,
            "detections": detected,
            "absent": absent,
            "false_alarms": false,
            "p_fa": false / absent if absent else None,
            "p_d": detected / present if present else None,
            "position_rmse_m": math.sqrt(self.squares[row] / self.stored[row]) if self.stored[row] else None,
        }


def _number(value: Any) -> float:
    return float(value)
