"""The detector: channel gain (21), the MAPRT statistic (20)-(25), its threshold in closed form, P(target | frame).

The normalised statistic is T = |s|^2 / (N ||x||^2 N0), with ||x||^2 = S for unit-modulus symbols: exponential with mean
one at a single point of the map when no target is present. Over a search window the map is a smooth random field, and the
chance that it rises above eta anywhere is counted with the expected Euler characteristic of the field's excursion set:

    P_fa = 1 - exp(-P),  P = e^-h [1 + (L1 + L2) sqrt(h / pi) + L1 L2 (2 h - 1) / (2 pi)]

L1, L2 are the extents of the window measured in the field's own unit, the standard deviation over the elements (over the
subcarriers) of the phase that the search sweeps: L1 = sqrt((N^2 - 1) / 12) |2 pi d Delta sin theta| for the uniform linear
array, L2 = sqrt((S^2 - 1) / 12) 2 pi Delta_f Delta tau. h = eta for a continuous search; on a grid the field is seen a
little below its maximum, h = eta (1 + (L1 / (n1 - 1))^2 / 12 + (L2 / (n2 - 1))^2 / 12).

Where N0 is not known but estimated from what the peak leaves of its own frame, N0_hat = (||Y||^2 - |s|^2 / (N ||x||^2)) / M
with M = N S - 1, T is a ratio. The threshold stays in closed form, and exact for every M:

    P = (1 + h / M)^-M [1 + (L1 + L2) c_M sqrt(h / pi) + L1 L2 (2 h - 1) / (2 pi)],
    c_M = Gamma(M + 1) / (Gamma(M + 1/2) sqrt(M)) = 1 + 1 / (8 M) + ...

Derived in docs/maths.md, section 9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isacblocks.kernels.arrays import Float, frozen, grid, real_array
from isacblocks.kernels.jit import jit_exact
from isacblocks.radar import OfdmRadar

_LOWEST = 0.5  # below this h the count of excursions means nothing any more
_HIGHEST = 700.0  # exp(-700) is the smallest double
_FEWEST = 2  # noise samples


@jit_exact
def edge_factor(samples: float) -> float:
    """c_M = Gamma(M + 1) / (Gamma(M + 1/2) sqrt(M)): right in the terms up to M^-3, to 6e-4 at M = 1 and 3e-6 at M = 5."""
    return math.sqrt(math.sqrt(1.0 + 0.5 / samples + 0.125 / (samples * samples))) if samples < math.inf else 1.0


@jit_exact
def excursions(h: float, extent_1: float, extent_2: float, samples: float = math.inf) -> float:
    """P: the expected Euler characteristic of {field >= h} over a window of the given extents.

    samples: M, the complex samples behind the frame's own estimate of N0; infinite for a known N0.
    """
    edge, point = edge_factor(samples), math.exp(-h)
    if samples < math.inf:
        point = math.exp(-samples * math.log1p(h / samples))  # (1 + h / M)^-M
    edges = (extent_1 + extent_2) * edge * math.sqrt(h / math.pi)
    inside = extent_1 * extent_2 * max(2.0 * h - 1.0, 0.0) / (2.0 * math.pi)  # the formula holds from h = 1/2 on
    return point * (1.0 + edges + inside)


@jit_exact
def straddle(extent_1: float, extent_2: float, n_1: int, n_2: int) -> float:
    """1 + the mean relative loss of the maximum seen on a grid of n_1 x n_2 points; 1 where n = 0 says continuous."""
    total = 1.0
    if n_1 > 1:
        total += (extent_1 / (n_1 - 1)) ** 2 / 12.0
    if n_2 > 1:
        total += (extent_2 / (n_2 - 1)) ** 2 / 12.0
    return total


@jit_exact
def level_of(exponent: float, samples: float) -> float:
    """h of M log(1 + h / M)."""
    return samples * math.expm1(exponent / samples) if samples < math.inf else exponent


@jit_exact
def thresholds(p_fa: float, extent_1: Float, extent_2: Float, n_1: int, n_2: int, samples: float, out: Float) -> None:
    """The threshold on T for every window; extents (F,), `out` (F,); nan where p_fa is out of reach.

    samples: as for :func:`excursions`. The unknown is the exponent x = M log(1 + h / M), which is h where N0 is known:
    log P = -x + log(1 + edges + inside), by Newton's method within bounds that every step narrows.
    """
    wanted = -math.log1p(-p_fa)
    log_wanted = math.log(wanted)
    for f in range(out.shape[0]):
        low, high = _LOWEST, _HIGHEST
        first, second = extent_1[f], extent_2[f]
        if excursions(level_of(low, samples), first, second, samples) < wanted:
            out[f] = math.nan
            continue
        edges, inside = (first + second) * edge_factor(samples) / math.sqrt(math.pi), first * second / (2.0 * math.pi)
        x = max(6.0 - log_wanted, 1.0)  # near enough for the logarithm's sake
        x = min(max(math.log(1.0 + edges * math.sqrt(x) + 2.0 * inside * x) - log_wanted, low), high)
        while high - low > 1e-13 * high:
            h = level_of(x, samples)
            above = math.log(excursions(h, first, second, samples)) - log_wanted
            if above > 0.0:
                low = x
            else:
                high = x
            # d log(1 + edges + inside) / dx
            whole = 1.0 + edges * math.sqrt(h) + inside * max(2.0 * h - 1.0, 0.0)
            rise = (0.5 * edges / math.sqrt(h) + 2.0 * inside) / whole
            growth = 1.0 + h / samples if samples < math.inf else 1.0
            fall = 1.0 - rise * growth
            step = above / fall if fall > 0.1 else 0.0
            there = x + step
            if step == 0.0 or not low < there < high:
                there = 0.5 * (low + high)
            elif abs(step) <= 1e-7 * x:  # what is left is the square of that
                x = there
                break
            if there <= low or there >= high:
                break
            x = there
        out[f] = level_of(x, samples) / straddle(first, second, n_1, n_2)


@jit_exact
def expected_excursions(
    level: Float, extent_1: Float, extent_2: Float, n_1: int, n_2: int, samples: float, out: Float
) -> None:
    """P at thresholds T = `level`, all shapes (F,); the other way round of :func:`thresholds`."""
    for f in range(out.shape[0]):
        h = level[f] * straddle(extent_1[f], extent_2[f], n_1, n_2)
        out[f] = excursions(h, extent_1[f], extent_2[f], samples)


def angle_extent(theta_min: Float, theta_max: Float, radar: OfdmRadar) -> Float:
    """L1 of angle windows, shapes (F,): the integral over the window of the standard deviation of d phase_n / d theta.

    Closed form for the uniform linear array, Simpson's rule for any other.
    """
    if radar.uniform_linear:
        return np.asarray(unit_extents(radar)[0] * np.abs(np.sin(theta_max) - np.sin(theta_min)))
    nodes = np.linspace(0.0, 1.0, 65)
    weights = np.full(65, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    angles = theta_min[:, None] + (theta_max - theta_min)[:, None] * nodes
    x, y = radar.positions[:, 0], radar.positions[:, 1]
    slope = 2 * math.pi * (np.cos(angles)[..., None] * y - np.sin(angles)[..., None] * x)
    return np.asarray(np.abs(theta_max - theta_min) * (slope.std(axis=-1) @ weights) / weights.sum())


def delay_extent(tau_min: Float, tau_max: Float, radar: OfdmRadar) -> Float:
    """L2 of delay windows, shapes (F,)."""
    return np.asarray(unit_extents(radar)[1] * np.abs(tau_max - tau_min))


@jit_exact
def window_extents(
    theta_min: Float,
    theta_max: Float,
    tau_min: Float,
    tau_max: Float,
    per_sine: float,
    per_second: float,
    n_1: int,
    n_2: int,
    out: Float,
) -> None:
    """L1, L2 and :func:`straddle` of the windows of a uniform linear array (F,), to `out` (3, F).

    per_sine, per_second: extents of windows of one unit, see :func:`unit_extents`.
    """
    for f in range(theta_min.shape[0]):
        out[0, f] = per_sine * abs(math.sin(theta_max[f]) - math.sin(theta_min[f]))
        out[1, f] = per_second * abs(tau_max[f] - tau_min[f])
        out[2, f] = straddle(out[0, f], out[1, f], n_1, n_2)


def unit_extents(radar: OfdmRadar) -> tuple[float, float]:
    """L1 per unit of sin theta, of a uniform linear array, and L2 per second."""
    array = math.sqrt((radar.antennas**2 - 1) / 12) * 2 * math.pi * radar.element_spacing
    return array, math.sqrt((radar.subcarriers**2 - 1) / 12) * 2 * math.pi * radar.subcarrier_spacing


def windows(fields: Mapping[str, NDArray[Any]], radar: OfdmRadar, n_theta: int, n_tau: int) -> Float:
    """L1, L2 and :func:`straddle` of search windows, (3, F).

    fields: theta_min, theta_max in rad, tau_min, tau_max in s, (F,) each; n_theta, n_tau: points of the grid, 0 for none.
    """
    low, high = frozen(fields["theta_min"]), frozen(fields["theta_max"])
    near, far = frozen(fields["tau_min"]), frozen(fields["tau_max"])
    out = np.empty((3, low.shape[0]))
    window_extents(low, high, near, far, *unit_extents(radar), n_theta, n_tau, out)
    if not radar.uniform_linear:
        out[0] = angle_extent(low, high, radar)
        out[2] = [straddle(first, second, n_theta, n_tau) for first, second in zip(out[0], out[1], strict=True)]
    return frozen(out)


def window_thresholds(
    p_fa: float, extent_1: Float, extent_2: Float, n_theta: int, n_tau: int, noise_samples: float = math.inf
) -> Float:
    """Thresholds on T for windows of the given extents (F,); n = 0 for a search off the grid; noise_samples: M."""
    out = np.empty(extent_1.shape[0])
    thresholds(p_fa, frozen(extent_1), frozen(extent_2), n_theta, n_tau, float(noise_samples), out)
    if np.isnan(out).any():
        raise ValueError(
            f"p_fa: {p_fa!r} is too high for so small a search window, where the closed form does not hold; take a lower "
            "false-alarm probability or a wider window"
        )
    return out


def _windows(theta: ArrayLike, tau: ArrayLike, radar: OfdmRadar) -> tuple[Float, Float, int, int, bool]:
    frames = max((np.shape(g)[0] for g in (theta, tau) if np.ndim(g) == 2), default=1)
    angles, delays = grid("theta", theta, frames), grid("tau", tau, frames)
    one = np.ndim(theta) == 1 and np.ndim(tau) == 1
    extent_1 = np.broadcast_to(angle_extent(angles[:, 0], angles[:, -1], radar), (frames,))
    extent_2 = np.broadcast_to(delay_extent(delays[:, 0], delays[:, -1], radar), (frames,))
    return extent_1, extent_2, angles.shape[1], delays.shape[1], one


def _samples(noise_samples: float | None) -> float:
    if noise_samples is None:
        return math.inf
    number = isinstance(noise_samples, int | float) and not isinstance(noise_samples, bool)
    if not (number and noise_samples >= _FEWEST):
        raise ValueError(f"noise_samples: expected None or a number of at least {_FEWEST}, got {noise_samples!r}")
    return float(noise_samples)


def detection_threshold(
    p_fa: float,
    radar: OfdmRadar,
    theta: ArrayLike,
    tau: ArrayLike,
    refine: bool = False,
    *,
    noise_samples: float | None = None,
) -> float | Float:
    """The threshold on T = |s|^2 / (N S N0) for a false-alarm probability, in closed form (see the module).

    theta, tau: the search grids as for :func:`~isacblocks.angle_delay_map`; refine: the peak is refined off the grid;
    noise_samples: None where N0 is known; M = N S - 1 where T is formed with the N0 that the peak leaves of its own frame,
    (||Y||^2 - |s|^2 / (N ||x||^2)) / M.
    Returns a float for shared grids, an array (F,) for grids per frame. Raises ValueError for p_fa outside (0, 1), for fewer
    than 2 noise samples or for bad grids, naming the argument.
    """
    if not (isinstance(p_fa, int | float) and 0 < p_fa < 1):
        raise ValueError(f"p_fa: expected a probability between 0 and 1, got {p_fa!r}")
    samples = _samples(noise_samples)
    extent_1, extent_2, n_theta, n_tau, one = _windows(theta, tau, radar)
    out = window_thresholds(float(p_fa), extent_1, extent_2, 0 if refine else n_theta, 0 if refine else n_tau, samples)
    return float(out[0]) if one else out


def false_alarm_probability(
    threshold: ArrayLike,
    radar: OfdmRadar,
    theta: ArrayLike,
    tau: ArrayLike,
    refine: bool = False,
    *,
    noise_samples: float | None = None,
) -> float | Float:
    """The false-alarm probability of a threshold on T: the inverse of :func:`detection_threshold`, same arguments.

    threshold: a number, or (F,) with grids per frame. Raises ValueError for a threshold that is not positive and finite.
    """
    levels = real_array("threshold", np.atleast_1d(np.asarray(threshold)), ("F",))
    if (levels <= 0).any():
        raise ValueError(f"threshold: expected positive values, got {levels.min()!r}")
    samples = _samples(noise_samples)
    extent_1, extent_2, n_theta, n_tau, one = _windows(theta, tau, radar)
    if levels.shape[0] not in (1, extent_1.shape[0]) and extent_1.shape[0] != 1:
        raise ValueError(f"threshold: expected one value or {extent_1.shape[0]}, got {levels.shape[0]}")
    n_1, n_2 = (0, 0) if refine else (n_theta, n_tau)
    levels, extent_1, extent_2 = np.broadcast_arrays(levels, extent_1, extent_2)
    count = np.empty(levels.shape[0])
    expected_excursions(frozen(levels), frozen(extent_1), frozen(extent_2), n_1, n_2, samples, count)
    out = -np.expm1(-count)
    return float(out[0]) if one and np.ndim(threshold) == 0 else np.asarray(out)


def gain_estimate(
    correlation: NDArray[np.complex128], symbol_energy: Float, antennas: int, noise_to_gain: float
) -> NDArray[np.complex128]:
    """gamma_hat = s / (N ||x||^2 + N0 / sigma_gamma^2), eq. (21), shape (F,)."""
    return np.asarray(correlation / (antennas * symbol_energy + noise_to_gain))


def maprt_statistic(
    statistic: Float, symbol_energy: Float, antennas: int, noise_to_gain: float, noise_power: float = 1.0
) -> Float:
    """The log MAP ratio (20) at its maximum, |s|^2 / (N0 (N ||x||^2 + N0 / sigma_gamma^2)), shape (F,).

    The printed eq. (22) leaves out the factor 1 / N0 that (20) carries; see docs/maths.md.
    """
    return np.asarray(statistic / (noise_power * (antennas * symbol_energy + noise_to_gain)))


@jit_exact
def evidence(level: float, extent_1: float, extent_2: float, snr: float) -> float:
    """log A: the log likelihood ratio of target against none, mean over the prior window around one peak of level T.

    At one point the ratio is exp(rho T) / (1 + SNR), rho = SNR / (1 + SNR). Around the peak T falls off as a parabola, so
    the mean over the window is Laplace's: each dimension contributes sqrt(pi / (rho T)) / L, at most 1.
    """
    rho = snr / (1.0 + snr)
    width = math.sqrt(math.pi / max(rho * level, 1e-30))
    first = min(1.0, width / max(extent_1, 1e-30))
    second = min(1.0, width / max(extent_2, 1e-30))
    return rho * level + math.log(first * second) - math.log1p(snr)


@jit_exact
def logistic(log_odds: float) -> float:
    """1 / (1 + exp(-x)) without overflow."""
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


@jit_exact
def target_probabilities(level: Float, extent_1: Float, extent_2: Float, snr: float, prior: float, out: Float) -> None:
    """P(t = 1 | frame) = pi A / (pi A + 1 - pi) from the peaks' normalised levels T, all shapes (F,)."""
    offset = math.log(prior) - math.log1p(-prior)
    for f in range(level.shape[0]):
        out[f] = logistic(evidence(level[f], extent_1[f], extent_2[f], snr) + offset)
