"""What Algorithm 1 needs and where it ends: the error of kappa against the frames, for both losses and both second moments
of Adam, in unit noise and in watts as published, beside the one pass and the Cramer-Rao bound.

One array: among the first eight realisations of Fig. 3 with the same law and seed the one with the largest slope, so that
it can be seen who resolves the slope. The one pass is run over several streams of the same array; its loss is their median,
its slope the root mean square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.bounds import loss_bound_db
from isacblocks.kernels.errors import kappa_error
from isacblocks.study import plotting
from isacblocks.study.case import Case, Training
from isacblocks.study.curves import Online, run_online
from isacblocks.study.figure3 import REALISATIONS_MAX
from isacblocks.study.kept import Kept, Report, silent
from isacblocks.study.training import train
from isacblocks.study.workers import Workers

TARGET_DB = 0.05
COLUMNS = ("curve", "iteration", "frames", "phase_db", "ramp_db", "slope_deg", "loss_db", "bound_db", "training_loss")
REACHED_COLUMNS = ("curve", "iterations_to_target", "frames_to_target", "times_online", "frames", "loss_db", "slope_deg")
_ARRAYS = 8  # among which the one with the largest slope is taken
_ERRORS = ("phase_db", "ramp_db", "slope_deg", "loss_db")
# name, label, loss, second moment, unit, colour, style
TRAININGS = (
    ("loss14-modulus", "(14), modulus", "max", "modulus", "unit", "#009E73", "-"),
    ("loss14-components", "(14), components", "max", "components", "unit", "#009E73", ":"),
    ("loss15-modulus", "(15), modulus", "reconstruction", "modulus", "unit", "#D55E00", "-"),
    ("loss15-components", "(15), components", "reconstruction", "components", "unit", "#D55E00", ":"),
    ("loss14-watts", "(14), watts", "max", "", "watts", "#56B4E9", "--"),
    ("loss15-watts", "(15), watts", "reconstruction", "", "watts", "#E69F00", "--"),
)
ONLINE = ("online", "isacblocks, one pass", "#CC79A7")
NAMES = (ONLINE[0], *(training[0] for training in TRAININGS))


@dataclass(frozen=True)
class FigureAdam:
    """The settings. second_moment: in watts, where it makes little difference (Adam's epsilon is larger than gradients);
    streams: of the one pass, each of online_frames; curves: some of :data:`NAMES`, the one pass among them.
    """

    law: str = "table1"
    seed: int = 1
    second_moment: str = "modulus"
    iterations: int = 10_000
    watts_iterations: int = 10_000
    batch: int = 1024
    learning_rate: float = 1e-2
    streams: int = 9
    online_frames: int = 2000
    curves: tuple[str, ...] = NAMES

    def __post_init__(self) -> None:
        unknown = [name for name in self.curves if name not in NAMES]
        if unknown or ONLINE[0] not in self.curves:
            raise ValueError(
                f"curves: expected {ONLINE[0]} and some of {', '.join(NAMES[1:])}, got {', '.join(self.curves) or 'nothing'}"
            )
        if self.streams < 1:
            raise ValueError(f"streams: expected at least 1, got {self.streams}")
        Online(self.case, self.online_frames)  # refuses what it refuses, as Training does
        self.trainings()

    @property
    def case(self) -> Case:
        """The array and its stream."""
        cases = [Case(self.law, self.seed * REALISATIONS_MAX + r) for r in range(_ARRAYS)]
        ones = np.ones(cases[0].radar.antennas)
        return max(cases, key=lambda case: abs(kappa_error(ones, case.kappa, case.radar).slope_deg))

    def trainings(self) -> dict[str, Training]:
        """Algorithm 1 by the name of the curve."""
        case, out = self.case, {}
        for name, _, loss, moment, unit, _, _ in (t for t in TRAININGS if t[0] in self.curves):
            iterations = self.iterations if unit == "unit" else self.watts_iterations
            out[name] = Training(case, loss, moment or self.second_moment, unit, iterations, self.batch, self.learning_rate)
        return out

    @property
    def frames(self) -> int:
        """How many frames are searched in all."""
        return sum(training.frames for training in self.trainings().values()) + self.streams * self.online_frames


def _bound(case: Case, frames: float) -> float:
    return float(loss_bound_db(frames, case.radar.antennas, case.scene.snr, case.scene.target_probability))


def _trained_rows(name: str, training: Training, workers: Workers, kept: Kept, report: Report) -> list[dict[str, Any]]:
    found = train(training, workers=workers, kept=kept, report=report)
    case, out = training.case, []
    for iteration, kappa, loss in zip(found.iterations, found.kappas, found.losses, strict=True):
        frames = int(iteration) * training.batch
        error = kappa_error(kappa, case.kappa, case.radar)
        row = {"curve": name, "iteration": int(iteration), "frames": frames, "bound_db": _bound(case, frames)}
        out.append(row | {key: getattr(error, key) for key in _ERRORS} | {"training_loss": float(loss)})
    return out


def _online_rows(settings: FigureAdam, kept: Kept, report: Report) -> list[dict[str, Any]]:
    """Medians over the streams; the slope's root mean square."""
    case, found, frames = settings.case, [], np.empty(0)
    for stream in range(settings.streams):
        task = Online(case, settings.online_frames, case.seed + (stream << 32))
        stored = kept.load(f"{case.law}-{case.seed}-stream{stream}", task)
        report(settings.online_frames, kept=stored is not None)
        if stored is None:
            stored = dict(zip(("frames", "kappas"), run_online(task), strict=True))
            kept.save(f"{case.law}-{case.seed}-stream{stream}", task, stored)
        frames = stored["frames"]
        found.append([[getattr(kappa_error(k, case.kappa, case.radar), key) for key in _ERRORS] for k in stored["kappas"]])
    errors = np.array(found)  # (streams, updates, figures)
    chosen = np.unique(np.rint(np.geomspace(1, frames.size, 40)).astype(int)) - 1
    out = []
    for k in chosen:
        middle: NDArray[np.float64] = np.median(errors[:, k], axis=0)
        row: dict[str, Any] = {"curve": ONLINE[0], "iteration": int(k) + 1, "frames": int(frames[k])}
        row |= dict(zip(_ERRORS, middle.tolist(), strict=True)) | {"training_loss": math.nan}
        row["slope_deg"] = float(np.sqrt(np.mean(np.square(errors[:, k, 2]))))
        out.append(row | {"bound_db": _bound(case, row["frames"])})
    return out


def compute(settings: FigureAdam, workers: Workers, kept: Kept, report: Report = silent) -> list[dict[str, Any]]:
    """All curves: one row per curve and number of frames with the columns :data:`COLUMNS`."""
    out = []
    for name, training in settings.trainings().items():
        out += _trained_rows(name, training, workers, kept, report)
    return out + _online_rows(settings, kept, report)


def crossing(frames: list[float], loss_db: list[float], target: float = TARGET_DB) -> float:
    """The number of frames at which the loss first reaches the target, between marks along a straight line in logarithms;
    nan where it never does.
    """
    for k, loss in enumerate(loss_db):
        if loss <= target:
            if k == 0:
                return frames[0]
            share = math.log(loss_db[k - 1] / target) / math.log(loss_db[k - 1] / loss)
            return float(frames[k - 1] * (frames[k] / frames[k - 1]) ** share)
    return math.nan


def reached_rows(settings: FigureAdam, table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Who needs how many frames to 0.05 dB, also in units of the one pass; where each ends: :data:`REACHED_COLUMNS`."""
    out, needed = [], {}
    for name in (name for name in NAMES if name in settings.curves):
        own = [row for row in table if row["curve"] == name]
        needed[name] = crossing([row["frames"] for row in own], [row["loss_db"] for row in own])
        per_iteration = own[-1]["frames"] / own[-1]["iteration"]
        row = {"curve": name, "frames_to_target": needed[name], "iterations_to_target": needed[name] / per_iteration}
        row |= {"times_online": needed[name] / needed[ONLINE[0]], "frames": own[-1]["frames"]}
        out.append(row | {"loss_db": own[-1]["loss_db"], "slope_deg": own[-1]["slope_deg"]})
    return out


_PANELS = (
    ("loss_db", "loss of array gain [dB]"),
    ("ramp_db", "error of kappa [dB]"),
    ("slope_deg", "slope [deg]"),
)


def draw(path: Path, head: dict[str, str], table: list[dict[str, Any]]) -> None:
    """The picture as PNG from the rows of :func:`compute`. Raises NoPlotsError where matplotlib is missing."""
    plt = plotting.pyplot()
    figure, axes = plt.subplots(3, 1, figsize=(plotting.COLUMN, 7.4), sharex=True, layout="constrained")
    drawn = [(name, label, colour, style) for name, label, _, _, _, colour, style in TRAININGS]
    for name, label, colour, style in [*drawn, (*ONLINE, "-")]:
        own = [row for row in table if row["curve"] == name]
        frames = [row["frames"] for row in own]
        if not own:
            continue
        for axis, (key, _) in zip(axes, _PANELS, strict=True):
            axis.plot(
                frames, [row[key] for row in own], style, color=colour, label=label, lw=2 if name == ONLINE[0] else None
            )
    bound = sorted({(row["frames"], row["bound_db"]) for row in table if row["frames"] >= 50})
    axes[0].plot(*zip(*bound, strict=True), "--", color="black", lw=0.8, label="bound, no prior on gains")
    axes[0].axhline(TARGET_DB, color="0.5", lw=0.6)
    axes[0].set(yscale="log", title="loss, common and linear phase removed")
    axes[1].set_title("squared error, common and linear phase removed")
    axes[2].axhline(0, color="0.5", lw=0.6)
    axes[2].set(title="boresight bias (one pass: rms over streams)", xlabel="frames")
    for axis, (_, label) in zip(axes, _PANELS, strict=True):
        axis.set(xscale="log", ylabel=label)
        plotting.grid(axis)
    axes[2].legend(*axes[0].get_legend_handles_labels(), loc="lower left")
    plotting.save(figure, path, head)
