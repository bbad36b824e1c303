"""The tracker's whole work on a message in one call: what every frame says, and every update that becomes full.

Between calls of kernels a thread needs the interpreter, and in a flowgraph of threads it waits for it: one call a message
is several times quicker than twenty an update. Nothing is computed here that scores.py, estimation.py, calibration.py,
advance.py and health.py do not say; this is the order in which they are used.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.advance import advance
from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.calibration import (
    best_slope,
    fold_slope,
    rotate,
    slope_information_sums,
    slope_likelihood_ula,
    slope_spread,
)
from isacblocks.kernels.drift import drift_estimate
from isacblocks.kernels.errors import steepest_ramp
from isacblocks.kernels.estimation import fold_likelihood, mixture_sums, mixture_top
from isacblocks.kernels.gains import moved_gains
from isacblocks.kernels.health import cable_places, follow_suspects, health_codes, place_sums, running_mean
from isacblocks.kernels.jit import jit_exact, jit_within
from isacblocks.kernels.scores import GAIN, PHASE, score_sums
from isacblocks.kernels.uncertainty import deviations

SURROUNDINGS_MEMORY = 4000.0  # frames over which SNR, P(t = 1) and N0 are followed
_EVIDENCE = 16000.0  # frames over which evidence about the drift is kept
_SETTLED = 0.04  # rad^2: an antenna less certain than this says nothing about the drift
_SHARED = 200.0  # frames over which shared largest values are averaged
_EXCESS_MEMORY = 4000.0  # frames over which the scores' scatter is compared with theory
_EXCESS_BELIEF = 40.0  # targets that theory is worth before that
_EXCESS_LEAST = 2.0  # less is what the search adds, or chance, and does no harm

# The numbers of a state, by their places in State.numbers
CONFIDENCE, EXCESS, PENDING, TARGETS, SLOPE, SNR, PRIOR, NOISE_POWER, FRAMES = range(9)
NUMBERS = 9


class Seen(NamedTuple):
    """Usable frames, read-only: one value, or a row of N, for each."""

    snapshot: Complex
    symbol_energy: Float
    noise_power: Float
    theta: Float
    theta_min: Float
    theta_max: Float
    extent_1: Float
    extent_2: Float
    straddle: Float
    antenna_power: NDArray[np.float32]
    antenna_shared: NDArray[Any]


# Fields of Seen with a row for each frame
ROWS: dict[str, type] = {"snapshot": np.complex128, "antenna_power": np.float32, "antenna_shared": np.float32}


class Rules(NamedTuple):
    """What does not change, read-only. worth: of slope_worth() at an SNR of 1; slopes (B,): none where none is estimated."""

    drift: Float
    log_prior: Float
    leverage: Float
    memories: Float
    positions: Float
    slopes: Float
    snr_grid: Float
    prior_grid: Float
    threshold: float  # of jumps
    variance: float  # prior of the phases, rad^2
    deviation: float  # prior of the slope
    pitch: float
    worth: float
    cells: float  # N S
    told: bool  # SNR, P(t = 1) and N0 are not estimated


class State(NamedTuple):
    """All that the tracker remembers, changed in place; see tracking.py, jumps.py, health.py, estimation.py."""

    numbers: Float
    kappa: Complex
    offset: Float
    variance: Float
    evidence: Float
    held: Float
    held_information: Float
    score_noise: Float
    excess_sums: Float
    fast: Float
    fast_variance: Float
    gathered: Float
    score: Complex
    information: Float
    jumps: NDArray[np.int64]
    power: Float
    shared: Float
    shared_frames: Float
    suspect: NDArray[np.uint8]
    place: Complex
    place_variance: Float
    slope_information: Float
    slope_likelihood: Float
    slope_pending: Float
    noise: Float
    likelihood: Float
    pending: Float


class Made(NamedTuple):
    """The estimates of the updates that became full: a row or a value for each."""

    kappa: Complex
    sent: Complex
    sigma: Float
    gain_sigma: Float
    health: NDArray[np.uint8]
    slope: Float
    slope_sigma: Float
    targets: Float
    snr: Float
    target_probability: Float
    noise_power: Float


def room_for(updates: int, antennas: int) -> Made:
    """Arrays for the estimates of so many updates."""
    rows, values = (updates, antennas), [np.empty(updates) for _ in range(6)]
    matrices: list[NDArray[Any]] = [np.empty(rows, np.complex128), np.empty(rows, np.complex128)]
    return Made(matrices[0], matrices[1], np.empty(rows), np.empty(rows), np.empty(rows, np.uint8), *values)


@jit_within
def _gather(seen: Seen, first: int, last: int, rules: Rules, state: State, probability: Float) -> None:
    """Add what frames first .. last - 1 say to the sums of the update that is being filled."""
    numbers, kappa = state.numbers, state.kappa
    snapshot, energy = seen.snapshot[first:last], seen.symbol_energy[first:last]
    extent_1, extent_2, p = seen.extent_1[first:last], seen.extent_2[first:last], probability[first:last]
    if not rules.told:
        if math.isnan(numbers[NOISE_POWER]):
            numbers[NOISE_POWER] = seen.noise_power[first]
        mixture_sums(
            snapshot, energy, seen.noise_power[first:last], extent_1, extent_2, seen.straddle[first:last], kappa,
            rules.cells, SURROUNDINGS_MEMORY, numbers[SNR], numbers[PRIOR], rules.snr_grid, rules.prior_grid, state.noise, p,
            state.pending,
        )  # fmt: skip
    snr, prior, noise_power = numbers[SNR], numbers[PRIOR], numbers[NOISE_POWER]
    theta, low, high = seen.theta[first:last], seen.theta_min[first:last], seen.theta_max[first:last]
    score_sums(
        snapshot, energy, theta, extent_1, extent_2, rules.positions, kappa, snr, prior, noise_power, state.score,
        state.information, p,
    )  # fmt: skip
    for f in range(last - first):  # one after the other: the same bits however the frames came
        numbers[PENDING] += p[f]
    if rules.slopes.size:
        slope_likelihood_ula(
            snapshot, energy, theta, low, high, extent_2, p, kappa, rules.pitch, snr, prior, noise_power, rules.slopes,
            state.slope_pending,
        )  # fmt: skip
        slope_information_sums(low, high, rules.worth * math.sqrt(snr), state.slope_information)
    for n in range(kappa.size):
        state.power[n] = seen.antenna_power[last - 1, n]
    running_mean(seen.antenna_shared[first:last], _SHARED, state.shared, state.shared_frames)
    place_sums(
        snapshot, energy, theta, p, kappa, noise_power, rules.positions, state.suspect, state.place, state.place_variance
    )


@jit_within
def _settle(rules: Rules, state: State) -> None:
    """A start that is worth some frames makes the prior as narrow as they would."""
    confidence, snr = state.numbers[CONFIDENCE], state.numbers[SNR]
    if confidence > 0.0:
        information = confidence * 2.0 * snr**2 / (state.kappa.size * (1.0 + snr))
        for c in range(state.variance.shape[0]):
            for k in range(state.variance.shape[1]):
                for n in range(state.variance.shape[2]):
                    state.variance[c, k, n] /= 1.0 + information * state.variance[c, k, n]
        state.numbers[CONFIDENCE] = 0.0


@jit_within
def _measure_excess(rules: Rules, state: State, frames: float, seen: float) -> None:
    """By what the scores' variance exceeds theory: echoes that are not one plane wave make it large at high SNR."""
    keep, weight, sums = math.exp(-frames / _EXCESS_MEMORY), state.numbers[PENDING], state.excess_sums
    sums[0] = keep * sums[0] + weight * seen
    sums[1] = keep * sums[1] + weight
    before, now = state.numbers[EXCESS], (sums[0] + _EXCESS_BELIEF) / (sums[1] + _EXCESS_BELIEF)
    now = now if now > _EXCESS_LEAST else 1.0
    state.numbers[EXCESS] = now
    if now != before:  # what was learned so far is worth as much more, or less
        for c in range(state.variance.shape[0]):
            for k in range(state.variance.shape[1]):
                for n in range(state.variance.shape[2]):
                    state.variance[c, k, n] = min(state.variance[c, k, n] * (now / before), rules.variance)


