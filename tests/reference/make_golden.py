"""Makes tests/golden/*.npz from the reference: python tests/reference/make_golden.py

Inputs are stored with the results, so that the vectors do not depend on a random generator staying the same.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reference import model

# name: antennas, subcarriers, angles, delays, frames, grids per frame, QAM
CASES: dict[str, tuple[int, int, int, int, int, bool, bool]] = {
    "smallest": (5, 11, 2, 9, 4, False, False),
    "small": (8, 32, 13, 7, 3, True, True),
    "odd": (17, 63, 20, 31, 3, True, False),
    "table1": (64, 256, 100, 100, 2, True, False),
}
RATIO = 30.0  # N0 / sigma_gamma^2
P_FA = 1e-2


def inputs(name: str, seed: int) -> dict[str, Any]:
    """Frames with a target in the search window, noise of power 1; complex64, so that both precisions see the same."""
    antennas, subcarriers, n_theta, n_tau, frames, per_frame, qam = CASES[name]
    setup = model.Setup(antennas, subcarriers)
    rng = np.random.default_rng(seed)
    levels = np.array([-3, -1, 1, 3]) / np.sqrt(10) if qam else np.array([-1, 1]) / np.sqrt(2)
    x = rng.choice(levels, (frames, subcarriers)) + 1j * rng.choice(levels, (frames, subcarriers))
    kappa = rng.uniform(0.8, 1.2, antennas) * np.exp(1j * rng.uniform(-np.pi / 2, np.pi / 2, antennas))
    kappa *= np.sqrt(antennas) / np.linalg.norm(kappa)
    rows = frames if per_frame else 1
    centre, width = rng.uniform(-0.9, 0.9, rows), rng.uniform(0.15, 0.4, rows)
    theta = centre[:, None] + width[:, None] * np.linspace(-0.5, 0.5, n_theta)
    tau = np.broadcast_to(np.linspace(0.02, 0.07, n_tau) / setup.spacing, (rows, n_tau)).copy()
    tau += rng.uniform(0, 1e-9, (rows, 1))
    y = (
        rng.standard_normal((frames, antennas, subcarriers)) + 1j * rng.standard_normal((frames, antennas, subcarriers))
    ) / 2**0.5
    for f in range(frames):
        row = f if per_frame else 0
        where = rng.uniform(theta[row, 0], theta[row, -1]), rng.uniform(tau[row, 0], tau[row, -1])
        gain = 6 / np.sqrt(antennas * subcarriers) * np.exp(2j * np.pi * rng.random())
        y[f] += model.frame(x[f], gain, kappa, *where, setup)
    guess = kappa * np.exp(1j * rng.normal(0, 0.4, antennas))
    grids = (theta, tau) if per_frame else (theta[0], tau[0])
    return {"y": y.astype(np.complex64), "x": x.astype(np.complex64), "kappa": guess, "theta": grids[0], "tau": grids[1]}


def results(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Everything the reference says about the inputs."""
    setup = model.Setup(*CASES[name][:2])
    y, x, kappa = given["y"].astype(np.complex128), given["x"].astype(np.complex128), given["kappa"]
    frames = range(len(y))
    theta = [given["theta"] if given["theta"].ndim == 1 else given["theta"][f] for f in frames]
    tau = [given["tau"] if given["tau"].ndim == 1 else given["tau"][f] for f in frames]
    peaks = [model.find_peak(y[f], x[f], kappa, theta[f], tau[f], setup) for f in frames]
    return {
        "map": np.stack([model.angle_delay_map(y[f], x[f], kappa, theta[f], tau[f], setup) for f in frames]),
        "statistic": np.array([p.statistic for p in peaks]),
        "index": np.array([p.index for p in peaks]),
        "peak_theta": np.array([p.theta for p in peaks]),
        "peak_tau": np.array([p.tau for p in peaks]),
        "snapshot": np.stack([p.snapshot for p in peaks]),
        "gamma": np.array([model.gamma_hat(y[f], x[f], kappa, peaks[f].theta, peaks[f].tau, RATIO, setup) for f in frames]),
        "max_loss": np.mean([model.max_loss(y[f], x[f], kappa, theta[f], tau[f], setup) for f in frames]),
        "reconstruction_loss": np.mean(
            [model.reconstruction_loss(y[f], x[f], kappa, theta[f], tau[f], RATIO, setup) for f in frames]
        ),
        "threshold": np.array([model.threshold(P_FA, theta[f], tau[f], setup, False) for f in frames]),
        "threshold_refined": np.array([model.threshold(P_FA, theta[f], tau[f], setup, True) for f in frames]),
    }


def main() -> None:
    """Write one file per case."""
    target = Path(__file__).resolve().parents[1] / "golden"
    target.mkdir(exist_ok=True)
    for number, name in enumerate(CASES):
        given = inputs(name, 20250 + number)
        np.savez_compressed(target / f"{name}.npz", **given, **{f"out_{k}": v for k, v in results(name, given).items()})
        print(f"{name}: {(target / f'{name}.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
