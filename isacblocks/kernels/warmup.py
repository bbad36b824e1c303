"""Loading the compiled kernels, or compiling them where this version has never run on this machine.

A kernel is compiled for the types it is first called with; the small calls below use the types of the blocks. `load` is
called by every block before it starts, so that no kernel is compiled in the middle of a stream.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache

import numpy as np

from isacblocks.kernels import (
    adam,
    advance,
    calibration,
    compressed_peak,
    compressed_simulation,
    compression,
    decision,
    delay_basis,
    detection,
    drift,
    errors,
    estimation,
    gains,
    health,
    impairments,
    jit,
    jumps,
    losses,
    peak,
    random,
    samples,
    scores,
    search,
    simulation,
    start,
    tally,
    uncertainty,
)
from isacblocks.kernels.arrays import frozen, real_view
from isacblocks.radar import OfdmRadar, Scene

_RADAR = OfdmRadar(antennas=4, subcarriers=8)
_LOW, _HIGH = np.full(2, -0.1), np.full(2, 0.1)


def _simulation() -> None:
    scene = simulation.draw_scene(0, 0, 2, _RADAR, Scene())
    symbols = simulation.draw_symbols(0, 0, 2, _RADAR)
    simulation.simulate_frames(symbols, scene.gamma, np.ones(4), scene.theta, scene.tau, _RADAR)
    basis = delay_basis.delay_basis(_RADAR, *Scene().delay_window(_RADAR))
    compressed_simulation.simulate_compressed(scene, np.ones(4), basis)
    compressed_simulation.off_circle(real_view(symbols), 1e-5)
    compressed_simulation.antenna_powers(real_view(np.ones((2, 4, 3), np.complex64)), np.empty((2, 4), np.float32))
    impairments.walk_steps(np.uint64(0), np.uint64(0), 0.1, np.empty((2, 4), np.float32))
    random.uniforms(np.uint64(0), random.STREAM_IMPAIRMENTS, np.uint64(0), np.empty(4))


def _peaks() -> None:
    symbols = np.ones((2, 8), np.complex64)
    frames = np.ones((2, 4, 8), np.complex64)
    grids = np.stack([_LOW, _HIGH], axis=1), np.array([[1e-7, 2e-7]])
    kappa = np.ones(4, np.complex128)
    search.search(frames, symbols, kappa, *grids, _RADAR)
    peak.search_literally(frames, symbols, kappa, *grids, _RADAR, False)
    basis = delay_basis.delay_basis(_RADAR, *Scene().delay_window(_RADAR))
    compressed = compression.compressed(frames, symbols, basis)
    search.search_compressed(compressed, basis, kappa, *grids)
    compressed_peak.search_compressed_literally(compressed, basis, kappa, *grids)


def _compression() -> None:
    basis = delay_basis.delay_basis(_RADAR, *Scene().delay_window(_RADAR))
    compression.compressed(np.ones((2, 4, 8), np.complex64), np.ones((2, 8), np.complex64), basis)


def _detection() -> None:
    extents = detection.angle_extent(_LOW, _HIGH, _RADAR), np.full(2, 20.0)
    detection.window_thresholds(1e-2, *extents, 100, 100)
    detection.target_probabilities(frozen(np.ones(2)), frozen(extents[0]), frozen(extents[1]), 30.0, 0.5, np.empty(2))
    sector = {"theta_min": _LOW, "theta_max": _HIGH, "tau_min": np.zeros(2), "tau_max": np.full(2, 1e-7)}
    one, number = frozen(np.ones((2, 1))), frozen(np.ones(2))
    decision.decide(
        one, frozen(np.ones((2, 1), complex)), one, one, frozen(np.ones(2, np.uint8)), number, number,
        detection.windows(sector, _RADAR, 100, 100), number, 4, 1.0, 30.0, 0.5,
        np.empty((2, 1), np.uint8), np.empty((3, 2, 1)), np.empty((2, 1), complex), np.empty((2, 1, 2)),
    )  # fmt: skip


def _online() -> None:
    u, ones, kappa = frozen(np.ones((2, 4), np.complex128)), frozen(np.ones(2)), frozen(np.ones(4, np.complex128))
    sums, probability, slopes = np.zeros(4, np.complex128), np.empty(2), np.linspace(-0.1, 0.1, 5)
    calibration.online_sums(u, ones, ones, ones, kappa, 30.0, 0.5, 1.0, sums, probability)
    sector = frozen(_LOW), frozen(_HIGH)
    calibration.slope_likelihood_ula(
        u, ones, ones, *sector, ones, frozen(probability), kappa, 0.5, 30.0, 0.5, 1.0, frozen(slopes), np.zeros(5)
    )
    calibration.rotate(sums, 0.1)
    even, seen = frozen(np.linspace(-0.1, 0.1, 5)), np.zeros(5)
    calibration.fold_slope(seen, np.zeros(5), even, 0.0, 1.0)
    calibration.best_slope(even, frozen(seen), 0.1)
    calibration.slope_spread(even, frozen(seen), 0.1)
    errors.best_ramp(np.ones(4, np.complex128))
    gains.shrink_gains(kappa, 0.1)
    detection.windows({"theta_min": _LOW, "theta_max": _HIGH, "tau_min": _LOW, "tau_max": _HIGH}, _RADAR, 100, 100)
    grid = estimation.mixture_grid()
    likelihood = np.zeros((grid[0].size, grid[1].size))
    estimation.mixture_sums(
        u, ones, ones, ones, ones, ones, kappa, 32.0, 100.0, 30.0, 0.5,
        *grid, np.zeros(2), np.empty(2), likelihood,
    )  # fmt: skip
    estimation.fold_likelihood(likelihood, np.zeros_like(likelihood), 0, 8, 100.0)
    estimation.mixture_estimate(likelihood)


def _tracking() -> None:
    u, ones, kappa = frozen(np.ones((2, 4), np.complex128)), frozen(np.ones(2)), frozen(np.ones(4, np.complex128))
    score, information, probability = np.zeros(4, np.complex128), np.zeros(1), np.empty(2)
    scores.score_sums(u, ones, ones, ones, kappa, 30.0, 0.5, 1.0, score, information, probability)
    (bank, prior), leverage = drift.drift_bank(), frozen(uncertainty.gauge_leverage(_RADAR))
    offset, variance, evidence = np.full((3, 2, bank.size, 4), 0.1)
    held = np.zeros((2, 2, bank.size, 4))
    moved = np.ones(4, np.complex128)
    memories, flags = frozen(jumps.FAST_MEMORIES), np.empty(4, np.uint8)
    fast, fast_variance, gathered = np.zeros((3, 2, 4)), np.zeros((3, 2, 4)), np.zeros((3, 4))
    bank, prior = frozen(bank), frozen(prior)
    advance.advance(
        score, 1.0, 2.0, bank, prior, leverage, 0.04, 1000.0, memories, 40.0, 1.0, moved, offset, variance, evidence, held,
        np.zeros(1), np.zeros((2, 2)), fast, fast_variance, gathered, flags,
    )  # fmt: skip
    drift.drift_estimate(evidence, bank, prior)
    sigma = uncertainty.deviations(moved, offset, variance, evidence, prior, leverage)
    calibration.slope_information_sums(frozen(_LOW), frozen(_HIGH), 1.0, np.zeros(2))
    samples.sample_statistics(real_view(np.ones((2, 4, 8), np.complex64)), *np.empty((3, 2, 4)))
    health.running_mean(frozen(np.ones((2, 4), np.float32)), 100.0, np.zeros(4), np.zeros(1))
    positions, place = frozen(_RADAR.positions), np.zeros((4, 4), np.complex128)
    health.place_sums(u, ones, ones, frozen(probability), kappa, 1.0, positions, flags, place, np.zeros(4))
    health.follow_suspects(moved, flags, place, np.zeros(4))
    places = health.cable_places(place, np.zeros(4))
    health.health_codes(moved, sigma, np.ones(4), np.ones(4), places)


def _start() -> None:
    scene = simulation.draw_scene(0, 0, 8, _RADAR, Scene())
    basis = delay_basis.delay_basis(_RADAR, *Scene().delay_window(_RADAR))
    frames = compressed_simulation.simulate_compressed(scene, np.ones(4), basis)
    start.full_circle_start(frames, basis, scene.theta_min, scene.theta_max, noise_power=1.0)


def _descent() -> None:
    u, ones, kappa = frozen(np.ones((2, 4), np.complex128)), frozen(np.ones(2)), frozen(np.ones(4, np.complex128))
    gradient = np.zeros(4, np.complex128)
    losses.max_gradient(u, kappa, np.zeros(1), gradient)
    losses.reconstruction_gradient(u, ones, ones, kappa, 30.0, np.zeros(1), gradient)
    adam.adam_step(np.ones(4, np.complex128), frozen(gradient), np.zeros(4, complex), np.zeros((4, 2)), 1, 0.01, False)


def _evaluation() -> None:
    flags, one = frozen(np.ones(2, np.uint8)), frozen(np.ones(2))
    sums = np.zeros((2, 4), np.int64), np.zeros(2), np.zeros(2, np.int64), np.zeros((4, 2))
    tally.tally(flags, flags, flags, frozen(np.ones((2, 2))), one, one, one, one, 0.1, 1e-7, 1000, *sums)
    errors.best_ramp(np.ones(4, np.complex128))


GROUPS: dict[str, Callable[[], None]] = {
    "simulation": _simulation,
    "peak search": _peaks,
    "compression": _compression,
    "detection": _detection,
    "online calibration": _online,
    "tracking": _tracking,
    "start": _start,
    "gradient descent": _descent,
    "evaluation": _evaluation,
}


LONGEST = "peak search"  # to compile: two fifths of all


@cache
def load(group: str) -> None:
    """Have the kernels of one group ready in this process."""
    GROUPS[group]()


def _beside(group: str) -> subprocess.Popen[bytes] | None:
    """A process of its own that compiles one group, where there is a core for it; what it makes is on disk for all."""
    if (os.cpu_count() or 1) < 2 or jit.is_warm():
        return None
    program = f"from isacblocks.kernels.warmup import load; load({group!r})"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    quiet = subprocess.DEVNULL
    try:
        return subprocess.Popen([sys.executable, "-c", program], env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
    except OSError:
        return None  # then it is compiled here, like the others


def compile_all(say: Callable[[str], None]) -> None:
    """Compile every group that is not on disk yet, saying which; afterwards this version counts as warm.

    The longest one is compiled beside the others on a second core. Whether or not that went well, every group is loaded
    here in the end, which compiles what is missing.
    """
    helper = _beside(LONGEST)
    try:
        for number, group in enumerate(sorted(GROUPS, key=lambda name: name == LONGEST), 1):
            say(f"{number}/{len(GROUPS)} {group}")
            if group == LONGEST and helper is not None:
                helper.wait()
            load(group)
    finally:
        if helper is not None and helper.poll() is None:
            helper.kill()
            helper.wait()
    jit.mark_warm()
