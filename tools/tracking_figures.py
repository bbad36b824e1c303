#!/usr/bin/env python3
"""Prints how well the tracker does, measured now on full frames: python tools/tracking_figures.py [TABLE] [--seeds K]

estimation  SNR, P(t = 1) and N0 from the stream with known kappa, and the loss with and without being told them
drift       loss in the steady state for drifts that nobody has told, and after 8000 frames without any
steps       frames until antennas that jump are flagged, loss afterwards, flags of antennas that did not
false       flags in 1e5 frames in which nothing jumps
sigma       share of the errors within the standard deviations reported for gains and phases
shrink      loss with gains moved towards the prior, against the bound without one
health      codes named for antennas that die, are cut off, clip or are exchanged
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figure_tables import run_tables

from isacblocks import OfdmRadar, Scene
from isacblocks.kernels.bounds import loss_bound_db
from isacblocks.kernels.errors import best_ramp, gauge_error, kappa_error
from isacblocks.kernels.gains import shrink_gains
from isacblocks.kernels.health import HEALTH
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.study.tracking import Fault, Frames, Tracker, hardware

RADAR = OfdmRadar()
TABLE1_GAINS = 0.1**2 / 12  # variance of U[0.95, 1.05]


def follow(tracker: Tracker, stream: Iterator[Frames], every: int) -> Iterator[Frames]:
    """Run the tracker over the stream and stop by after every `every` frames."""
    for frames in stream:
        tracker.update(frames)
        if tracker.frames % every == 0:
            yield frames


def loss(tracker: Tracker, frames: Frames) -> float:
    """Loss of array gain in dB, now."""
    return kappa_error(tracker.kappa, frames.kappa[-1], RADAR).loss_db


def estimation(seeds: int) -> None:
    """The estimates with known kappa; then the loss of trackers that were and were not told."""
    print(f"estimates after 2000 frames, known kappa, {seeds} seeds: mean error +- its standard error (standard deviation)")
    for snr_db in (5, 10, 15, 20):
        for probability in (0.2, 0.5, 0.8):
            scene = Scene(snr_db=snr_db, target_probability=probability)
            found = []
            for seed in range(seeds):
                tracker = Tracker(RADAR, kappa=draw_impairments("table1", RADAR.antennas, 1000 + seed))
                for frames in hardware(2000, 1000 + seed, RADAR, scene):
                    tracker.estimate(frames)
                snr, prior, noise_power = tracker.believed
                found.append((10 * math.log10(snr) - snr_db, prior - probability, 10 * math.log10(noise_power)))
            mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
            error = spread / math.sqrt(seeds)
            print(
                f"SNR {snr_db:2d} dB, P(t=1) {probability}: SNR {mean[0]:+.3f} +- {error[0]:.3f} dB ({spread[0]:.2f}), "
                f"P(t=1) {mean[1]:+.4f} +- {error[1]:.4f} ({spread[1]:.3f}), N0 {mean[2]:+.5f} dB"
            )
    print("loss from kappa = 1, median over seeds")
    for snr_db in (5, 10, 15, 20):
        scene = Scene(snr_db=snr_db)
        rows = np.empty((2, seeds, 5))
        for seed in range(seeds):
            for known in (0, 1):
                tracker = Tracker(RADAR, scene if known else None)
                marks = follow(tracker, hardware(4000, seed, RADAR, scene), 400)
                losses = [loss(tracker, frames) for frames in marks]
                rows[known, seed] = [losses[k] for k in (0, 1, 2, 4, 9)]
        for k, count in enumerate((400, 800, 1200, 2000, 4000)):
            blind, knowing = np.median(rows[0, :, k]), np.median(rows[1, :, k])
            pairs = np.median(rows[0, :, k] / rows[1, :, k])
            bound = float(loss_bound_db(count, RADAR.antennas, scene.snr, 0.5))
            print(
                f"SNR {snr_db:2d} dB, {count:4d} frames: estimated {blind:.4f} dB, told {knowing:.4f} dB, "
                f"bound {bound:.4f} dB, ratio of medians {blind / knowing:.3f}, median ratio {pairs:.3f}"
            )


def drift(seeds: int) -> None:
    """The steady state from two memories on."""
    scene = Scene()
    v = RADAR.antennas * (1 + scene.snr) / (2 * scene.snr**2 * scene.target_probability)
    print(
        f"drift in degrees per sqrt(1000 frames), {scene.snr_db:g} dB, {seeds} seeds, nothing told; loss averaged over time"
    )
    for degrees, start, frames_each in ((0.3, 16000, 24000), (1.0, 6000, 12000), (3.0, 3000, 8000), (10.0, 1600, 6400)):
        memory = math.sqrt(v / (math.radians(degrees) ** 2 / 1000))
        seen, estimates, flags = [], [], 0
        for seed in range(seeds):
            tracker = Tracker(RADAR)
            stream = hardware(frames_each, seed, RADAR, scene, degrees)
            losses = [loss(tracker, frames) for frames in follow(tracker, stream, 80) if tracker.frames > start]
            seen.append(np.mean(losses))
            estimates.append(tracker.phase_drift)
            flags += len(tracker.flags)
        optimum = 4.343 * (v / memory)  # of the phases alone: v / (2 M) + q M / 2 at the best M
        print(
            f"{degrees:4g}: loss {np.mean(seen):.5f} dB (worst seed {np.max(seen):.5f}), phases at the best memory "
            f"{memory:.0f}: {optimum:.5f}; drift estimated {np.median(estimates):.2f}; false flags {flags}"
        )
    ends = []
    for seed in range(seeds):
        tracker = Tracker(RADAR)
        ends.append([loss(tracker, frames) for frames in follow(tracker, hardware(8000, seed, RADAR, scene), 8000)][-1])
    bound = float(loss_bound_db(8000, RADAR.antennas, scene.snr, 0.5))
    print(f"none: loss after 8000 frames, median {np.median(ends):.5f} dB, bound {bound:.5f}")


def steps(seeds: int) -> None:
    """At frame 1000 of 2000, antennas drawn at random."""
    scene, at = Scene(), 1000
    turns = [(f"{d} degrees", 4, np.exp(1j * math.radians(d))) for d in (180, 90, 45)]
    kinds = [*turns, ("half the gain", 4, 0.5 + 0j), ("dead", 4, 0j), ("90 degrees", 16, 1j), ("random phases", 32, None)]
    print(f"jumps at frame {at}, {scene.snr_db:g} dB, {seeds} seeds; delays in frames")
    for name, count, factor in kinds:
        delays, missed, false = [], 0, 0
        losses = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            jumped = tuple(int(n) for n in rng.choice(RADAR.antennas, count, replace=False))
            if factor is None:
                faults = [Fault(at, (n,), "factor", np.exp(1j * rng.uniform(-np.pi, np.pi))) for n in jumped]
            else:
                faults = [Fault(at, jumped, "factor", complex(factor))]
            tracker = Tracker(RADAR)
            losses.append([loss(tracker, f) for f in follow(tracker, hardware(2000, seed, RADAR, scene, 0.0, faults), 200)])
            first: dict[int, int] = {}
            for frame, antenna in tracker.flags:
                if frame <= at or antenna not in jumped:
                    false += 1
                else:
                    first.setdefault(antenna, frame - at)
            delays += list(first.values())
            missed += count - len(first)
        middle = np.median(losses, axis=0)
        spread = np.quantile(delays or [-1], [0.5, 0.9, 1.0])
        print(
            f"{count:2d} antennas, {name:13s}: flagged after {spread[0]:.0f} (median) {spread[1]:.0f} (9 of 10) "
            f"{spread[2]:.0f} (last), {missed} of {count * seeds} not flagged, {false} flags of others; "
            f"loss before {middle[4]:.4f}, 200 frames later {middle[5]:.4f}, 400: {middle[6]:.4f}, 1000: {middle[9]:.4f} dB"
        )


def false(seeds: int) -> None:
    """Long runs without a jump, from kappa = 1."""
    for degrees in (0.0, 3.0):
        for seed in range(seeds):
            tracker = Tracker(RADAR)
            for _ in follow(tracker, hardware(100_000, 500 + seed, RADAR, Scene(), degrees), 100_000):
                print(f"drift {degrees:g}, seed {seed}: {len(tracker.flags)} flags in {tracker.frames} frames")
    short = max(20 * seeds, 20)
    started = 0
    for seed in range(short):
        tracker = Tracker(RADAR)
        for _ in follow(tracker, hardware(400, 9000 + seed, RADAR, Scene()), 400):
            started += len(tracker.flags)
    print(f"{short} starts from kappa = 1: {started} flags in the first 400 frames")


def sigma(seeds: int) -> None:
    """Errors in the gauge over the standard deviations reported."""
    print(f"share of errors within 1 and 1.96 reported standard deviations (0.683, 0.950), {seeds} runs")
    for degrees, marks in ((0.0, (400, 1600)), (3.0, (1600, 4800))):
        ratios: dict[int, list[np.ndarray]] = {mark: [] for mark in marks}
        for seed in range(seeds):
            tracker = Tracker(RADAR)
            for frames in follow(tracker, hardware(marks[-1], 2000 + seed, RADAR, Scene(), degrees), marks[0]):
                if tracker.frames in ratios:
                    error = gauge_error(tracker.kappa, frames.kappa[-1], RADAR)
                    ratios[tracker.frames].append(np.abs(error) / tracker.sigma)
        for mark in marks:
            ratio = np.array(ratios[mark])
            one, two = (ratio < 1).mean(axis=(0, 2)), (ratio < 1.96).mean(axis=(0, 2))
            print(
                f"drift {degrees:g}, {mark} frames: gains {one[0]:.3f} {two[0]:.3f}, phases {one[1]:.3f} {two[1]:.3f}, "
                f"rms {np.sqrt(np.square(ratio).mean(axis=(0, 2))).round(3)}"
            )


def shrink(seeds: int) -> None:
    """Output with gains shrunk; the tracker itself goes on with its own."""
    scene, marks = Scene(), (200, 400, 800, 1600, 3200)
    rows = np.empty((seeds, len(marks), 2))
    for seed in range(seeds):
        tracker = Tracker(RADAR)
        for frames in follow(tracker, hardware(marks[-1], seed, RADAR, scene), 200):
            if tracker.frames in marks:
                moved = shrink_gains(tracker.kappa, tracker.sigma[0] ** 2, TABLE1_GAINS)
                rows[seed, marks.index(tracker.frames)] = (
                    loss(tracker, frames),
                    kappa_error(moved, frames.kappa[-1], RADAR).loss_db,
                )
    print(f"gain shrink, {scene.snr_db:g} dB, median of {seeds} seeds")
    for mark, (plain, moved) in zip(marks, np.median(rows, axis=0), strict=True):
        bound = float(loss_bound_db(mark, RADAR.antennas, scene.snr, scene.target_probability))
        print(f"{mark:4d} frames: loss {plain:.4f} dB, gains shrunk {moved:.4f} dB, bound without prior {bound:.4f} dB")


def health(seeds: int) -> None:
    """Faults at frame 600 of 2000."""
    kinds = {
        "dead (noise only)": [Fault(600, (5, 40), "factor", 0)],
        "no samples": [Fault(600, (5,), "zero")],
        "clipped at 1.5 sigma": [Fault(600, (7,), "clip", 1.5)],
        "clipped at 0.5 sigma": [Fault(600, (7,), "clip", 0.5)],
        "cables of 3 and 30 exchanged": [Fault(600, (3, 30), "swap")],
        "cables of 10 and 11 exchanged": [Fault(600, (10, 11), "swap")],
        "nothing": [],
    }
    for name, faults in kinds.items():
        print(name)
        for seed in range(seeds):
            tracker = Tracker(RADAR)
            for frames in follow(tracker, hardware(2000, seed, RADAR, Scene(), 0.0, faults), 200):
                if tracker.frames in (800, 1200, 2000):
                    codes, places = tracker.health, tracker.places
                    named = ", ".join(
                        f"{n} {HEALTH[codes[n]]}" + (f" (place of {places[n]})" if places[n] != n else "")
                        for n in np.flatnonzero(codes)
                    )
                    good = np.setdiff1d(np.arange(RADAR.antennas), sum((f.antennas for f in faults), ()))
                    product = tracker.kappa * frames.kappa[-1].conj()
                    product[np.setdiff1d(np.arange(RADAR.antennas), good)] = 0
                    norms = np.linalg.norm(tracker.kappa[good]) * np.linalg.norm(frames.kappa[-1, good])
                    rest = 1 - best_ramp(product)[1] / norms
                    print(
                        f"  seed {seed}, frame {tracker.frames}: {named or 'all good'}; "
                        f"loss of the others {4.343 * 2 * rest:.4f} dB"
                    )


def main() -> int:
    """The tool; returns the exit status."""
    tables = {
        "estimation": (estimation, 20), "drift": (drift, 6), "steps": (steps, 20), "false": (false, 2),
        "sigma": (sigma, 200), "shrink": (shrink, 20), "health": (health, 2),
    }  # fmt: skip
    return run_tables("tracking_figures", __doc__, tables)


if __name__ == "__main__":
    sys.exit(main())
