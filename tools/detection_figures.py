#!/usr/bin/env python3
"""Prints how often the detector cries wolf, how often it sees, and how well it points: python tools/detection_figures.py

alarms    measured over nominal P_fa at 1e-1, 1e-2 and 1e-3: N0 known and estimated, on the grid and refined, for the true
          kappa, kappa = 1 and a kappa drawn by the same law, over random sectors
targets   P_d and position errors against the Cramer-Rao bound, with known kappa and with kappa = 1

Frames are drawn after compression over the delay: of a frame of noise only the projection on the space of the window's
delays matters to the map, white noise in N x D numbers, and of the rest only its energy, a gamma variable. Exact in law, and
ten times lighter; the peak is refined by the kernels of the detector. In brackets: 95 % confidence intervals.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the products are small: a second thread only waits for the first

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isacblocks import OfdmRadar, Scene
from isacblocks.cli.script import execute
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.bounds import detected_position_bound, detection_probability, position_bound
from isacblocks.kernels.detection import angle_extent, delay_extent, window_thresholds
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.refinement import moment_table, moments, newton_place
from isacblocks.kernels.steering import delay_vectors, pitch_of, steering_vectors
from isacblocks.radar import SPEED_OF_LIGHT

Array = NDArray[Any]
LEVELS = (1e-1, 1e-2, 1e-3)
POINTS = 100  # of the grid, in angle and in delay: Table I
BATCH = 32  # frames that share a sector and the kappas: what fits a core's cache
KAPPAS = ("true kappa", "kappa = 1", "random kappa")
LEAST = 1e-14  # of the energy of a delay vector, what the basis may miss


@dataclass(frozen=True)
class Compression:
    """The space of the window's delays: basis V (S, D) with V^H V = 1, and the delay vectors of the grid in it, (D, n)."""

    radar: OfdmRadar
    tau: Array
    basis: Array
    grid: Array

    @classmethod
    def of(cls, radar: OfdmRadar, scene: Scene) -> Compression:
        """By singular values, as many as it takes."""
        low, high = scene.delay_window(radar)
        vectors = delay_vectors(np.linspace(low, high, 400), radar).T
        left, values, _ = np.linalg.svd(vectors, full_matrices=False)
        missed = np.cumsum(np.square(values[::-1]))[::-1] / np.square(values).sum()
        basis = left[:, : int(np.argmax(missed < LEAST))]
        tau = np.linspace(low, high, POINTS)
        return cls(radar, tau, basis, basis.conj().T @ delay_vectors(tau, radar).T)

    def moments(self, samples: Array, tau: float) -> Array:
        """The detector's moments of one frame's samples (N, D) at a delay, (3, N)."""
        carriers = self.radar.subcarriers
        table = np.zeros((2, 3, carriers))
        moment_table(self.radar.subcarrier_spacing, tau, carriers, table[0], table[1])
        inside = (table[0] + 1j * table[1]) @ self.basis
        out = np.empty((3, self.radar.antennas), np.complex128)
        real, imag = (frozen(part.astype(float)) for part in (samples.real, samples.imag))
        moments(real, imag, frozen(inside.real), frozen(inside.imag), out)
        return out


@dataclass
class Sector:
    """BATCH frames of one sector: compressed samples (B, N, D), energy outside (B,); with targets, what is true of them."""

    theta: Array
    kappa: dict[str, Array]
    samples: Array
    outside: Array
    rho: Array
    target: Array  # (B, 2): theta, tau


def sectors(count: int, present: bool, seed: int, space: Compression, scene: Scene) -> Iterator[Sector]:
    """Sectors, kappas, noise and targets by the laws of Table I."""
    radar, rng = space.radar, np.random.default_rng((seed, present))
    elements, rank = radar.antennas, space.basis.shape[1]
    for _ in range(count):
        centre = scene.sector_centre_max * rng.uniform(-1, 1)
        half = 0.5 * rng.uniform(scene.sector_width_min, scene.sector_width_max)
        truth, random = (draw_impairments("table1", elements, int(rng.integers(1 << 40))) for _ in (1, 2))
        kappas = dict(zip(KAPPAS, (truth, np.ones(elements, complex), random), strict=True))
        pairs = rng.standard_normal((BATCH, elements, rank, 2), np.float32)
        samples = math.sqrt(0.5) * pairs.view(np.complex64)[..., 0]
        outside = rng.standard_gamma(elements * (radar.subcarriers - rank), BATCH)
        rho = rng.exponential(scene.snr, BATCH) * present
        theta, tau = rng.uniform(centre - half, centre + half, BATCH), rng.uniform(space.tau[0], space.tau[-1], BATCH)
        if present:
            gain = np.sqrt(rho / (elements * radar.subcarriers)) * np.exp(2j * np.pi * rng.random(BATCH))
            echo = delay_vectors(tau, radar) @ space.basis.conj()
            samples = samples + (gain[:, None] * truth * steering_vectors(theta, radar))[:, :, None] * echo[:, None, :]
        grid = np.linspace(centre - half, centre + half, POINTS)
        yield Sector(grid, kappas, samples.astype(np.complex64), outside, rho, np.stack([theta, tau], axis=1))


