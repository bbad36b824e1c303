"""Fig. 3 of the paper: probability of misdetection and position error against the false-alarm probability.

For every realisation of the impairments each curve comes to its kappa, and all of them are tested on the same frames, from
which nothing was learned. Thresholds are the closed form's, per frame; the false alarms are counted beside them. Figures are
pooled over realisations; their intervals come from the variation between realisations, the binomial ones stand beside them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.errors import kappa_error
from isacblocks.study import plotting
from isacblocks.study.case import Case
from isacblocks.study.curves import CURVES, NAMES, Curve, Learning, curves_of, learn
from isacblocks.study.intervals import proportion_interval, ratio_interval, root_interval
from isacblocks.study.kept import Kept, Report, silent
from isacblocks.study.sensing import Sensing, sense
from isacblocks.study.workers import Workers

P_FA = tuple(float(f"{p:.4g}") for p in np.geomspace(1e-4, 1e-1, 13))
REALISATIONS_MAX = 1000

DETECTION = (
    *("p_d", "p_d_low", "p_d_high", "p_d_binomial_low", "p_d_binomial_high", "p_md"),
    *("p_d_minus_known", "p_d_minus_known_low", "p_d_minus_known_high"),
    *("p_fa_counted", "p_fa_counted_low", "p_fa_counted_high"),
)
POSITION = (
    *("rmse_m", "rmse_low", "rmse_high", "inlier_rmse_m", "inlier_rmse_low", "inlier_rmse_high"),
    *("inlier_bound_m", "median_m", "outlier_rate"),
)
EVENTS = ("targets", "detected", "absent", "false_alarms", "outliers")
COLUMNS = ("curve", "p_fa", "realisations", *DETECTION, *POSITION, *EVENTS)
KAPPA_COLUMNS = ("curve", "realisation", "seed", "frames", "phase_db", "ramp_db", "slope_deg", "loss_db")


@dataclass(frozen=True)
class Figure3:
    """The settings. test_frames: per realisation and curve; curves: names of :data:`~isacblocks.study.curves.CURVES`."""

    law: str = "table1"
    seed: int = 1
    realisations: int = 100
    test_frames: int = 100_000
    learning: Learning = field(default_factory=Learning)
    p_fa: tuple[float, ...] = P_FA
    curves: tuple[str, ...] = NAMES

    def __post_init__(self) -> None:
        if not 1 <= self.realisations <= REALISATIONS_MAX:
            raise ValueError(f"realisations: expected 1 to {REALISATIONS_MAX}, got {self.realisations}")
        if self.test_frames < 1:
            raise ValueError(f"test_frames: expected at least 1, got {self.test_frames}")
        curves_of(self.curves)

    def case(self, realisation: int) -> Case:
        """One array: realisation r of seed s has the seed 1000 s + r."""
        return Case(self.law, self.seed * REALISATIONS_MAX + realisation)

    @property
    def frames(self) -> int:
        """How many frames are searched in all."""
        return self.realisations * sum(self.learning.frames(curve) + self.test_frames for curve in curves_of(self.curves))


@dataclass(frozen=True)
class _Tested:
    """What a test depends on: the frames, and kappa by its digest, however it was learned."""

    sensing: Sensing
    kappa: str


@dataclass(frozen=True)
class Result:
    """kappas and counts by (curve name, realisation)."""

    kappas: dict[tuple[str, int], NDArray[np.complex128]]
    totals: dict[tuple[str, int], dict[str, Any]]


def compute(settings: Figure3, workers: Workers, kept: Kept, report: Report = silent) -> Result:
    """All realisations, one after the other; report: told of the frames that are done."""
    result = Result({}, {})
    for r in range(settings.realisations):
        case = settings.case(r)
        for curve in curves_of(settings.curves):
            kappa = learn(curve, case, settings.learning, workers, kept, report)
            result.kappas[curve.name, r] = kappa
            sensing = Sensing(case, settings.test_frames, settings.p_fa)
            task = _Tested(sensing, hashlib.sha256(kappa.tobytes()).hexdigest())
            name = f"{case.law}-{case.seed}-{curve.name}-tested"
            totals = kept.load(name, task)
            if totals is None:
                totals = sense(sensing, kappa, workers, report)
                kept.save(name, task, totals)
            else:
                report(settings.test_frames, kept=True)
            result.totals[curve.name, r] = totals
    return result


def rows(settings: Figure3, result: Result) -> list[dict[str, Any]]:
    """One row per curve and P_fa with the columns :data:`COLUMNS`."""
    out = []
    for curve in curves_of(settings.curves):
        gathered = _gather(settings, result, curve.name)
        known = _gather(settings, result, "known") if "known" in settings.curves else None
        for k, p_fa in enumerate(settings.p_fa):
            own = {name: values[:, k] for name, values in gathered.items()}
            reference = None if known is None else known["detected"][:, k]
            row = {"curve": curve.name, "p_fa": p_fa, "realisations": settings.realisations}
            out.append(row | _detection(own, reference) | _positions(own))
    return out


def _gather(settings: Figure3, result: Result, name: str) -> dict[str, NDArray[Any]]:
    """Counts and sums of a curve, each (R, P)."""
    each = [result.totals[name, r] for r in range(settings.realisations)]
    return {key: np.stack([totals[key] for totals in each]) for key in each[0]}


def _detection(own: dict[str, NDArray[Any]], known: NDArray[Any] | None) -> dict[str, Any]:
    events: dict[str, Any] = {name: int(own[name].sum()) for name in EVENTS}
    p_d, low, high = ratio_interval(own["detected"], own["targets"])
    binomial = proportion_interval(events["detected"], events["targets"])
    # the same frames for all curves: the difference is known better than either
    nothing = np.full(own["detected"].shape, np.nan)
    gain = ratio_interval(nothing if known is None else own["detected"] - known, own["targets"])
    counted = proportion_interval(events["false_alarms"], events["absent"])
    return {
        **events,
        "p_d": p_d,
        "p_d_low": float(np.clip(low, 0, 1)),
        "p_d_high": float(np.clip(high, 0, 1)),
        "p_d_binomial_low": binomial[0],
        "p_d_binomial_high": binomial[1],
        "p_md": 1 - p_d,
        "p_d_minus_known": gain[0],
        "p_d_minus_known_low": gain[1],
        "p_d_minus_known_high": gain[2],
        "p_fa_counted": events["false_alarms"] / max(events["absent"], 1),
        "p_fa_counted_low": counted[0],
        "p_fa_counted_high": counted[1],
    }


def _positions(own: dict[str, NDArray[Any]]) -> dict[str, float]:
    detected = own["detected"]
    inliers = detected - own["outliers"]
    rmse, inlier = root_interval(own["squares"], detected), root_interval(own["inlier_squares"], inliers)
    return {
        "rmse_m": rmse[0],
        "rmse_low": rmse[1],
        "rmse_high": rmse[2],
        "inlier_rmse_m": inlier[0],
        "inlier_rmse_low": inlier[1],
        "inlier_rmse_high": inlier[2],
        "inlier_bound_m": root_interval(own["bound_squares"], inliers)[0],
        "median_m": float(np.mean(own["median"])),
        "outlier_rate": ratio_interval(own["outliers"], detected)[0],
    }


def kappa_rows(settings: Figure3, result: Result) -> list[dict[str, Any]]:
    """One row per curve and realisation with the columns :data:`KAPPA_COLUMNS`: how far its kappa is from the truth."""
    out = []
    for curve in curves_of(settings.curves):
        for r in range(settings.realisations):
            case = settings.case(r)
            error = kappa_error(result.kappas[curve.name, r], case.kappa, case.radar)
            found = {name: getattr(error, name) for name in KAPPA_COLUMNS[-4:]}
            row = {"curve": curve.name, "realisation": r, "seed": case.seed, "frames": settings.learning.frames(curve)}
            out.append(row | found)
    return out


_PANELS = (
    ("p_md", None, "probability of misdetection", "(a) misdetection"),
    ("rmse_m", ("rmse_low", "rmse_high"), "position RMSE [m]", "(b) position, all detections"),
    ("inlier_rmse_m", ("inlier_rmse_low", "inlier_rmse_high"), "position RMSE [m]", "(c) position, inside the main lobe"),
)


def draw(path: Path, head: dict[str, str], table: list[dict[str, Any]]) -> None:
    """The picture as PNG from the rows of :func:`rows`. Raises NoPlotsError where matplotlib is missing."""
    plt = plotting.pyplot()
    figure, axes = plt.subplots(3, 1, figsize=(plotting.COLUMN, 7.2), sharex=True, layout="constrained")
    for curve in CURVES:
        own = [row for row in table if row["curve"] == curve.name]
        if own:
            for axis, (value, limits, _, _) in zip(axes, _PANELS, strict=True):
                _curve(axis, curve, own, value, limits)
    bound = [row for row in table if row["curve"] == "known"]
    if bound:
        x, y = ([row[name] for row in bound] for name in ("p_fa", "inlier_bound_m"))
        line = axes[2].plot(x, y, color="0.4", ls=(0, (1, 1)), label="Cramer-Rao bound, kappa known")
        axes[2].legend(handles=line)
    for axis, (_, _, label, title) in zip(axes, _PANELS, strict=True):
        axis.set(xscale="log", ylabel=label, title=title)
        axis.set_ylim(*plotting.around([y for line in axis.lines for y in line.get_ydata()]))
        plotting.grid(axis)
    for axis in axes[:2]:
        plotting.decimals(axis)
    axes[2].set_xlabel("false-alarm probability")
    axes[0].legend()
    plotting.save(figure, path, head)


def _curve(axis: Any, curve: Curve, own: list[dict[str, Any]], value: str, limits: tuple[str, str] | None) -> None:
    x, y = (np.array([row[name] for row in own], float) for name in ("p_fa", value))
    axis.plot(x, y, curve.style, color=curve.colour, marker=curve.marker, mfc="none", label=curve.label)
    if limits is None:  # misdetection: one minus the limits of P_d
        low, high = (1 - np.array([row[name] for row in own], float) for name in ("p_d_high", "p_d_low"))
    else:
        low, high = (np.array([row[name] for row in own], float) for name in limits)
    axis.fill_between(x, low, high, color=curve.colour, alpha=0.15, lw=0)
