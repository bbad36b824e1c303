"""Calibration from snapshots: one pass over the frames at the Cramer-Rao bound, and the slope the pass cannot see.

**The pass.** With P(t = 1 | frame) = p and s = kappa^H u the log likelihood of kappa has the gradient
(rho / (N ||x||^2 N0)) sum p u conj(s). The noise in u that is also in s adds N0 ||x||^2 kappa to every term, which pulls
towards the present estimate; with it taken out the sum points to the true kappa:

    v <- lambda v + p (u conj(s) - N0 ||x||^2 kappa - c),    kappa = sqrt(N) v / ||v||

c is what the search for the peak adds to the elements at the array's ends more than to the others, search_gain.py. No step
size, and every frame is used once. lambda = exp(-1 / memory) forgets; memory = inf for hardware that stays put.

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
from isacblocks.kernels.exponentials import exponentials_with, logarithms
from isacblocks.kernels.jit import jit, jit_exact
from isacblocks.kernels.search_gain import search_gain, search_shares

_WORTH = 1e-3  # a frame whose target probability is lower says nothing about the slope
_SILENT = 40.0  # exp(-40) of the peak's likelihood is nothing


@jit
def online_sums(
    snapshot: Complex,
    symbol_energy: Float,
    theta: Float,
    extent_1: Float,
    extent_2: Float,
    positions: Float,
    kappa: Complex,
    snr: float,
    prior: float,
    noise_power: float,
    total: Complex,
    probability: Float,
) -> None:
    """Add p (u conj(s) - N0 ||x||^2 kappa - c) of every frame to `total` (N,) and write p to `probability` (F,).

    snapshot (F, N); symbol_energy ||x||^2 (F,); theta: the peaks' angles, rad (F,); extents L1, L2 of the frame's window
    (F,); positions (N, 3) in wavelengths; kappa (N,), ||kappa||^2 = N.
    """
    offset = math.log(prior) - math.log1p(-prior)
    share = np.empty(kappa.shape[0])
    for f in range(snapshot.shape[0]):
        s = 0.0 + 0.0j
        for n in range(kappa.shape[0]):
            s += kappa[n].conjugate() * snapshot[f, n]
        unit = noise_power * symbol_energy[f]
        level = abs(s) ** 2 / (kappa.shape[0] * unit)
        p = logistic(evidence(level, extent_1[f], extent_2[f], snr) + offset)
        probability[f] = p
        search_shares(positions, theta[f], kappa, share)
        gain = search_gain(p, extent_1[f])
        for n in range(kappa.shape[0]):
            total[n] += p * (snapshot[f, n] * s.conjugate() - unit * kappa[n] * (1.0 + gain * share[n]))


@jit_exact
def _phasors(start: float, step: float, real: Float, imag: Float) -> None:
    """exp(j (start + i step)) for every i; (n,) each."""
    turn = complex(math.cos(step), math.sin(step))
    here = complex(math.cos(start), math.sin(start))
    for i in range(real.shape[0]):
        real[i], imag[i] = here.real, here.imag
        here = here * turn


@jit
def _angular_profile_ula(weighted: Complex, start: float, scale: float, turn: Float, room: Float, level: Float) -> None:
    """level_i = |sum_n weighted_n exp(j n (start + i step))|^2 scale, for every i; turn (2, n): exp(j i step).

    By Horner's rule in w_i = exp(j (start + i step)), four powers at a time so that the sums stay in registers; weighted:
    padded with zeros to a multiple of four; room: (4, n).
    """
    count = level.shape[0]
    here_r, here_i = math.cos(start), math.sin(start)
    w_r, w_i, sum_r, sum_i, t_r, t_i = room[0], room[1], room[2], room[3], turn[0], turn[1]
    for i in range(count):
        w_r[i] = here_r * t_r[i] - here_i * t_i[i]
        w_i[i] = here_r * t_i[i] + here_i * t_r[i]
        sum_r[i] = 0.0
        sum_i[i] = 0.0
    for n in range(weighted.shape[0] - 4, -1, -4):
        a3, a2, a1, a0 = weighted[n + 3], weighted[n + 2], weighted[n + 1], weighted[n]
        a3_r, a3_i, a2_r, a2_i = a3.real, a3.imag, a2.real, a2.imag
        a1_r, a1_i, a0_r, a0_i = a1.real, a1.imag, a0.real, a0.imag
        for i in range(count):
            x, y, r, q = sum_r[i], sum_i[i], w_r[i], w_i[i]
            x, y = x * r - y * q + a3_r, x * q + y * r + a3_i
            x, y = x * r - y * q + a2_r, x * q + y * r + a2_i
            x, y = x * r - y * q + a1_r, x * q + y * r + a1_i
            x, y = x * r - y * q + a0_r, x * q + y * r + a0_i
            sum_r[i], sum_i[i] = x, y
    for i in range(count):
        level[i] = (sum_r[i] * sum_r[i] + sum_i[i] * sum_i[i]) * scale


@jit
def _sector_sums(
    level: Float, top: float, rho: float, extent_2: float, low: float, step: float, ratio: Float, room: Float, sums: Float
) -> None:
    """Running sums over the profile (n,), to `sums` (2, n + 1): of exp(rho (level - top)) and of one, times the density.

    low, step: sin(theta) of the first point, and from point to point; ratio, room: (n,).
    """
    count = level.shape[0]
    for i in range(count):
        ratio[i] = max(rho * (level[i] - top), -_SILENT)
    exponentials_with(ratio, room)
    for i in range(count):
        # the delays' share of Laplace's integral, at most one
        spread = min(1.0, math.sqrt(math.pi / max(rho * level[i], 1e-3)) / max(extent_2, 1e-30))
        sine = low + i * step
        room[i] = 1.0 / math.sqrt(max(1.0 - sine * sine, 0.01))
        ratio[i] *= room[i] * (spread if rho * (top - level[i]) < _SILENT else 0.0)
    mass, density = 0.0, 0.0
    sums[0, 0] = sums[1, 0] = 0.0
    for i in range(count):
        mass += ratio[i]
        density += room[i]
        sums[0, i + 1] = mass
        sums[1, i + 1] = density


@jit
def _moved_sectors(sums: Float, first: Float, width: float, offset: float, inside: Float) -> None:
    """The odds e^offset A of every slope, in units of max(1, e^offset) and with one added; `inside` (B,).

    sums (2, n + 1); first (B,): the moved sector's lower edge in cells of the profile; width: of the sector in cells.
    """
    unit, one = math.exp(min(offset, 0.0)), math.exp(-max(offset, 0.0))
    for k in range(first.shape[0]):
        a, b = int(first[k]), int(first[k] + width)
        low, high = first[k] - a, first[k] + width - b
        mass = sums[0, b] - sums[0, a] + high * (sums[0, b + 1] - sums[0, b]) - low * (sums[0, a + 1] - sums[0, a])
        norm = sums[1, b] - sums[1, a] + high * (sums[1, b + 1] - sums[1, b]) - low * (sums[1, a + 1] - sums[1, a])
        inside[k] = one + unit * max(mass / norm, 1e-300)


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
    elements, slopes = kappa.shape[0], slope.shape[0]
    rho = snr / (1.0 + snr)
    unit = 2.0 * math.pi * pitch
    reach = max(abs(slope[0]), abs(slope[slopes - 1]))
    step = 0.256 / elements  # a twenty-fifth of the distance from a beam's peak to its first null
    most = 0
    for f in range(snapshot.shape[0]):
        width = unit * (math.sin(theta_max[f]) - math.sin(theta_min[f]))
        most = max(most, math.ceil((width + 2.0 * (reach + step)) / step) + 1)
    weighted = np.zeros((elements + 3) // 4 * 4, np.complex128)
    turn, room, cells, sums = np.empty((2, most)), np.empty((4, most)), np.empty((2, most)), np.empty((2, most + 1))
    _phasors(0.0, step, turn[0], turn[1])
    first, odds, exponent = np.empty(slopes), np.empty(slopes), np.empty(slopes)
    for k in range(slopes):
        # the lower edge of the moved sector in units of the profile's cells, each centred on its point
        first[k] = (reach + step - slope[k]) / step + 0.5
    for f in range(snapshot.shape[0]):
        if probability[f] < _WORTH:
            continue
        low = unit * math.sin(theta_min[f]) - reach - step
        width = unit * (math.sin(theta_max[f]) - math.sin(theta_min[f]))
        count = math.ceil((width + 2.0 * (reach + step)) / step) + 1
        for n in range(elements):
            weighted[n] = kappa[n].conjugate() * snapshot[f, n]
        scale = 1.0 / (elements * symbol_energy[f] * noise_power)
        level = cells[0, :count]
        _angular_profile_ula(weighted, low - unit * math.sin(theta[f]), scale, turn, room, level)
        top = 0.0
        for i in range(count):
            top = max(top, level[i])
        _sector_sums(level, top, rho, extent_2[f], low / unit, step / unit, cells[1, :count], room[0], sums)
        offset = rho * top - math.log1p(snr) + math.log(prior) - math.log1p(-prior)
        _moved_sectors(sums, first, width / step, offset, odds)
        logarithms(odds, exponent)
        for k in range(slopes):  # log(1 - pi + pi A) up to the constant log(1 - pi)
            out[k] += odds[k] + max(offset, 0.0)


@jit
def rotate(values: Complex, slope: float) -> None:
    """values_n <- values_n exp(j slope n), in place."""
    for n in range(values.shape[0]):
        values[n] = values[n] * complex(math.cos(slope * n), math.sin(slope * n))


@jit
def fold_slope(likelihood: Float, pending: Float, slope: Float, shift: float, keep: float) -> None:
    """LL(b) <- keep LL(b) + pending(b - shift) on the even grid `slope` (B,), in place; pending <- 0.

    Between its points `pending` is interpolated linearly, and held at both ends.
    """
    last = slope.shape[0] - 1
    unit = last / (slope[last] - slope[0])
    for k in range(last + 1):
        place = min(max(k - shift * unit, 0.0), float(last))
        low = min(int(place), last - 1)
        likelihood[k] = keep * likelihood[k] + pending[low] + (place - low) * (pending[low + 1] - pending[low])
    pending[:] = 0.0


@jit
def _posterior_peak(slope: Float, likelihood: Float, deviation: float) -> int:
    """Where LL(b) - b^2 / (2 deviation^2) is largest on the grid."""
    peak, top = 0, -np.inf
    for k in range(slope.shape[0]):
        value = likelihood[k] - slope[k] ** 2 / (2.0 * deviation**2)
        if value > top:
            peak, top = k, value
    return peak


@jit
def best_slope(slope: Float, likelihood: Float, deviation: float) -> float:
    """The slope of largest posterior LL(b) - b^2 / (2 deviation^2) on the grid `slope`, refined by a parabola."""
    k = _posterior_peak(slope, likelihood, deviation)
    if 0 < k < slope.shape[0] - 1:
        step = slope[k + 1] - slope[k]
        curve = likelihood[k - 1] - 2.0 * likelihood[k] + likelihood[k + 1] - (step / deviation) ** 2
        fall = 0.5 * (likelihood[k - 1] - likelihood[k + 1]) + slope[k] * step / deviation**2
        if curve < 0.0:
            return float(slope[k] + step * fall / curve)
    return float(slope[k])


@jit
def slope_spread(slope: Float, likelihood: Float, deviation: float) -> float:
    """Standard deviation of the slope from the curvature of its posterior at the top; `deviation` where that has none."""
    k = min(max(_posterior_peak(slope, likelihood, deviation), 1), slope.shape[0] - 2)
    step = slope[1] - slope[0]
    curve = (2.0 * likelihood[k] - likelihood[k - 1] - likelihood[k + 1]) / step**2 + deviation**-2
    return 1.0 / math.sqrt(curve) if curve > 0.0 else deviation


@jit_exact
def slope_information_sums(theta_min: Float, theta_max: Float, worth: float, sums: Float) -> None:
    """Add every frame's information about the slope, and 1, to `sums` (2,), in place; sectors in rad (F,).

    worth (1/cos(theta_min) + 1/cos(theta_max)) / |theta_max - theta_min|; for worth see bounds.slope_information.
    """
    for f in range(theta_min.shape[0]):
        edges = 1.0 / math.cos(theta_min[f]) + 1.0 / math.cos(theta_max[f])
        sums[0] += worth * edges / abs(theta_max[f] - theta_min[f])
        sums[1] += 1.0


def slope_deviation(phase_deviation: float, antennas: int) -> float:
    """Standard deviation of the least-squares slope through N independent phases, radians per element."""
    return phase_deviation / math.sqrt(antennas * (antennas**2 - 1) / 12)
