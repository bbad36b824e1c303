"""The pictures of a run: maps side by side as in Fig. 2, the error against the frames with its bound, kappa in the plane."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.bounds import loss_bound_db
from isacblocks.kernels.errors import best_ramp
from isacblocks.kernels.search import angle_delay_map
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.radar import SPEED_OF_LIGHT, OfdmRadar, Scene
from isacblocks.stream.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _BLACK = "#0072B2", "#D55E00", "#000000"  # told apart by every eye
_NAMED = 24  # antennas whose numbers have room beside each other


class NoPlotsError(RuntimeError):
    """matplotlib is not there."""


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError:
        raise NoPlotsError("no picture: matplotlib is not installed; pip install 'isacblocks[plot]'") from None
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def _example(radar: OfdmRadar, scene: Scene, truth: NDArray[Any], seed: int) -> dict[str, Any]:
    """One frame with a target of twice the mean power in the middle of a 20 degree sector, for the maps."""
    drawn = draw_scene(seed, 1 << 40, 1, radar, scene)
    low, high = scene.delay_window(radar)
    theta, tau = 0.5 * (drawn.theta_min + drawn.theta_max) + math.radians(2), np.array([low + 0.45 * (high - low)])
    x = draw_symbols(seed, 1 << 40, 1, radar)
    gamma = np.array([math.sqrt(2 * scene.gain_variance(radar)) * np.exp(0.7j)])
    y = simulate_frames(x, gamma, truth, theta, tau, radar, seed=seed, first=1 << 40)
    centre = 0.5 * (drawn.theta_min[0] + drawn.theta_max[0])
    grid = np.linspace(centre - math.radians(10), centre + math.radians(10), 201)
    return {"y": y, "x": x, "theta": grid, "tau": np.linspace(low, high, 201), "target": (theta[0], tau[0])}


def _maps(axes: list[Axes], radar: OfdmRadar, example: dict[str, Any], kappas: dict[str, NDArray[Any]]) -> Any:
    maps = {
        name: angle_delay_map(example["y"], example["x"], kappa, example["theta"], example["tau"], radar)[0]
        for name, kappa in kappas.items()
    }
    top = max(float(m.max()) for m in maps.values())
    reach = [SPEED_OF_LIGHT * t / 2 for t in (example["tau"][0], example["tau"][-1])]
    angles = np.degrees(example["theta"])
    image = None
    for axis, (name, values) in zip(axes, maps.items(), strict=True):
        image = axis.imshow(
            values / top,
            origin="lower",
            aspect="auto",
            extent=(reach[0], reach[1], angles[0], angles[-1]),
            cmap="cividis",
            vmin=0,
            vmax=1,
        )
        axis.plot(
            SPEED_OF_LIGHT * example["target"][1] / 2,
            math.degrees(example["target"][0]),
            "o",
            mfc="none",
            mec="white",
            ms=11,
        )
        axis.set(title=f"{name}: peak {values.max() / top:.2f}", xlabel="range [m]", ylabel="angle [deg]")
    return image


def _errors(axis: Axes, rows: list[dict[str, float]], radar: OfdmRadar, scene: Scene) -> None:
    frames = np.array([row["frames"] for row in rows])
    axis.loglog(frames, [max(row["loss_db"], 1e-6) for row in rows], color=_BLUE, label="loss of gain, ramp removed")
    bound = loss_bound_db(frames, radar.antennas, scene.snr, scene.target_probability)
    axis.loglog(frames, bound, "--", color=_BLACK, label="Cramer-Rao bound at rest, no prior on gains")
    axis.set(xlabel="frames", ylabel="loss [dB]", title="kappa error against frames")
    axis.grid(True, which="both", alpha=0.3)
    axis.legend()


def _square(axis: Axes, title: str) -> None:
    """Axes of the complex plane, as many numbers along one as along the other."""
    ticks = {"xticks": (-1, -0.5, 0, 0.5, 1), "yticks": (-1, -0.5, 0, 0.5, 1)}
    unit = "kappa [mean gain 1]"
    axis.set(xlabel=f"Re {unit}", ylabel=f"Im {unit}", title=title, aspect="equal", **ticks)


def _plane(axis: Axes, learned: NDArray[Any], truth: NDArray[Any]) -> None:
    """Both in the plane, the learned one turned by the best common phase and slope: what is left is the error."""
    slope, _ = best_ramp(learned * truth.conj())
    turned = learned * np.exp(-1j * slope * np.arange(learned.size))
    turned = turned * np.exp(-1j * np.angle(np.vdot(truth, turned)))
    for a, b in zip(truth, turned, strict=True):
        axis.plot([a.real, b.real], [a.imag, b.imag], color="0.6", lw=0.8)
    axis.plot(truth.real, truth.imag, "o", mfc="none", color=_BLACK, label="true")
    axis.plot(turned.real, turned.imag, ".", color=_ORANGE, label="learned")
    _square(axis, "kappa, common and linear phase removed")
    axis.grid(True, alpha=0.3)
    axis.legend()


def _save(figure: Any, path: Path) -> None:
    """Write the picture, in the format that the file's name says, and close it."""
    out = io.BytesIO()
    try:
        figure.savefig(out, dpi=110, format=path.suffix[1:] or "png")
    finally:
        _pyplot().close(figure)
    write_atomically(path, out.getvalue())


