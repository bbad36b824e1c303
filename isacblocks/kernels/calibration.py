"""Calibration from snapshots: one pass over the frames at the Cramer-Rao bound, and the slope the pass cannot see.

**The pass.** With P(t = 1 | frame) = p and s = kappa^H u the log likelihood of kappa has the gradient
(rho / (N ||x||^2 N0)) sum p u conj(s). The noise in u that is also in s adds N0 ||x||^2 kappa to every term, which pulls
towards the present estimate; with it taken out the sum points to the true kappa:

    v <- lambda v + p (u conj(s) - N0 ||x||^2 kappa),    kappa = sqrt(N) v / ||v||

No step size, and every frame is used once. lambda = exp(-1 / memory) forgets; memory = inf for hardware that stays put.

**The slope.** A phase that grows linearly over a uniform linear array is a turned array: kappa exp(j b n) sees every target
at psi - b, psi = 2 pi d sin(theta). Only the frame's prior sector [psi_1, psi_2] tells the two apart: LL(b) = sum_k
log(1 - pi + pi A_k(b)), A_k(b) the likelihood ratio averaged over the sector moved to [psi_1 - b, psi_2 - b]. The angular
profile it needs is in the snapshot: u has the delay of the peak already, and only multiplying it by exp(j n psi) is left.

Both are derived in docs/maths.md.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.detection import evidence, logistic
from isacblocks.kernels.jit import jit

_WORTH = 1e-3  # a frame whose target probability is lower says nothing about the slope
_SILENT = 40.0  # exp(-40) of the peak's likelihood is nothing


@jit
def online_sums(
    snapshot: Complex,
    symbol_energy: Float,
    extent_1: Float,
    extent_2: Float,
    kappa: Complex,
    snr: float,
    prior: float,
    noise_power: float,
    total: Complex,
    probability: Float,
) -> None:
    """Add p (u conj(s) - N0 ||x||^2 kappa) of every frame to `total` (N,) and write p to `probability` (F,).

    snapshot (F, N); symbol_energy ||x||^2 (F,); extents L1, L2 of the frame's window (F,); kappa (N,), ||kappa||^2 = N.
    """
    offset = math.log(prior) - math.log1p(-prior)
    for f in range(snapshot.shape[0]):
        s = 0.0 + 0.0j
        for n in range(kappa.shape[0]):
            s += kappa[n].conjugate() * snapshot[f, n]
        level = abs(s) ** 2 / (kappa.shape[0] * symbol_energy[f] * noise_power)
        p = logistic(evidence(level, extent_1[f], extent_2[f], snr) + offset)
        probability[f] = p
        for n in range(kappa.shape[0]):
            total[n] += p * (snapshot[f, n] * s.conjugate() - noise_power * symbol_energy[f] * kappa[n])


@jit
def _angular_profile_ula(weighted: Complex, start: float, step: float, scale: float, level: Float) -> None:
    """level_i = |sum_n weighted_n exp(j n (start + i step))|^2 scale, for every i."""
    real = np.zeros(level.shape[0])
    imag = np.zeros(level.shape[0])
    for n in range(weighted.shape[0]):
        here = weighted[n] * complex(math.cos(n * start), math.sin(n * start))
        turn = complex(math.cos(n * step), math.sin(n * step))
        for i in range(level.shape[0]):
            real[i] += here.real
            imag[i] += here.imag
            here = here * turn
    for i in range(level.shape[0]):
        level[i] = (real[i] * real[i] + imag[i] * imag[i]) * scale


@jit
def _between(sums: Float, position: float) -> float:
    """Linear interpolation of cumulative sums at a fractional position, held at both ends."""
    if position <= 0.0:
        return float(sums[0])
    whole = int(position)
    if whole >= sums.shape[0] - 1:
        return float(sums[sums.shape[0] - 1])
    return float(sums[whole] + (position - whole) * (sums[whole + 1] - sums[whole]))


@jit
def slope_likelihood_ula(
    snapshot: Complex,
    symbol_energy: Float,
    theta: Float,
    theta_min: Float,
    theta_max: Float,
    extent_2: Float,
    probability: Float,
    kappa: Complex,
    pitch: float,
    snr: float,
    prior: float,
    noise_power: float,
    slope: Float,
    out: Float,
) -> None:
    """Add LL(b) of every frame to `out` (B,) for the slopes b in `slope` (B,), radians per element, ascending.

    theta: where the snapshots were taken, rad (F,); theta_min, theta_max: the prior sectors (F,); pitch: d in wavelengths;
    probability: P(t = 1 | frame) (F,), frames below 1e-3 are skipped. The sector is integrated with the density of a
    uniform theta over psi, 1 / cos(theta).
    """
    elements = kappa.shape[0]
    rho = snr / (1.0 + snr)
    unit = 2.0 * math.pi * pitch
    reach = max(abs(slope[0]), abs(slope[slope.shape[0] - 1]))
    step = 0.256 / elements  # a twenty-fifth of the distance from a beam's peak to its first null
    weighted = np.empty(elements, np.complex128)
    for f in range(snapshot.shape[0]):
        if probability[f] < _WORTH:
            continue
        low = unit * math.sin(theta_min[f]) - reach - step
        width = unit * (math.sin(theta_max[f]) - math.sin(theta_min[f]))
        count = math.ceil((width + 2.0 * (reach + step)) / step) + 1
        level = np.empty(count)
        for n in range(elements):
            weighted[n] = kappa[n].conjugate() * snapshot[f, n]
        scale = 1.0 / (elements * symbol_energy[f] * noise_power)
        _angular_profile_ula(weighted, low - unit * math.sin(theta[f]), step, scale, level)
        top = 0.0
        for i in range(count):
            top = max(top, level[i])
        mass = np.zeros(count + 1)
        density = np.zeros(count + 1)
        for i in range(count):
            sine = (low + i * step) / unit
            weight = 1.0 / math.sqrt(max(1.0 - sine * sine, 0.01))
            ratio = 0.0
            if rho * (top - level[i]) < _SILENT:
                spread = min(1.0, math.sqrt(math.pi / max(rho * level[i], 1e-3)) / max(extent_2[f], 1e-30))
                ratio = math.exp(rho * (level[i] - top)) * spread
            mass[i + 1] = mass[i] + ratio * weight
            density[i + 1] = density[i] + weight
        offset = rho * top - math.log1p(snr) + math.log(prior) - math.log1p(-prior)
        for k in range(slope.shape[0]):
            # the edges of the moved sector in units of the profile's cells, each centred on its point
            first = (reach + step - slope[k]) / step + 0.5
            last = first + width / step
            inside = _between(mass, last) - _between(mass, first)
            norm = _between(density, last) - _between(density, first)
            log_odds = math.log(max(inside / norm, 1e-300)) + offset
            # log(1 - pi + pi A) up to the constant log(1 - pi)
            if log_odds > 0.0:
                out[k] += log_odds + math.log1p(math.exp(-log_odds))
            else:
                out[k] += math.log1p(math.exp(log_odds))


@jit
def rotate(values: Complex, slope: float) -> None:
    """values_n <- values_n exp(j slope n), in place."""
    for n in range(values.shape[0]):
        values[n] = values[n] * complex(math.cos(slope * n), math.sin(slope * n))


def best_slope(slope: Float, likelihood: Float, deviation: float) -> float:
    """The slope of largest posterior LL(b) - b^2 / (2 deviation^2) on the grid `slope`, refined by a parabola."""
    posterior = likelihood - np.square(slope) / (2 * deviation**2)
    k = int(np.argmax(posterior))
    if 0 < k < slope.shape[0] - 1:
        low, mid, high = posterior[k - 1 : k + 2]
        curve = low - 2 * mid + high
        if curve < 0:
            return float(slope[k] + (slope[k + 1] - slope[k]) * 0.5 * (low - high) / curve)
    return float(slope[k])


def slope_deviation(phase_deviation: float, antennas: int) -> float:
    """Standard deviation of the least-squares slope through N independent phases, radians per element."""
    return phase_deviation / math.sqrt(antennas * (antennas**2 - 1) / 12)
