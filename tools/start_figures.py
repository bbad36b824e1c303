#!/usr/bin/env python3
"""Prints the figures of a start from nothing, measured now: python tools/start_figures.py [circle|weak|slope|acceptance]

Table I frames drawn in the delay basis; in the first two tables SNR, pi and N0 are not told. Losses in dB after the best
linear phase, beside the bound of estimates that know nothing of the gains beforehand.

circle      15 dB, phases over the whole circle: 128 frames, then one pass of the online method to 400 and 1000
weak        10 dB and 5 dB: frames are added, twice as many each time, until the start says that it stands; then one pass
slope       15 dB, kappa^(0) = 1, one pass: the slope from snapshots and, at the end, from whole maps of the same frames
acceptance  15 dB: LL(kappa_hat) - LL(kappa) after EM
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figure_tables import run_tables

from isacblocks import OfdmRadar, Scene, kappa_error
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.bounds import loss_bound_db
from isacblocks.kernels.calibration import best_slope, online_sums, rotate, slope_deviation, slope_likelihood_ula
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.detection import angle_extent
from isacblocks.kernels.errors import best_ramp
from isacblocks.kernels.gains import gain_variance, shrink_gains
from isacblocks.kernels.impairments import draw_impairments, retract
from isacblocks.kernels.search import search_compressed
from isacblocks.kernels.simulation import draw_scene
from isacblocks.kernels.slope_search import slope_likelihood
from isacblocks.kernels.start import Law, Sample, Start, expect, full_circle_start

RADAR = OfdmRadar()
BATCH = 8  # frames per update of the one pass


def draw(seed: int, first: int, count: int, scene: Scene, kappa: Any) -> Sample:
    """Frames first .. first + count - 1 of a seed."""
    truth = draw_scene(seed, first, count, RADAR, scene)
    basis = delay_basis(RADAR, *scene.delay_window(RADAR))
    frames = simulate_compressed(truth, kappa, basis, seed=seed, first=first)
    return Sample(frames, basis, truth.theta_min, truth.theta_max)


@dataclass
class OnePass:
    """The online method as a plain loop: estimate, v, and the likelihood of the slope relative to the start's."""

    law: Law
    estimate: Any
    total: Any
    deviation: float  # of the slope, before the first frame
    targets: float
    slope: float = 0.0
    likelihood: Any = 0.0

    def __post_init__(self) -> None:
        self.slopes = np.linspace(-6, 6, 121) * self.deviation

    def take(self, sample: Sample) -> None:
        """Every frame once."""
        for first in range(0, sample.count, BATCH):
            self._update(sample.part(first, min(first + BATCH, sample.count)))

    def _update(self, part: Sample) -> None:
        law, kappa = self.law, frozen(self.estimate)
        peaks = search_compressed(part.frames, part.basis, self.estimate, part.angles(), part.delays())
        u, energy = frozen(peaks.snapshot), frozen(part.frames.symbol_energy)
        extent_1 = frozen(angle_extent(part.theta_min, part.theta_max, RADAR))
        low, high = part.basis.window
        spread = math.sqrt((RADAR.subcarriers**2 - 1) / 12)
        extent_2 = np.full(part.count, spread * 2 * math.pi * RADAR.subcarrier_spacing * (high - low))
        pending, probability, seen = np.zeros(kappa.size, complex), np.empty(part.count), np.zeros(self.slopes.size)
        numbers = law.snr, law.prior, law.noise_power
        window = extent_1, frozen(extent_2), frozen(RADAR.positions)
        online_sums(u, energy, frozen(peaks.theta), *window, kappa, *numbers, pending, probability)
        sectors = frozen(part.theta_min), frozen(part.theta_max)
        place = frozen(peaks.theta), *sectors, frozen(extent_2), frozen(probability)
        slope_likelihood_ula(u, energy, *place, kappa, RADAR.element_spacing, *numbers, frozen(self.slopes), seen)
        self.total = self.total + pending
        self.targets += float(probability.sum())
        after = shrink_gains(self.total, gain_variance(law.snr, kappa.size, self.targets))
        self.likelihood = self.likelihood + np.interp(self.slopes - self.slope, self.slopes, seen)
        self.slope += best_ramp(after * self.estimate.conj())[0]
        target = best_slope(self.slopes, self.likelihood, self.deviation)
        rotate(after, target - self.slope)
        rotate(self.total, target - self.slope)
        self.slope, self.estimate = target, after


def going_on(start: Start) -> OnePass:
    """The one pass, as if it had seen the frames of the start."""
    return OnePass(start.law, start.kappa, start.total.copy(), start.slope_deviation, start.targets)


def line(name: str, frames: float, scene: Scene, rows: list[tuple[float, float]]) -> None:
    """Losses and slopes over seeds."""
    loss, slope = np.array(rows).T
    bound = float(loss_bound_db(frames, RADAR.antennas, scene.snr, scene.target_probability))
    print(
        f"{name:34s} {len(rows):3d} seeds: loss median {np.median(loss):.4f} worst {loss.max():.4f} dB (bound {bound:.4f}), "
        f"slope rms {np.sqrt(np.mean(slope**2)):.4f} worst {np.abs(slope).max():.4f} deg",
        flush=True,
    )


def figures(kappa: Any, truth: Any) -> tuple[float, float]:
    """Loss in dB and slope in degrees."""
    error = kappa_error(kappa, truth, RADAR)
    return error.loss_db, error.slope_deg


def start_on(sample: Sample) -> Start:
    """The start on all frames of a sample."""
    return full_circle_start(sample.frames, sample.basis, sample.theta_min, sample.theta_max)


