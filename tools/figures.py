#!/usr/bin/env python3
"""Prints the figures that the project promises, measured now: python tools/figures.py [TABLE]

online      loss of gain and slope after 400 and 1000 frames over seeds, against what is promised and the bound
detection   P_d and P_fa with known kappa, with kappa = 1 over realisations, and after 1000 frames of calibration
placements  the same run in threads, in processes and over tcp: kappa's bits, the books, frames per second
algorithm   the paper's Algorithm 1 in full, 10 000 steps of 1024 frames, both losses: how long it takes, what it reaches
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figure_tables import run_tables

from isacblocks import OfdmRadar, Scene
from isacblocks.kernels.bounds import boresight_bound, loss_bound_db, slope_bound
from isacblocks.kernels.calibration import slope_deviation
from isacblocks.kernels.errors import kappa_error
from isacblocks.kernels.simulation import draw_scene
from isacblocks.stream.plan import PLACEMENTS
from isacblocks.study.case import LOSSES, SIMULATIONS, Case, Training
from isacblocks.study.simulation import P_FA, simulate
from isacblocks.study.training import train
from isacblocks.study.workers import Workers


def online(seeds: int) -> None:
    """Loss and slope over seeds at 15 dB, kappa^(0) = 1."""
    radar, scene = OfdmRadar(), Scene()
    marks = (200, 400, 1000, 2000)
    found: dict[int, list[tuple[float, float]]] = {frames: [] for frames in marks}
    for seed in range(seeds):
        rows = {int(row["frames"]): row for row in simulate(marks[-1], seed).judge.kappa_errors()}
        for frames in marks:
            found[frames].append((rows[frames]["loss_db"], rows[frames]["slope_deg"]))
    print(f"online, Table I, {scene.snr_db:g} dB, {seeds} seeds")
    sectors = draw_scene(0, 0, 10_000, radar, scene)
    prior = slope_deviation(np.pi / np.sqrt(12), radar.antennas)  # phases U[-pi/2, pi/2]
    print("frames   median loss   9 of 10    worst      bound     median/bound   slope rms    bound")
    for frames in marks:
        loss, slope = np.array(found[frames]).T
        bound = float(loss_bound_db(frames, radar.antennas, scene.snr, scene.target_probability))
        middle = float(np.median(loss))
        least = slope_bound(frames, sectors.theta_min, sectors.theta_max, scene.snr, scene.target_probability, radar, prior)
        degrees = float(np.degrees(boresight_bound(least, radar)))
        print(
            f"{frames:6d}   {middle:8.4f} dB  {np.quantile(loss, 0.9):8.4f}  {loss.max():8.4f}   {bound:8.4f}   "
            f"{middle / bound:8.2f}       {np.sqrt(np.mean(slope**2)):.4f} deg   {degrees:.4f} deg"
        )


def detection(seeds: int) -> None:
    """P_d, P_fa and position errors for known, ignored and learned kappa."""
    for method, frames, what in (
        ("known", 20_000, "known kappa"),
        ("none", 2000, "kappa = 1"),
        ("tracker", 15_000, "learned, after 1000 frames"),
        ("known", 15_000, "known kappa, the same frames"),
    ):
        runs = [simulate(frames, 100 + seed, method) for seed in range(seeds)]
        figures = [run.judge.detection_figures(P_FA) for run in runs]
        after = frames == 15_000
        p_d = np.array([f["after_1000"]["p_d"] if after else f["p_d"] for f in figures])
        totals = sum(run.judge.counts[1 if after else 0] for run in runs)
        present, detected, absent, false = (int(n) for n in totals)
        inlier = np.mean([f["position_inlier_rmse_m"] for f in figures])
        median = np.mean([f["position_median_m"] for f in figures])
        spread = np.sqrt(P_FA * (1 - P_FA) / absent)
        print(
            f"{what:30s} {seeds} x {frames} frames: P_d {detected / present:.4f} (sd over realisations {p_d.std():.4f}), "
            f"P_fa {false / absent:.5f} +- {spread:.5f} (nominal {P_FA:g}), "
            f"position: median {median:.3f} m, RMSE without outliers {inlier:.3f} m"
        )


def placements(seeds: int) -> None:
    """The same seeded run everywhere."""
    frames = 20_000
    for seed in range(seeds):
        for placement in PLACEMENTS:
            run = simulate(frames, seed, placement=placement)
            assert run.calibrator is not None
            bits = hashlib.sha256(run.calibrator.estimate.tobytes()).hexdigest()[:16]
            balanced = all(edge.balanced and not edge.in_flight for edge in run.status.edges)
            lost = sum(edge.lost for edge in run.status.edges)
            rate = frames / run.status.seconds
            print(
                f"seed {seed}, {placement:9s} {frames} frames, kappa {bits}, {len(run.status.edges)} edges "
                f"{'balanced' if balanced else 'NOT BALANCED'}, {lost} lost, {rate:.0f} frames/s"
            )


def algorithm(seeds: int) -> None:
    """Algorithm 1 on all cores, frames drawn in the delay basis and whole."""
    workers = Workers(os.cpu_count() or 1)
    for seed in range(seeds):
        for loss in LOSSES:
            for simulation in SIMULATIONS:
                training = Training(Case(seed=seed), loss, simulation=simulation)
                began = time.perf_counter(), time.process_time()
                kappa = train(training, workers=workers).kappa
                wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
                reached = kappa_error(kappa, training.case.kappa, training.case.radar).loss_db
                print(
                    f"seed {seed}, {loss:14s} {simulation:10s} frames: {training.frames} in {wall / 60:.1f} minutes on "
                    f"{workers.count} cores, {1e6 * cpu / training.frames:.1f} us of a core per frame; loss {reached:.4f} dB"
                )
    workers.close()


def main() -> int:
    """The tool; returns the exit status."""
    tables = {
        "online": (online, 20),
        "detection": (detection, 10),
        "placements": (placements, 1),
        "algorithm": (algorithm, 1),
    }
    return run_tables("figures", __doc__, tables)


if __name__ == "__main__":
    sys.exit(main())