@jit_within
def _track(rules: Rules, state: State, frames: float) -> None:
    """The filters' step and the jumps. Scores with r times the variance of theory carry 1 / r of the information."""
    excess, jumped = state.numbers[EXCESS], np.empty(state.kappa.size, np.uint8)
    for n in range(state.kappa.size):
        state.score[n] /= excess
    scatter = advance(
        state.score, state.information[0] / excess, frames, rules.drift, rules.log_prior, rules.leverage, _SETTLED,
        _EVIDENCE, rules.memories, rules.threshold, rules.variance, state.kappa, state.offset, state.variance,
        state.evidence, state.held, state.held_information, state.score_noise, state.fast, state.fast_variance,
        state.gathered, jumped,
    )  # fmt: skip
    for n in range(state.kappa.size):
        state.jumps[n] += jumped[n]
    if not math.isnan(scatter):
        _measure_excess(rules, state, frames, scatter * excess)


@jit_within
def _slope_memory(rules: Rules, state: State) -> float:
    """Frames after which the slope of drifting phases is better seen anew: sqrt(v / q) of the slope."""
    antennas = float(state.kappa.size)
    drift = drift_estimate(state.evidence, rules.drift, rules.log_prior)[PHASE]
    drift *= 12.0 / (antennas * (antennas**2 - 1.0))
    each = state.slope_information[0] / max(state.slope_information[1], 1.0) * state.numbers[PRIOR]
    return 1.0 / math.sqrt(drift * each) if drift * each > 0.0 else math.inf


