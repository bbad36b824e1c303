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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels import (
    adam,
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
    follow,
    gains,
    health,
    impairments,
    jit,
    jumps,
    losses,
    peak,
    random,
    samples,
    search,
    simulation,
    soundness,
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


def _soundness() -> None:
    flags, one, power = frozen(np.ones(2, np.uint8)), frozen(np.ones(2)), np.ones((2, 4))
    sound, snapshot = np.empty((2, 4), np.uint8), frozen(np.ones((2, 4), np.complex64))
    samples.sample_statistics(real_view(np.ones((2, 4, 8), np.complex64)), *np.empty((3, 2, 4)))
    soundness.judge_antennas(power, sound)
    soundness.mute(np.ones((2, 4, 8), np.complex64), sound)
    soundness.judge_frames(
        flags, frozen(np.ones((4, 2))), one, one, one, snapshot, frozen(np.ones((2, 4), np.float32)),
        frozen(np.ones(4, np.complex128)), 8, 4.0, np.zeros(soundness.LATEST + 1), np.empty(2), np.empty(2, np.uint8),
    )  # fmt: skip
    soundness.judge_peaks(flags, flags, one, one, one, snapshot, np.empty(2, np.uint8))


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
    positions = frozen(_RADAR.positions)
    calibration.online_sums(u, ones, ones, ones, ones, positions, kappa, 30.0, 0.5, 1.0, sums, probability)
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
    likelihood, pending = np.zeros((grid[0].size, grid[1].size)), estimation.nothing_pending(grid[0].size, grid[1].size)
    estimation.mixture_sums(
        u, ones, ones, ones, ones, ones, kappa, 32.0, 100.0, 30.0, 0.5,
        *grid, np.zeros(2), np.empty(2), pending,
    )  # fmt: skip
    estimation.fold_likelihood(likelihood, pending, 0, 8, 100.0)
    estimation.mixture_estimate(likelihood)


def _tracking() -> None:
    n, none = 4, np.empty(0)
    rows: dict[str, NDArray[Any]] = {name: np.ones((2, n), kind) for name, kind in follow.ROWS.items()}
    seen = follow.Seen(*(frozen(rows.get(name, np.ones(2))) for name in follow.Seen._fields))
    (bank, prior), grid = drift.drift_bank(), estimation.mixture_grid()
    rules = follow.Rules(
        frozen(bank), frozen(prior), frozen(uncertainty.gauge_leverage(_RADAR)), frozen(jumps.FAST_MEMORIES),
        frozen(_RADAR.positions), frozen(none), *grid, 40.0, 1.0, 0.1, 0.5, 1.0, 32.0, False,
    )  # fmt: skip
    k, w = bank.size, jumps.FAST_MEMORIES.size
    likelihood = np.zeros((grid[0].size, grid[1].size))
    state = follow.State(*(
        np.full(follow.NUMBERS, 0.5), np.ones(n, np.complex128), *np.full((3, 2, k, n), 0.1), np.zeros((2, 2, k, n)),
        np.zeros(1), np.zeros((2, 2)), np.zeros(2), *np.zeros((2, w, 2, n)), np.zeros((w, n)), np.zeros(n, np.complex128),
        np.zeros(1), np.zeros(n, np.int64), np.ones(n), np.ones(n), np.zeros(1), np.zeros(n, np.uint8),
        np.zeros((n, n), np.complex128), np.zeros(n), np.zeros(2), np.zeros(5), np.zeros(5), np.zeros(2), likelihood,
        estimation.nothing_pending(*likelihood.shape),
    ))  # fmt: skip
    follow.follow(seen, rules, state, 0, 2, follow.room_for(1, n))
    drift.drift_estimate(state.evidence, rules.drift, rules.log_prior)
    health.cable_places(state.place, state.place_variance)
    samples.sample_statistics(real_view(np.ones((2, 4, 8), np.complex64)), *np.empty((3, 2, 4)))


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
    "soundness": _soundness,
    "detection": _detection,
    "online calibration": _online,
    "tracking": _tracking,
    "start": _start,
    "gradient descent": _descent,
    "evaluation": _evaluation,
}


BESIDE = ("peak search", "simulation")  # about half of what is to be compiled


@cache
def load(group: str) -> None:
    """Have the kernels of one group ready in this process."""
    GROUPS[group]()


def _beside(groups: tuple[str, ...]) -> subprocess.Popen[bytes] | None:
    """A process of its own that compiles some groups, where there is a core for it; what it makes is on disk for all."""
    if (os.cpu_count() or 1) < 2 or jit.is_warm():
        return None
    program = f"from isacblocks.kernels.warmup import load; [load(group) for group in {groups!r}]"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    quiet = subprocess.DEVNULL
    try:
        return subprocess.Popen([sys.executable, "-c", program], env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
    except OSError:
        return None  # then it is compiled here, like the others


def compile_all(say: Callable[[str], None]) -> None:
    """Compile every group that is not on disk yet, saying which; afterwards this version counts as warm.

    Some are compiled beside the others on a second core. Whether or not that went well, every group is loaded here in the
    end, which compiles what is missing.
    """
    helper = _beside(BESIDE)
    try:
        for number, group in enumerate(sorted(GROUPS, key=lambda name: name in BESIDE), 1):
            say(f"{number}/{len(GROUPS)} {group}")
            if group in BESIDE and helper is not None:
                helper.wait()
            load(group)
    finally:
        if helper is not None and helper.poll() is None:
            helper.kill()
            helper.wait()
    jit.mark_warm()
