#!/usr/bin/env python3
"""How long a simulated frame takes, and a step of training, in microseconds of one core, beside numpy's noise generator.

python tools/benchmarks/simulation.py [--rounds 20] [--least 0.03] [NAME ...]

All cases take their turn in every round, so that whatever disturbs the machine meets all of them. A case is a function that
makes some frames and returns how many; times are those of the thread, not of the clock on the wall.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from isacblocks import OfdmRadar, Scene
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.normals import normals
from isacblocks.kernels.random import STREAM_NOISE
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.study.case import Case, Training
from isacblocks.study.training import Descent

Run = Callable[[], int]

SEED = 1
YARDSTICK = "numpy noise"
FULL, COMPRESSED = 16, 128  # frames in a message of about two megabytes
BATCH = 256


class Items:
    """Counts the items a case has drawn, so that no two runs draw the same."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.first = 0

    def next(self) -> int:
        """The first of the next `size`."""
        self.first += self.size
        return self.first - self.size


def cases(radar: OfdmRadar | None = None, scene: Scene | None = None) -> dict[str, Run]:
    """Every case by its name: a function that makes frames and returns how many. Table I where nothing else is given."""
    radar, scene = radar or OfdmRadar(), scene or Scene()
    numbers = 2 * radar.antennas * radar.subcarriers  # real ones in a frame's noise
    basis = delay_basis(radar, *scene.delay_window(radar))
    generator, noise = np.random.default_rng(SEED), np.empty(numbers, np.float32)
    kappa = np.exp(1j * np.arange(COMPRESSED)[:, None] * np.linspace(0, 1, radar.antennas))  # one per frame, as with drift
    x = draw_symbols(SEED, 0, FULL, radar)
    items = {name: Items(size) for name, size in (("noise", 1), ("full", FULL), ("compressed", COMPRESSED))}

    def numpy_noise() -> int:
        generator.standard_normal(numbers, np.float32)
        return 1

    def our_noise() -> int:
        normals(np.uint64(SEED), STREAM_NOISE, np.uint64(items["noise"].next()), 0.7, noise)
        return 1

    def full() -> int:
        first = items["full"].next()
        truth = draw_scene(SEED, first, FULL, radar, scene)
        simulate_frames(x, truth.gamma, kappa[:FULL], truth.theta, truth.tau, radar, seed=SEED, first=first)
        return FULL

    def compressed() -> int:
        first = items["compressed"].next()
        simulate_compressed(draw_scene(SEED, first, COMPRESSED, radar, scene), kappa, basis, seed=SEED, first=first)
        return COMPRESSED

    def symbols() -> int:
        draw_symbols(SEED, 0, COMPRESSED, radar)
        return COMPRESSED

    made = {YARDSTICK: numpy_noise, "noise": our_noise, "full frames": full, "compressed frames": compressed}
    return (
        made | {"symbols": symbols} | {f"training, {name}": training(radar, scene, name) for name in ("full", "compressed")}
    )


def training(radar: OfdmRadar, scene: Scene, simulation: str) -> Run:
    """A step of Algorithm 1 on one thread: simulation, search, gradient of eq. (14), Adam."""
    descent = Descent(Training(Case(radar=radar, scene=scene), "max", batch=BATCH, simulation=simulation))

    def run() -> int:
        descent.step()
        return BATCH

    return run


def measure(chosen: dict[str, Run], rounds: int, least: float) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Microseconds a frame, by case, one value for each round of at least `least` seconds."""
    times = {name: np.empty(rounds) for name in chosen}
    for run in chosen.values():
        run()
    for r in range(rounds):
        for name, run in chosen.items():
            frames, begin = 0, time.thread_time()
            while True:
                frames += run()
                spent = time.thread_time() - begin
                if spent >= least:
                    break
            times[name][r] = 1e6 * spent / frames
    return times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases, by default all")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--least", type=float, default=0.03, help="seconds a case runs in a round, at least")
    options = parser.parse_args()
    everything = cases()
    unknown = [name for name in options.names if name not in everything]
    if unknown or options.rounds < 1:
        parser.error(
            f"expected names among {', '.join(everything)} and rounds of at least 1, got {unknown}, {options.rounds}"
        )
    names = dict.fromkeys([YARDSTICK, *(options.names or everything)])
    times = measure({name: everything[name] for name in names}, options.rounds, options.least)
    print(f"{'us a frame':24} {'min':>8} {'median':>8} {'frames/s':>10}   {YARDSTICK} over it (median, 10 and 90 %)")
    for name, values in times.items():
        low, middle, high = np.quantile(times[YARDSTICK] / values, (0.1, 0.5, 0.9))
        median = float(np.median(values))
        print(f"{name:24} {values.min():8.2f} {median:8.2f} {1e6 / median:10.0f}   {middle:7.1f} ({low:.1f} - {high:.1f})")


if __name__ == "__main__":
    main()