@jit_within
def _turn(rules: Rules, state: State, before: Complex, keep: float) -> None:
    """The slope's posterior with what the frames added, and kappa turned to its top."""
    antennas = state.kappa.size
    fold_slope(state.slope_likelihood, state.slope_pending, rules.slopes, state.numbers[SLOPE], keep)
    product = np.empty(antennas, np.complex128)
    for n in range(antennas):
        product[n] = state.kappa[n] * before[n].conjugate()
    here = state.numbers[SLOPE] + steepest_ramp(product)[0]
    state.numbers[SLOPE] = best_slope(rules.slopes, state.slope_likelihood, rules.deviation)
    rotate(state.kappa, state.numbers[SLOPE] - here)


@jit_within
def _renew(rules: Rules, state: State, count: int) -> None:
    """The update is full, of `count` frames: filters, jumps, slope, suspects, surroundings."""
    numbers, frames, before = state.numbers, float(count), state.kappa.copy()
    _settle(rules, state)
    _track(rules, state, frames)
    if rules.slopes.size:
        _turn(rules, state, before, math.exp(-frames / _slope_memory(rules, state)))
    follow_suspects(state.kappa, state.suspect, state.place, state.place_variance)
    if not rules.told:
        fold_likelihood(state.likelihood, state.pending, int(numbers[FRAMES]), count, SURROUNDINGS_MEMORY)
        numbers[FRAMES] += frames
        numbers[SNR], numbers[PRIOR] = mixture_top(state.likelihood)
        numbers[NOISE_POWER] = state.noise[0]
    numbers[TARGETS] += numbers[PENDING]
    numbers[PENDING] = 0.0
    for n in range(state.kappa.size):
        state.score[n] = 0.0
    state.information[0] = 0.0


@jit_within
def _tell(rules: Rules, state: State, u: int, made: Made) -> bool:
    """What the state says now, to row u; False where kappa has no norm."""
    antennas, norm = state.kappa.size, 0.0
    for n in range(antennas):
        norm += state.kappa[n].real ** 2 + state.kappa[n].imag ** 2
    if not (math.isfinite(norm) and norm > 0.0):
        return False
    kappa = state.kappa * math.sqrt(antennas / norm)
    sigma = deviations(kappa, state.offset, state.variance, state.evidence, rules.log_prior, rules.leverage)
    places = cable_places(state.place, state.place_variance)
    made.kappa[u] = kappa
    made.sigma[u] = sigma[PHASE]
    made.gain_sigma[u] = sigma[GAIN]
    made.health[u] = health_codes(kappa, sigma, state.power, state.shared, places)
    made.sent[u] = moved_gains(kappa, sigma[GAIN] * sigma[GAIN], math.nan)
    made.slope[u] = state.numbers[SLOPE]
    made.slope_sigma[u] = math.nan
    if rules.slopes.size:
        made.slope_sigma[u] = slope_spread(rules.slopes, state.slope_likelihood, rules.deviation)
    made.targets[u] = state.numbers[TARGETS]
    made.snr[u] = state.numbers[SNR]
    made.target_probability[u] = state.numbers[PRIOR]
    made.noise_power[u] = state.numbers[NOISE_POWER]
    return True


@jit_exact
def follow(seen: Seen, rules: Rules, state: State, filled: int, batch: int, made: Made) -> int:
    """Add the frames to the state and make every update that becomes full, a row of `made` each.

    filled: frames already in the update that is being filled, of `batch`; where there are `batch` of them and no frames,
    that update is made; batch 0: nothing is added, the first row says what the state says now. Returns how many rows were
    made, -1 where kappa has no norm.
    """
    count, done, updates = seen.symbol_energy.size, 0, 0
    probability = np.empty(count)
    while done < count or filled == batch:
        if batch > 0:
            part = min(count - done, batch - filled)
            if part > 0:
                _gather(seen, done, done + part, rules, state, probability)
            done, filled = done + part, filled + part
            if filled == batch:
                _renew(rules, state, batch)
        if filled == batch:
            if not _tell(rules, state, updates, made):
                return -1
            filled, updates = 0, updates + 1
            if batch == 0:
                break
    return updates
