"""Which antennas' samples and which frames can be used: judged by sums that are made anyway.

An antenna's mean of |Y_ns|^2 is finite where all its samples are. Its samples are refused where that is not so, where single
precision would not carry them through the search, or where they are `_LOUD` times those of the others' median; an antenna
without samples is dark. A frame is refused where more than half of its antennas are dark or refused, where its symbols,
sector or sums are not numbers, or where it holds a burst of interference:

    r = (||Y||^2 - ||u||^2 / ||x||^2) / (N' (S - 1)),

N' the sound antennas, is the noise and whatever is not at the peak's delay. It does not depend on kappa, so that an echo
that kappa does not focus yet is not taken for a burst. A frame whose r is above b r' for more than half of the r' of the
latest frames before it is one. Derived in docs/maths.md, section 4a.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.median import median

Flags = NDArray[np.uint8]

USABLE, MARKED, BROKEN, DARK, BURST = 0, 1, 2, 3, 4
REASONS = ("usable", "marked invalid", "not numbers", "too few antennas", "interference")  # the names of the codes

LATEST = 33  # frames with which a frame's r is compared
REFUSED = math.inf  # the power that stands for an antenna whose samples are not used
_FAINTEST, _STRONGEST = 1e-30, 1e24  # of |Y|^2: from |s|^2 down to products of two samples, single precision takes them
_LOUD = 30.0
_STRADDLE = 0.1  # of the peak's energy: what a peak between two delays of the grid may leave
_ROUNDING = 1e-15  # of ||Y||^2, per sample: what is left of a frame without noise in single precision
_UNFOCUSED = 2.0  # times r: what kappa leaves of an echo, and not noise


@jit_exact
def judge_antennas(power: Float, sound: Flags) -> int:
    """Judge every antenna of F frames by its `power` (F, N): `sound` (F, N) becomes 1 or 0.

    The power of a dark antenna becomes 0, that of a refused one REFUSED. Returns how many were refused.
    """
    elements, refused = power.shape[1], 0
    for f in range(power.shape[0]):
        low, high = math.inf, 0.0
        for n in range(elements):
            p = power[f, n]
            sound[f, n] = 1 if _FAINTEST <= p <= _STRONGEST else 0  # false for what is not a number
            if sound[f, n]:
                low, high = min(low, p), max(high, p)
            elif 0.0 <= p < _FAINTEST:
                power[f, n] = 0.0
            else:
                power[f, n] = REFUSED
                refused += 1
        if high > _LOUD * low:
            refused += _refuse_loud(power[f], sound[f])
    return refused


@jit_exact
def _refuse_loud(power: Float, sound: Flags) -> int:
    """Refuse those that are far above the median of the sound; how many."""
    values, count, refused = np.empty(power.shape[0]), 0, 0
    for n in range(power.shape[0]):
        if sound[n]:
            values[count] = power[n]
            count += 1
    limit = _LOUD * median(values[:count])
    for n in range(power.shape[0]):
        if sound[n] and power[n] > limit:
            power[n], sound[n] = REFUSED, 0
            refused += 1
    return refused


@jit_exact
def mute(y: Complex, sound: Flags) -> None:
    """Zeros, in place, for the samples (F, N or more, S) of antennas that are not sound (F, N)."""
    for f in range(y.shape[0]):
        for n in range(sound.shape[1]):
            if not sound[f, n]:
                y[f, n, :] = 0.0


@jit_exact
def sound_power(power: NDArray[np.float32], kappa: Complex, f: int) -> tuple[int, float]:
    """How many antennas of frame f are sound, by their judged `power` (F, N), and sum |kappa_n|^2 over them."""
    live, weight = 0, 0.0
    for n in range(kappa.shape[0]):
        if 0.0 < power[f, n] < math.inf:
            live += 1
            weight += kappa[n].real * kappa[n].real + kappa[n].imag * kappa[n].imag
    return live, float(kappa.shape[0]) if live == kappa.shape[0] else weight


@jit_exact
def _is_burst(rest: float, ratio: float, latest: Float, seen: float) -> bool:
    """Whether `rest` is above `ratio` times more than half of the latest; it takes its place among them."""
    count, above = int(min(seen, float(LATEST))), 0
    for k in range(count):
        above += rest > ratio * latest[k]
    latest[int(seen) % LATEST] = rest
    return 2 * above > count


@jit_exact
def judge_frames(
    valid: Flags,
    sector: Float,
    energy: Float,
    symbol_energy: Float,
    statistic: Float,
    snapshot: Complex,
    power: NDArray[np.float32],
    kappa: Complex,
    carriers: int,
    ratio: float,
    latest: Float,
    noise_power: Float,
    reason: Flags,
) -> None:
    """Judge F frames: the code of each to `reason` (F,), and N0 from what its peak leaves to `noise_power` (F,).

    valid (F,): 0 where a frame came so marked; sector (4, F): its limits; energy ||Y||^2, symbol_energy ||x||^2, statistic
    |s|^2 (F,); snapshot u (F, N); power (F, N) as :func:`judge_antennas` left it; kappa (N,), with which s was made;
    ratio: b above; latest (LATEST + 1,): the latest r, and how many there have been, in place.
    N0 = (||Y||^2 - |s|^2 / (||x||^2 sum |kappa_n|^2)) / (N' S - 1), sums over the sound antennas, or r where that is more
    than twice r: then kappa leaves more of the echo than there is noise.
    """
    for f in range(energy.shape[0]):
        noise_power[f] = 0.0
        live, weight = sound_power(power, kappa, f)
        numbers = energy[f] + symbol_energy[f] + statistic[f] + sector[0, f] + sector[1, f] + sector[2, f] + sector[3, f]
        square = 0.0
        for n in range(kappa.shape[0]):
            u = snapshot[f, n]
            square += np.float64(u.real) * np.float64(u.real) + np.float64(u.imag) * np.float64(u.imag)
        if valid[f] == 0:
            reason[f] = MARKED
        elif not (math.isfinite(numbers + square) and symbol_energy[f] > 0.0):
            reason[f] = BROKEN
        elif 2 * live < kappa.shape[0] or not energy[f] > 0.0:
            reason[f] = DARK
        else:
            reason[f] = USABLE
            noise = (energy[f] - statistic[f] / (max(weight, 1e-300) * symbol_energy[f])) / max(live * carriers - 1, 1)
            if carriers > 1:
                peak = square / symbol_energy[f]
                rest = max(energy[f] - peak, 0.0) / (live * (carriers - 1))
                burst = _is_burst(rest, ratio, latest[:LATEST], latest[LATEST])
                latest[LATEST] += 1.0
                if burst and rest * live * (carriers - 1) > _STRADDLE * peak:
                    reason[f] = BURST
                noise = noise if noise <= _UNFOCUSED * rest else rest
            noise_power[f] = max(noise, _ROUNDING * energy[f])


@jit_exact
def judge_peaks(
    valid: Flags,
    peaks: Flags,
    energy: Float,
    symbol_energy: Float,
    noise_power: Float,
    snapshot: Complex,
    usable: Flags,
) -> int:
    """Which of F peaks a calibrator can use, to `usable` (F,): valid, filled and numbers. Returns how many are not numbers.

    All (F,), snapshot (F, N). Peaks that :func:`judge_frames` let through all are.
    """
    broken = 0
    for f in range(energy.shape[0]):
        usable[f] = 1 if valid[f] != 0 and peaks[f] != 0 else 0
        square = 0.0
        for n in range(snapshot.shape[1]):
            u = snapshot[f, n]
            square += np.float64(u.real) * np.float64(u.real) + np.float64(u.imag) * np.float64(u.imag)
        numbers = math.isfinite(square + energy[f] + symbol_energy[f] + noise_power[f])
        if usable[f] and not (numbers and symbol_energy[f] > 0.0 and noise_power[f] > 0.0):
            usable[f] = 0
            broken += 1
    return broken