def find(sector: Sector, kappa: Array, space: Compression, floor: float) -> tuple[Array, Array]:
    """The largest grid point and the refined peak: levels T (2, B), places (2, B, 2); below `floor` it stays on the grid."""
    radar = space.radar
    size = radar.antennas * radar.subcarriers
    weights = (kappa * steering_vectors(sector.theta, radar)).conj().astype(np.complex64)
    rows = np.matmul(weights, sector.samples).reshape(BATCH * POINTS, -1)
    field = rows @ space.grid.conj().astype(np.complex64)
    power = np.square(field.real) + np.square(field.imag)
    best = power.reshape(BATCH, -1).argmax(axis=1)
    level = np.tile(power.reshape(BATCH, -1)[np.arange(BATCH), best] / size, (2, 1)).astype(float)
    place = np.tile(np.stack([sector.theta[best // POINTS], space.tau[best % POINTS]], axis=1), (2, 1, 1))
    for b in np.flatnonzero(level[0] > floor):
        i, j = divmod(int(best[b]), POINTS)
        where = newton_place(
            frozen(kappa),
            frozen(radar.positions),
            pitch_of(radar),
            radar.subcarrier_spacing,
            radar.subcarriers,
            frozen(sector.theta),
            frozen(space.tau),
            i,
            j,
            space.moments(sector.samples[b], space.tau[j]),
        )
        delayed = space.moments(sector.samples[b], where[1])[0]
        found = abs(np.vdot(kappa * steering_vectors([where[0]], radar)[0], delayed)) ** 2 / size
        if found > level[0, b]:
            level[1, b], place[1, b] = found, where
    return level, place


def thresholds(sector: Sector, space: Compression, samples: float) -> Array:
    """The thresholds on the grid and refined, (2, LEVELS)."""
    extents = (
        angle_extent(sector.theta[:1], sector.theta[-1:], space.radar),
        delay_extent(space.tau[:1], space.tau[-1:], space.radar),
    )
    return np.array([[window_thresholds(p, *extents, n, n, samples)[0] for p in LEVELS] for n in (POINTS, 0)])


def interval(count: int, trials: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a probability."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, count, trials - count + 1)) if count else 0.0
    return low, float(beta.ppf(0.975, count + 1, trials - count)) if count < trials else 1.0


def alarms(frames: int, seed: int) -> None:
    """Frames of noise."""
    radar, scene = OfdmRadar(), Scene()
    space = Compression.of(radar, scene)
    samples = radar.antennas * radar.subcarriers - 1
    batches = -(-frames // BATCH)
    counts = np.zeros((len(KAPPAS), 2, 2, len(LEVELS)), int)  # kappa, N0 known or estimated, grid or refined, P_fa
    for sector in sectors(batches, False, seed, space, scene):
        limits = [thresholds(sector, space, math.inf), thresholds(sector, space, samples)]
        energy = sector.outside + np.square(np.abs(sector.samples)).sum(axis=(1, 2), dtype=float)
        for k, kappa in enumerate(sector.kappa.values()):
            level, _ = find(sector, kappa, space, limits[0].min() - 1.5)
            noise = (energy - level) / samples  # what the peak leaves: |s|^2 / (N ||x||^2) = T N0
            for row, seen in enumerate((level, level / noise)):
                counts[k, row] += (seen[:, None, :] >= limits[row][:, :, None]).sum(axis=2)
    total = batches * BATCH
    print(f"alarms: {total} frames of noise, {batches} sectors and kappas, Table I")
    print("kappa         N0         search   P_fa     alarms   measured / nominal")
    for k, name in enumerate(KAPPAS):
        for row, noise_name in enumerate(("known", "estimated")):
            for column, search in enumerate(("grid", "refined")):
                for p, count in zip(LEVELS, counts[k, row, column].tolist(), strict=True):
                    low, high = interval(count, total)
                    print(
                        f"{name:13s} {noise_name:10s} {search:8s} {p:<6g} {count:8d}   "
                        f"{count / total / p:.3f} [{low / p:.3f}, {high / p:.3f}]"
                    )


def targets(frames: int, seed: int) -> None:
    """Frames with a target at the scene's SNR."""
    radar, scene = OfdmRadar(), Scene()
    space = Compression.of(radar, scene)
    batches = -(-frames // BATCH)
    found: dict[str, list[Array]] = {name: [] for name in KAPPAS[:2]}
    places, truth = [], []
    for sector in sectors(batches, True, seed, space, scene):
        limits = thresholds(sector, space, math.inf)
        for name, rows in found.items():
            level, place = find(sector, sector.kappa[name], space, limits.min() - 3.0)
            rows.append(level[:, None, :] >= limits[:, :, None])
            if name == KAPPAS[0]:
                places.append(place)
        truth.append(np.column_stack([sector.target, sector.rho, np.tile(limits[1], (BATCH, 1))]))
    total, true = batches * BATCH, np.concatenate(truth)
    print(f"targets: {total} frames with a target, {batches} sectors and kappas, Table I, {scene.snr_db:g} dB")
    print("kappa         search   P_fa     P_d")
    for name, rows in found.items():
        seen = np.concatenate(rows, axis=2)
        for column, search in enumerate(("grid", "refined")):
            for k, p in enumerate(LEVELS):
                count = int(seen[column, k].sum())
                low, high = interval(count, total)
                print(f"{name:13s} {search:8s} {p:<6g}   {count / total:.4f} [{low:.4f}, {high:.4f}]")
    for k, p in enumerate(LEVELS):
        print(f"closed form, known kappa, refined, without noise's own alarms, P_fa {p:g}: P_d "
              f"{detection_probability(true[:, 3 + k], scene.snr).mean():.4f}")  # fmt: skip
    positions(np.concatenate(found[KAPPAS[0]], axis=2), np.concatenate(places, axis=1), true, radar, scene)


def cartesian(place: Array) -> Array:
    """(theta, tau) as points of the plane, metres."""
    distance = SPEED_OF_LIGHT * place[..., 1] / 2
    return np.stack([distance * np.cos(place[..., 0]), distance * np.sin(place[..., 0])], axis=-1)


def positions(seen: Array, places: Array, true: Array, radar: OfdmRadar, scene: Scene) -> None:
    """Position errors of detected targets with known kappa; an inlier lies inside the main lobe's first null."""
    error = np.linalg.norm(cartesian(places) - cartesian(true[None, :, :2]), axis=-1)
    angle = np.abs(np.sin(places[..., 0]) - np.sin(true[:, 0])) <= 1 / (radar.antennas * radar.element_spacing)
    inlier = angle & (np.abs(places[..., 1] - true[:, 1]) <= 1 / radar.bandwidth)
    bound = position_bound(true[:, 2], true[:, 0], true[:, 1], radar)
    print("known kappa   search   P_fa     inlier RMSE   bound     RMSE / bound   closed form   median    outliers")
    for k, p in enumerate(LEVELS):
        closed = detected_position_bound(true[:, 3 + k], scene.snr, true[:, 0], true[:, 1], radar)
        for column, search in enumerate(("grid", "refined")):
            good = seen[column, k] & inlier[column]
            ratio, spread = ratio_of_roots(np.square(error[column, good]), np.square(bound[good]))
            root = math.sqrt(np.square(error[column, good]).mean())
            outliers, hits = int((seen[column, k] & ~inlier[column]).sum()), int(seen[column, k].sum())
            print(
                f"              {search:8s} {p:<6g}   {root:.4f} m      {root / ratio:.4f} m  {ratio:.4f} +- {spread:.4f}"
                f"   {closed:.4f} m    {np.median(error[column, seen[column, k]]):.4f} m  {outliers / hits:.4%}"
            )


def ratio_of_roots(a: Array, b: Array) -> tuple[float, float]:
    """sqrt(mean a / mean b) and its standard error, by linearisation."""
    ratio = a.mean() / b.mean()
    spread = np.std(a / b.mean() - ratio * b / b.mean()) / math.sqrt(a.size)
    return math.sqrt(ratio), spread / (2 * math.sqrt(ratio))


def main() -> int:
    """The tool; returns the exit status."""
    tables = {"alarms": (alarms, 1_000_000), "targets": (targets, 200_000)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", choices=tables, help="which one (default: both)")
    parser.add_argument("--frames", type=int, help="how many (default: 1000000 and 200000)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default: 1)")
    options = parser.parse_args()
    if options.frames is not None and options.frames < 1:
        parser.error(f"--frames: expected at least 1, got {options.frames}")

    def work() -> None:
        for name in [options.table] if options.table else tables:
            table, frames = tables[name]
            table(options.frames or frames, options.seed)

    return execute("detection_figures", work)


if __name__ == "__main__":
    sys.exit(main())
