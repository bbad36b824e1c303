"""Health of every antenna, by name, from the estimate and from the samples' statistics, samples.py.

A dead antenna carries no echo: its score draws kappa_n to zero, so that it neither adds noise to s nor counts as an antenna.
Two antennas whose cables were exchanged look dead at first: each carries the phase of the other's place, which turns with
every target's angle. For antennas that went silent the field y_n = u_n a_n(theta) is therefore compared with every place,

    B_nm = sum p y_n conj(a_m(theta)) conj(s),

and the place where it adds up is where its cable leads. Clipped samples are counted: among continuous values the largest is
alone, behind a limiter many share it. Derived in docs/maths.md, section 7f.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.steering import steering_table

GOOD, SILENT, SATURATED, RESTARTED, MISPLACED = 0, 1, 2, 3, 4
HEALTH = ("good", "silent", "saturated", "restarted", "misplaced")  # the names of the codes

QUIET = 0.5  # a gain below half of the mean says that something is wrong, half of it being noise
_SILENT_GAIN = 0.3  # with two standard deviations of certainty
_CLIPPED = 4.0  # samples a frame that share the largest value: clipping below 2.7 standard deviations
_LEARNING = 0.15  # rad: a phase less certain than this is being learned anew


@jit_exact
def running_mean(values: Float, memory: float, mean: Float, count: Float) -> None:
    """Mean over the stream of values (F, N), in place: `mean` (N,), `count` (1,) the frames in it, at most `memory`."""
    for f in range(values.shape[0]):
        count[0] = min(count[0] + 1.0, memory)
        for n in range(mean.shape[0]):
            mean[n] += (values[f, n] - mean[n]) / count[0]


@jit_exact
def place_sums(
    snapshot: Complex,
    symbol_energy: Float,
    theta: Float,
    probability: Float,
    kappa: Complex,
    noise_power: float,
    positions: Float,
    suspect: NDArray[np.uint8],
    place: Complex,
    place_variance: Float,
) -> None:
    """Add every frame's B_nm to `place` (N, N) and its variance to `place_variance` (N,) for the suspects (N,).

    snapshot (F, N); theta: where it was taken, rad (F,); probability (F,); positions (N, 3) in wavelengths.
    """
    elements = kappa.shape[0]
    array = np.empty((2, 1, elements))
    for f in range(snapshot.shape[0]):
        steering_table(positions, theta[f : f + 1], array[0], array[1])
        s = 0.0 + 0.0j
        for n in range(elements):
            s += kappa[n].conjugate() * snapshot[f, n]
        power = s.real * s.real + s.imag * s.imag
        for n in range(elements):
            if not suspect[n]:
                continue
            field = probability[f] * snapshot[f, n] * complex(array[0, 0, n], array[1, 0, n]) * s.conjugate()
            for m in range(elements):
                place[n, m] += field * complex(array[0, 0, m], -array[1, 0, m])
            place_variance[n] += probability[f] ** 2 * power * symbol_energy[f] * noise_power


def follow_suspects(kappa: Complex, suspect: NDArray[np.uint8], place: Complex, place_variance: Float) -> None:
    """Antennas with |kappa_n| below half of the median become suspects, and above three quarters cease to be; in place.

    suspect (N,), place (N, N), place_variance (N,): the sums of an antenna begin anew with every suspicion.
    """
    size = np.abs(kappa) / np.median(np.abs(kappa))
    fresh = (size < QUIET) & (suspect == 0)
    cleared = (size > (1 + QUIET) / 2) & (suspect != 0)
    suspect[fresh] = 1
    suspect[cleared] = 0
    place[fresh | cleared] = 0
    place_variance[fresh | cleared] = 0


def cable_places(place: Complex, place_variance: Float, false_alarms: float = 1e-6) -> NDArray[np.int64]:
    """The place (N,) whose phases every antenna carries: its own unless the sums B (N, N) say another.

    |B_nm|^2 over its variance is exponential where nothing adds up. It counts from log(N / false_alarms) on.
    """
    elements = place_variance.size
    level = np.abs(place) ** 2 / np.maximum(place_variance, 1e-300)[:, None]
    best = np.argmax(level, axis=1)
    sure = level[np.arange(elements), best] > math.log(elements / false_alarms)
    return np.where(sure, best, np.arange(elements))


def health_codes(kappa: Complex, sigma: Float, power: Float, shared: Float, places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The code of every antenna, (N,); the gravest that applies: no samples, misplaced, saturated, silent, restarted, good.

    kappa (N,); sigma (2, N): standard deviations of gain and phase; power (N,): of the samples of the last update;
    shared (N,): running mean of how many share the largest value; places (N,): see :func:`cable_places`.
    """
    gain = np.abs(kappa) / np.median(np.abs(kappa))
    out = np.full(kappa.size, GOOD, np.uint8)
    out[sigma[1] * np.minimum(gain, 1.0) > _LEARNING] = RESTARTED
    out[gain + 2 * sigma[0] < _SILENT_GAIN] = SILENT
    out[shared >= _CLIPPED] = SATURATED
    out[places != np.arange(kappa.size)] = MISPLACED
    out[power == 0] = SILENT
    return out
