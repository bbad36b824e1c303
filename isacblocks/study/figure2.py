"""Fig. 2 of the paper: the angle-delay map (11) of one frame under the true kappa, kappa = 1 and what was learned.

The frame is the first test frame of the case that has a target of at least mean power; its grid is its own prior sector and
the delay window, 100 by 100 points as in Table I. All maps are divided by the maximum under the true kappa.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.blocks.angle_delay_map import sector_grid
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.errors import kappa_error
from isacblocks.kernels.search import search_compressed
from isacblocks.kernels.simulation import draw_scene
from isacblocks.radar import SPEED_OF_LIGHT
from isacblocks.study import plotting
from isacblocks.study.case import Case
from isacblocks.study.curves import NAMES, Learning, curves_of, learn
from isacblocks.study.figure3 import REALISATIONS_MAX
from isacblocks.study.kept import Kept, Report, silent
from isacblocks.study.sensing import FIRST_TEST
from isacblocks.study.workers import Workers

COLUMNS = ("curve", "frames", "peak", "peak_angle_deg", "peak_range_m", "position_error_m", "slope_deg", "loss_db")
_LOOKED_AT = 1024  # test frames among which one with a strong target is surely found


@dataclass(frozen=True)
class Figure2:
    """The settings; the array is that of realisation 0 of Fig. 3 with the same law and seed."""

    law: str = "table1"
    seed: int = 1
    learning: Learning = field(default_factory=Learning)
    curves: tuple[str, ...] = NAMES

    def __post_init__(self) -> None:
        curves_of(self.curves)

    @property
    def case(self) -> Case:
        """The array and its stream."""
        return Case(self.law, self.seed * REALISATIONS_MAX)

    @property
    def frames(self) -> int:
        """How many frames are searched in all."""
        return sum(self.learning.frames(curve) for curve in curves_of(self.curves))


@dataclass(frozen=True)
class Maps:
    """angle, deg (n,); distance, m (n,); target (angle deg, distance m); maps (n, n) by curve; kappas (N,) by curve."""

    angle: NDArray[np.float64]
    distance: NDArray[np.float64]
    target: tuple[float, float]
    maps: dict[str, NDArray[np.float64]]
    kappas: dict[str, NDArray[np.complex128]]


def _strong_item(case: Case) -> int:
    scene = draw_scene(case.seed, FIRST_TEST, _LOOKED_AT, case.radar, case.scene)
    strong = np.square(np.abs(scene.gamma)) >= case.scene.gain_variance(case.radar)
    return FIRST_TEST + int(np.argmax(strong))


def compute(settings: Figure2, workers: Workers, kept: Kept, report: Report = silent) -> Maps:
    """Learn what there is to learn, and the maps of one frame under every kappa, divided by the true one's maximum."""
    case = settings.case
    item = _strong_item(case)
    basis = delay_basis(case.radar, *case.scene.delay_window(case.radar))
    truth = draw_scene(case.seed, item, 1, case.radar, case.scene)
    frame = simulate_compressed(truth, case.kappa, basis, seed=case.seed, first=item)
    theta = sector_grid(truth.theta_min, truth.theta_max, case.points)
    tau = np.linspace(*basis.window, case.points)[None, :]

    def image(kappa: NDArray[np.complex128]) -> NDArray[np.float64]:
        out = np.empty((1, case.points, case.points), np.float32)
        search_compressed(frame, basis, kappa, theta, tau, maps=out)
        return np.asarray(out[0], np.float64)

    top = float(image(case.kappa).max())
    kappas = {c.name: learn(c, case, settings.learning, workers, kept, report) for c in curves_of(settings.curves)}
    target = math.degrees(float(truth.theta[0])), SPEED_OF_LIGHT * float(truth.tau[0]) / 2
    maps = {name: image(kappa) / top for name, kappa in kappas.items()}
    return Maps(np.degrees(theta[0]), SPEED_OF_LIGHT * tau[0] / 2, target, maps, kappas)


def rows(settings: Figure2, found: Maps) -> list[dict[str, Any]]:
    """One row per curve with the columns :data:`COLUMNS`: its map's maximum and where it is, the error of its kappa."""
    out = []
    angle, distance = math.radians(found.target[0]), found.target[1]
    for curve in curves_of(settings.curves):
        values = found.maps[curve.name]
        i, j = np.unravel_index(int(np.argmax(values)), values.shape)
        here, there = math.radians(found.angle[i]), float(found.distance[j])
        error = kappa_error(found.kappas[curve.name], settings.case.kappa, settings.case.radar)
        away = np.hypot(
            there * math.cos(here) - distance * math.cos(angle), there * math.sin(here) - distance * math.sin(angle)
        )
        row = {"curve": curve.name, "frames": settings.learning.frames(curve), "peak": float(values[i, j])}
        row |= {"peak_angle_deg": float(found.angle[i]), "peak_range_m": there, "position_error_m": float(away)}
        out.append(row | {"slope_deg": error.slope_deg, "loss_db": error.loss_db})
    return out


def map_columns(settings: Figure2) -> tuple[str, ...]:
    """The columns of :func:`map_rows`."""
    return ("angle_deg", "range_m", *(curve.name for curve in curves_of(settings.curves)))


def map_rows(settings: Figure2, found: Maps) -> list[dict[str, float]]:
    """The whole maps: one row per point of the grid, one column per curve."""
    return [
        {"angle_deg": float(angle), "range_m": float(distance)}
        | {name: float(found.maps[name][i, j]) for name in map_columns(settings)[2:]}
        for i, angle in enumerate(found.angle)
        for j, distance in enumerate(found.distance)
    ]


def draw(path: Path, head: dict[str, str], settings: Figure2, found: Maps) -> None:
    """The picture as PNG. Raises NoPlotsError where matplotlib is missing."""
    plt = plotting.pyplot()
    curves = curves_of(settings.curves)
    lines = (len(curves) + 1) // 2
    figure, axes = plt.subplots(
        lines, 2, figsize=(plotting.COLUMN, 1.0 + 1.5 * lines), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    reach = (found.distance[0], found.distance[-1], found.angle[0], found.angle[-1])
    image = None
    for axis, curve in zip(axes.flat, curves, strict=False):
        values = found.maps[curve.name]
        i, j = np.unravel_index(int(np.argmax(values)), values.shape)
        image = axis.imshow(values, origin="lower", aspect="auto", extent=reach, cmap="cividis", vmin=0, vmax=1)
        axis.plot(found.target[1], found.target[0], "o", mfc="none", mec="white", ms=8, mew=0.8)
        axis.plot(found.distance[j], found.angle[i], "+", color="#D55E00", ms=5, mew=1)
        axis.set_title(f"{curve.short}: {values.max():.2f}")
    for axis in axes.flat[len(curves) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("angle [deg]")
    for axis in axes.flat[max(len(curves) - 2, 0) : len(curves)]:
        axis.set_xlabel("range [m]")
        axis.tick_params(labelbottom=True)
    label = "map / its maximum under the true kappa"
    figure.colorbar(image, ax=axes, location="bottom", label=label, shrink=0.8, aspect=30)
    plotting.save(figure, path, head)
