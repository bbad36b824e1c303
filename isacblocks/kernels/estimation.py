"""SNR, P(t = 1) and N0 from the stream itself: the law of a search window's largest level, and its likelihood on a grid.

Nothing is told but broad priors. N0 is a running mean. SNR and P(t = 1) are the parameters of a mixture: the level T at the
peak follows one law where the window holds noise alone and another where it holds a target, and both are known in closed
form, the search included. The log likelihood is kept on a grid of both parameters, which has no starting point to choose and
no step size, and forgets by a factor. Derived in docs/maths.md, section 7a.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.detection import evidence, logistic
from isacblocks.kernels.exponentials import exponentials_with, logarithms, parted
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.peak import project

_GRID_DB = np.arange(-10.0, 41.0)  # SNR, dB
_GRID_TURN = np.linspace(0.0, math.pi / 2, 22)[1:-1]  # P(t = 1) = sin^2 of these: equal steps are equally uncertain
_PRIOR_DB = (12.0, 10.0)  # mean and standard deviation of the SNR before anything has been seen
_STEP = 4.0  # the noise of a frame is the mean of N S values: it is never so far from N0 while that stays put
_LEAST = 1e-9  # of the peak: less noise is none
_LOG_2 = math.log(2.0)
_LOG_PRIOR = frozen(-0.5 * np.square((_GRID_DB - _PRIOR_DB[0]) / _PRIOR_DB[1])[:, None] + np.log(np.sin(2 * _GRID_TURN)))
_GRID = frozen(10 ** (_GRID_DB / 10)), frozen(np.sin(_GRID_TURN) ** 2)


@jit_exact
def search_law(level: float, extent_1: float, extent_2: float, snr: float) -> float:
    """log(f_1 / f_0): how much more likely the largest level of a window is with a target in it than without.

    level: T at the peak, off the grid (see straddle in detection.py); extents of the window; snr: linear, > 0. The densities
    are f_0 = F_0 r with F_0 = exp(-P) and r = -dP/dT, P the expected number of excursions, and, the largest of the noise and
    of the target's own lobe, f_1 = f_0 F_t + F_0 f_t. So f_1 / f_0 = F_t + f_t / r.
    """
    h = max(level, 1e-12)
    m = 1.0 + snr
    # The target's lobe: Exp(m) at its place, and what the search adds to it, Exp of mean c: half for each direction
    c = 0.5 * (min(1.0, extent_1) + min(1.0, extent_2)) + 1e-9
    outer = math.exp(-h / m)
    inner = math.exp(-h / c)
    below = max(1.0 - (m * outer - c * inner) / (m - c), 0.0)  # F_t
    # r e^h; the count of excursions holds for high levels, and a window has at least one
    edges = (extent_1 + extent_2) * (math.sqrt(h / math.pi) - 0.5 / math.sqrt(math.pi * h))
    rate = max(1.0 + edges + extent_1 * extent_2 * (2.0 * h - 3.0) / (2.0 * math.pi), 1.0)
    # f_t = (exp(-h/m) - exp(-h/c)) / (m - c), and log(f_t / r) with e^h taken out, as it overflows
    rest = h * (1.0 / c - 1.0 / m)
    peak = h * (1.0 - 1.0 / m) + math.log(max(-math.expm1(-rest), 1e-300)) - math.log((m - c) * rate)
    if peak > 40.0:
        return peak
    return math.log(max(below + math.exp(peak), 1e-300))


@jit_exact
def add_log_mixture(log_ratio: float, prior: Float, out: Float) -> None:
    """Add log(1 - pi + pi e^a) to `out` (J,) for every pi of `prior` (J,), without overflow."""
    # e^a = e^(a - b) e^b: from b = 40 on only pi e^a is left of the sum
    beyond = max(log_ratio - 40.0, 0.0)
    ratio = math.exp(log_ratio - beyond)
    for j in range(prior.shape[0]):
        out[j] += math.log(1.0 - prior[j] + prior[j] * ratio) + beyond


@jit_exact
def search_laws(
    level: float, extent_1: float, extent_2: float, snr_grid: Float, scale: Float, none: Float, ratio: Float, room: Float
) -> None:
    """:func:`search_law` for every SNR of `snr_grid` (I,) at once: f_1 / f_0 = exp(scale) ratio, and none = exp(-scale).

    scale, none, ratio, room: `out`, (I,). With scale = h (1 - 1/m) nothing overflows, and what is left to take are
    exponentials of negative numbers: with e^h taken out of r,

        ratio = F_t exp(-scale) + (1 - exp(h/m - h/c)) / ((m - c) r e^h)
    """
    h = max(level, 1e-12)
    c = 0.5 * (min(1.0, extent_1) + min(1.0, extent_2)) + 1e-9
    inner = math.exp(-h / c)
    edges = (extent_1 + extent_2) * (math.sqrt(h / math.pi) - 0.5 / math.sqrt(math.pi * h))
    rate = max(1.0 + edges + extent_1 * extent_2 * (2.0 * h - 3.0) / (2.0 * math.pi), 1.0)
    for i in range(snr_grid.shape[0]):
        ratio[i] = -h / (1.0 + snr_grid[i])
        scale[i] = h + ratio[i]
        none[i] = -scale[i]
    exponentials_with(none, room)
    exponentials_with(ratio, room)
    for i in range(snr_grid.shape[0]):
        m, outer = 1.0 + snr_grid[i], ratio[i]
        below = max(1.0 - (m * outer - c * inner) / (m - c), 0.0)  # F_t
        ratio[i] = below * none[i] + max(1.0 - inner / outer, 0.0) / ((m - c) * rate)


@jit_exact
def mixture_sums(
    snapshot: Complex,
    symbol_energy: Float,
    noise_power: Float,
    extent_1: Float,
    extent_2: Float,
    straddle: Float,
    kappa: Complex,
    cells: float,
    memory: float,
    snr: float,
    prior: float,
    snr_grid: Float,
    prior_grid: Float,
    noise: Float,
    probability: Float,
    pending: Float,
) -> None:
    """Add every frame's log likelihood to `pending` (2, I, J), follow N0 in `noise` and write P(t = 1 | frame).

    The sum is log(pending[0]) + pending[1], see :func:`nothing_pending`: the frames' likelihoods are multiplied, and one
    logarithm is taken for an update instead of one for each of its frames.

    snapshot (F, N); symbol_energy ||x||^2 (F,); noise_power: N0 from what the peak leaves of the frame (F,); extents of the
    windows (F,); straddle: 1 + the relative loss of the maximum on the search grid (F,), ones where peaks are refined;
    kappa (N,), ||kappa||^2 = N; cells: N S; memory: of N0, frames; snr, prior: the present estimates, for the probabilities;
    grids of the linear SNR (I,) and of P(t = 1) (J,); noise (2,): N0 and the frames it is the mean of, (0, 0) to begin with;
    probability: `out`, (F,).
    """
    offset = math.log(prior) - math.log1p(-prior)
    rows, columns = snr_grid.shape[0], prior_grid.shape[0]
    scale, none, ratio, room = np.empty(rows), np.empty(rows), np.empty(rows), np.empty(rows)
    product, outside, exponent = pending[0].reshape(-1), pending[1].reshape(-1), np.empty(rows * columns)
    for f in range(snapshot.shape[0]):
        s = project(kappa, snapshot[f])
        peak = (s.real * s.real + s.imag * s.imag) / (kappa.shape[0] * symbol_energy[f])
        n0 = max(noise[0] if noise[1] > 0.0 else noise_power[f], _LEAST * peak, 1e-300)
        level = peak / n0 * straddle[f]
        p = logistic(evidence(level, extent_1[f], extent_2[f], snr) + offset)
        probability[f] = p
        # Without a target the peak is noise too: it goes back. With one it takes its own cell and what the search adds.
        rest = noise_power[f] * (cells - 1.0) + (1.0 - p) * peak
        if noise_power[f] > _STEP * n0 or noise_power[f] * _STEP < n0:  # another N0, not chance: the mean begins anew
            noise[1] = 0.0
        noise[1] = min(noise[1] + 1.0, memory)
        noise[0] += (rest / (cells - 2.0 * p) - noise[0]) / noise[1]
        # log(1 - pi + pi e^scale ratio) = scale + log(e^-scale + pi (ratio - e^-scale))
        search_laws(level, extent_1[f], extent_2[f], snr_grid, scale, none, ratio, room)
        for i in range(rows):
            absent, more = none[i], ratio[i] - none[i]
            for j in range(columns):
                product[i * columns + j] *= absent + prior_grid[j] * more
        parted(product, exponent)
        for i in range(rows):
            for j in range(columns):
                outside[i * columns + j] += exponent[i * columns + j] * _LOG_2 + scale[i]


def nothing_pending(rows: int, columns: int) -> Float:
    """What :func:`mixture_sums` adds to, for no frames: a product in [1, 2), and what is not in it of its logarithm."""
    return np.stack([np.ones((rows, columns)), np.zeros((rows, columns))])


def mixture_grid() -> tuple[Float, Float]:
    """The grid of :func:`mixture_sums`, read-only: linear SNR (I,), -10 to 40 dB, and P(t = 1) (J,), 0.0056 to 0.9944."""
    return _GRID


@jit_exact
def fold_likelihood(likelihood: Float, pending: Float, frames: int, added: int, memory: float) -> None:
    """To the likelihood (I, J) of `frames` frames add that of `added` more, :func:`nothing_pending` afterwards; in place.

    Frames weigh in proportion to their number in the stream until `memory` of them have been seen, so that what was seen
    through a kappa not yet learned is soon forgotten, and exp(-age / memory) afterwards.
    """
    keep = min(frames / (frames + added), math.exp(-added / memory))
    logarithms(pending[0].reshape(-1), np.empty(likelihood.size))
    for i in range(likelihood.shape[0]):
        for j in range(likelihood.shape[1]):
            likelihood[i, j] = keep * likelihood[i, j] + (pending[0, i, j] + pending[1, i, j])
            pending[0, i, j], pending[1, i, j] = 1.0, 0.0


def mixture_estimate(likelihood: Float) -> tuple[float, float]:
    """(SNR, P(t = 1)) of largest posterior from the log likelihood (I, J) on :func:`mixture_grid`.

    Priors: the SNR in dB is normal, 12 +- 10; P(t = 1) is uniform. The top is refined by the quadratic through its
    neighbours.
    """
    if likelihood.shape != _LOG_PRIOR.shape:
        raise ValueError(f"likelihood: expected shape {_LOG_PRIOR.shape}, got {likelihood.shape}")
    snr, prior = mixture_top(frozen(likelihood))
    return float(snr), float(prior)


@jit_exact
def mixture_top(likelihood: Float) -> tuple[float, float]:
    """:func:`mixture_estimate` for kernels."""
    i, j = posterior_top(likelihood, _LOG_PRIOR)
    decibels = _GRID_DB[0] + min(max(i, 0.0), _GRID_DB.size - 1.0) * (_GRID_DB[1] - _GRID_DB[0])
    turn = _GRID_TURN[0] + min(max(j, 0.0), _GRID_TURN.size - 1.0) * (_GRID_TURN[1] - _GRID_TURN[0])
    return math.exp(math.log(10.0) * decibels / 10.0), math.sin(turn) ** 2


@jit_exact
def posterior_top(likelihood: Float, log_prior: Float) -> tuple[float, float]:
    """Row and column of the top of likelihood + log_prior (I, J), both at least three points, refined by a quadratic."""
    rows, columns = likelihood.shape
    row, column, best = 0, 0, -np.inf
    for i in range(rows):
        for j in range(columns):
            value = likelihood[i, j] + log_prior[i, j]
            if value > best:
                row, column, best = i, j, value
    first, second = min(max(row, 1), rows - 2), min(max(column, 1), columns - 2)
    around = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            around[i, j] = likelihood[first + i - 1, second + j - 1] + log_prior[first + i - 1, second + j - 1]
    di, dj = _vertex(around)
    return first + di, second + dj


@jit_exact
def _vertex(v: Float) -> tuple[float, float]:
    """The top of the quadratic through the nine points v (3, 3) around (0, 0), at most one step away from there."""
    slope_i, slope_j = (v[2, 1] - v[0, 1]) / 2, (v[1, 2] - v[1, 0]) / 2
    cross = (v[2, 2] - v[2, 0] - v[0, 2] + v[0, 0]) / 4
    curve_i, curve_j = v[2, 1] - 2 * v[1, 1] + v[0, 1], v[1, 2] - 2 * v[1, 1] + v[1, 0]
    determinant = curve_i * curve_j - cross * cross
    if curve_i >= 0 or determinant <= 0:  # not a top: the grid point itself
        k, m = 0, 0
        for i in range(3):
            for j in range(3):
                if v[i, j] > v[k, m]:
                    k, m = i, j
        return k - 1.0, m - 1.0
    di = (cross * slope_j - curve_j * slope_i) / determinant
    dj = (cross * slope_i - curve_i * slope_j) / determinant
    return min(max(di, -1.0), 1.0), min(max(dj, -1.0), 1.0)
