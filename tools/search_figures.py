#!/usr/bin/env python3
"""Prints how far the search in single precision agrees with double: python tools/search_figures.py agreement --frames 100000

agreement  Table I frames, kappa^(0) = 1 in every second hundred: places that differ from those of the literal sums in double
           precision, near ties that were decided in double, the largest error of a map relative to its peak. Compressed
           frames are compared with the literal sums over the same compressed frames.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isacblocks import OfdmRadar, Scene
from isacblocks.cli.script import execute
from isacblocks.kernels.compressed_peak import search_compressed_literally
from isacblocks.kernels.compression import compressed
from isacblocks.kernels.delay_basis import Compressed, delay_basis
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.peak import TIE, search_literally
from isacblocks.kernels.search import search, search_compressed
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames

RADAR, SCENE, POINTS = OfdmRadar(), Scene(), 100
CHUNK = 100  # frames at a time: their maps in both precisions stay in memory


@dataclass
class Agreement:
    """frames: looked at; other_places: of the map's largest point, stored or not; near_ties: frames with other points
    within TIE of it; map_error: largest, relative to the map's peak."""

    frames: int = 0
    other_places: int = 0
    near_ties: int = 0
    map_error: float = 0.0


def agreement(frames: int, seed: int = 0, compressed_frames: bool = False) -> Agreement:
    """The fast search against the literal one in double precision over Table I frames."""
    found = Agreement()
    kappa = draw_impairments("table1", RADAR.antennas, seed)
    window = SCENE.delay_window(RADAR)
    basis = delay_basis(RADAR, *window)
    tau = np.linspace(*window, POINTS)[None]
    single, double = (np.empty((CHUNK, POINTS, POINTS), kind) for kind in (np.float32, np.float64))
    for first in range(0, frames, CHUNK):
        count = min(CHUNK, frames - first)
        truth, x = draw_scene(seed, first, count, RADAR, SCENE), draw_symbols(seed, first, count, RADAR)
        y = simulate_frames(x, truth.gamma, kappa, truth.theta, truth.tau, RADAR, seed=seed, first=first)
        theta = truth.theta_min[:, None] + (truth.theta_max - truth.theta_min)[:, None] * np.linspace(0, 1, POINTS)
        assumed = np.ones(RADAR.antennas, complex) if first // CHUNK % 2 else kappa.astype(complex)
        maps, exact = single[:count], double[:count]
        if compressed_frames:
            g = compressed(y, x, basis)
            fast = search_compressed(g, basis, assumed, theta, tau, maps=maps)
            unstored = search_compressed(g, basis, assumed, theta, tau)
            doubled = Compressed(g.g.astype(complex), g.energy, g.symbol_energy)
            literal = search_compressed_literally(doubled, basis, assumed, theta, tau, maps=exact)
        else:
            fast = search(y, x, assumed, theta, tau, RADAR, maps=maps)
            unstored = search(y, x, assumed, theta, tau, RADAR)
            literal = search_literally(y.astype(complex), x.astype(complex), assumed, theta, tau, RADAR, False, exact)
        top = exact.max(axis=(1, 2))
        found.frames += count
        found.other_places += int(((fast.index != literal.index) | (unstored.index != literal.index)).any(axis=1).sum())
        close = maps >= maps.max(axis=(1, 2), keepdims=True) * np.float32(1 - TIE)
        found.near_ties += int((close.sum(axis=(1, 2)) > 1).sum())
        found.map_error = max(found.map_error, float((np.abs(maps - exact).max(axis=(1, 2)) / top).max()))
    return found


def print_agreement(frames: int, seed: int) -> None:
    """The figures of :func:`agreement`."""
    for name, pressed in (("whole frames", False), ("compressed frames", True)):
        found = agreement(frames, seed, pressed)
        print(
            f"{name}: {found.frames} searched, {found.other_places} places differ from double precision, near ties in "
            f"{found.near_ties}, largest error of a map {found.map_error:.2e} of its peak",
            flush=True,
        )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", nargs="?", choices=["agreement"], default="agreement")
    parser.add_argument("--frames", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    return execute("search figures", lambda: print_agreement(options.frames, options.seed))


if __name__ == "__main__":
    sys.exit(main())