def circle(seeds: int) -> None:
    """15 dB, the whole circle, 128 frames and on."""
    scene, marks = Scene(snr_db=15), (400, 1000)
    rows: dict[int, list[tuple[float, float]]] = {frames: [] for frames in (128, *marks)}
    stands, seconds, predicted = 0, [], []
    start_on(draw(10**6, 0, 16, scene, np.ones(RADAR.antennas)))  # compiled
    for seed in range(seeds):
        kappa = draw_impairments("full-circle", RADAR.antennas, seed)
        sample = draw(seed, 0, marks[-1], scene, kappa)
        begun = time.perf_counter()
        start = start_on(sample.part(0, 128))
        seconds.append(time.perf_counter() - begun)
        stands += start.stands
        predicted.append(math.degrees(start.slope_deviation / math.pi))
        rows[128].append(figures(start.kappa, kappa))
        tracker, done = going_on(start), 128
        for frames in marks:
            tracker.take(sample.part(done, frames))
            rows[frames].append(figures(tracker.estimate, kappa))
            done = frames
    print(f"whole circle, {scene.snr_db:g} dB; {stands} of {seeds} stand; median {np.median(seconds):.2f} s a start")
    for frames, found in rows.items():
        line(f"  {frames} frames", frames, scene, found)
    print(f"  slope after 128 frames, predicted by the start: median {np.median(predicted):.3f} deg")


def weak(seeds: int) -> None:
    """10 and 5 dB: frames until the start stands."""
    for snr_db, most, marks in ((10.0, 2048, (1500, 3000)), (5.0, 8192, ())):
        scene = Scene(snr_db=snr_db)
        rows: dict[str, list[tuple[float, float]]] = {}
        needed = []
        for seed in range(seeds):
            kappa = draw_impairments("full-circle", RADAR.antennas, seed)
            sample, count = draw(seed, 0, max(most, *marks, 0), scene, kappa), 128
            while True:
                start = start_on(sample.part(0, count))
                worth = "stood" if start.stands else "fell"
                rows.setdefault(f"  {count} frames, {worth}", []).append(figures(start.kappa, kappa))
                if start.stands or count == most:
                    break
                count *= 2
            needed.append(count if start.stands else math.inf)
            tracker = going_on(start)
            for frames in marks if start.stands else ():
                tracker.take(sample.part(count, frames))
                count = max(count, frames)
                rows.setdefault(f"  then one pass to {frames}", []).append(figures(tracker.estimate, kappa))
        print(f"whole circle, {snr_db:g} dB; frames until it stands: {sorted(needed)}")
        for name in sorted(rows, key=lambda n: (n.startswith("  then"), int("".join(c for c in n if c.isdigit())))):
            line(name, int("".join(c for c in name if c.isdigit())), scene, rows[name])


def slope(seeds: int) -> None:
    """Snapshots against whole maps, Table I's phases, kappa^(0) = 1."""
    scene, marks = Scene(snr_db=15), (1000, 8000)
    prior = slope_deviation(math.pi / math.sqrt(12), RADAR.antennas)
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        kappa = draw_impairments("table1", RADAR.antennas, seed)
        law, ones = Law(scene.snr, scene.target_probability, 1.0), np.ones(RADAR.antennas, complex)
        tracker = OnePass(law, ones, ones * scene.snr * RADAR.subcarriers, prior, 0.0)
        sample, done = draw(seed, 0, marks[-1], scene, kappa), 0
        for frames in marks:
            tracker.take(sample.part(done, frames))
            done = frames
            rows.setdefault(f"  {frames} frames, snapshots", []).append(figures(tracker.estimate, kappa))
            part, slopes = sample.part(0, frames), np.linspace(-0.03, 0.03, 121)
            numbers = law.snr, law.prior, law.noise_power
            sectors = part.theta_min, part.theta_max
            seen = slope_likelihood(part.frames, part.basis, tracker.estimate, *sectors, part.delays()[0], slopes, *numbers)
            # the prior is centred on the start, tracker.slope away
            turn = best_slope(slopes, seen - np.square(slopes + tracker.slope) / (2 * prior**2), math.inf)
            turned = tracker.estimate * np.exp(1j * turn * np.arange(RADAR.antennas))
            rows.setdefault(f"  {frames} frames, whole maps", []).append(figures(turned, kappa))
    print("slope, Table I's phases, 15 dB, kappa^(0) = 1")
    for name, found in rows.items():
        line(name, int(name.split()[0]), scene, found)


def acceptance(seeds: int) -> None:
    """LL(kappa_hat) - LL(kappa), half a chi-square of about 2 N - 2 degrees of freedom: 63 +- 8."""
    scene = Scene(snr_db=15)
    law = Law(scene.snr, scene.target_probability, 1.0)
    for count in (128, 400, 1000):
        gains = []
        for seed in range(seeds):
            truth = draw_impairments("table1", RADAR.antennas, seed)
            sample = draw(seed, 0, count, scene, truth)
            kappa = truth
            for _ in range(10):
                kappa = retract(expect(sample, kappa, law).direction(kappa))
            gains.append(expect(sample, kappa, law).log_likelihood - expect(sample, truth, law).log_likelihood)
        print(
            f"LL(kappa_hat) - LL(kappa), 15 dB, {count} frames, {seeds} seeds: mean {np.mean(gains):.1f}, "
            f"sd {np.std(gains):.1f}, from {min(gains):.1f} to {max(gains):.1f}",
            flush=True,
        )


def main() -> int:
    """The tool; returns the exit status."""
    tables = {"circle": (circle, 20), "weak": (weak, 10), "slope": (slope, 10), "acceptance": (acceptance, 20)}
    return run_tables("start_figures", __doc__, tables)


if __name__ == "__main__":
    sys.exit(main())