def draw_calibration(
    path: str | Path,
    radar: OfdmRadar,
    scene: Scene,
    truth: NDArray[Any],
    learned: NDArray[Any],
    rows: list[dict[str, float]],
    seed: int,
) -> None:
    """The picture at the end of an online calibration, as PNG.

    truth, learned: kappa (N,); rows: what :meth:`~isacblocks.study.evaluation.Evaluation.kappa_errors` gave; seed: of the
    example frame. Raises NoPlotsError where matplotlib is missing, OSError where the file cannot be written.
    """
    plt = _pyplot()
    figure = plt.figure(figsize=(14, 9), layout="constrained")
    grid = figure.add_gridspec(2, 6)
    top = [figure.add_subplot(grid[0, 2 * k : 2 * k + 2]) for k in range(3)]
    example = _example(radar, scene, truth, seed)
    kappas = {"kappa = 1": np.ones(radar.antennas), "learned kappa": learned, "true kappa": truth}
    image = _maps(top, radar, example, kappas)
    figure.colorbar(image, ax=top, label="angle-delay map, relative to its largest peak", shrink=0.8)
    if rows:
        _errors(figure.add_subplot(grid[1, :3]), rows, radar, scene)
    _plane(figure.add_subplot(grid[1, 3:]), learned, truth)
    _save(figure, Path(path))


def draw_efficiency(
    path: str | Path,
    before: NDArray[Any],
    after: NDArray[Any],
    kappa: NDArray[Any],
    maps: dict[str, NDArray[Any]],
    extent: Any,
) -> None:
    """The picture of a replayed recording: maps of an unseen frame, combining efficiency frame by frame, kappa.

    before, after: efficiencies (F,); kappa (N,); maps: one map by title; extent: (low, high) range bins and degrees.
    """
    plt = _pyplot()
    figure = plt.figure(figsize=(14, 9), layout="constrained")
    grid = figure.add_gridspec(2, 2)
    top = max(float(m.max()) for m in maps.values())
    for k, (name, values) in enumerate(maps.items()):
        axis = figure.add_subplot(grid[0, k])
        image = axis.imshow(values / top, origin="lower", aspect="auto", extent=extent, cmap="cividis", vmin=0, vmax=1)
        axis.set(title=f"{name}: peak {values.max() / top:.3f}", xlabel="delay [range bins]", ylabel="angle [deg]")
        figure.colorbar(image, ax=axis, label="map, relative to the larger peak")
    axis = figure.add_subplot(grid[1, 0])
    axis.plot(before, color=_BLACK, label=f"kappa = 1: mean {before.mean():.4f}")
    axis.plot(after, color=_ORANGE, label=f"learned kappa: mean {after.mean():.4f}")
    axis.set(xlabel="unseen frame", ylabel="combining efficiency", title="|kappa^H u|^2 / (||kappa||^2 ||u||^2)")
    axis.grid(True, alpha=0.3)
    axis.legend()
    axis = figure.add_subplot(grid[1, 1])
    axis.plot(kappa.real, kappa.imag, ".", color=_ORANGE)
    for n, value in enumerate(kappa if kappa.size <= _NAMED else ()):
        axis.annotate(str(n), (value.real, value.imag), textcoords="offset points", xytext=(5, 5))
    _square(axis, "learned kappa, by antenna" if kappa.size <= _NAMED else "learned kappa")
    axis.grid(True, alpha=0.3)
    _save(figure, Path(path))
