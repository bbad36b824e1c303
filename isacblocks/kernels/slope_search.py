"""The slope of kappa from whole angle-delay maps, over a window as wide as a start from nothing needs.

kappa exp(j b n) sees at psi - b what kappa sees at psi, psi = 2 pi d sin(theta), so the slope moves the frame's prior sector
over one and the same map:

    LL(b) = sum_k log(1 - pi + pi A_k(b)),   A_k(b) = mean over theta in [theta_1, theta_2] of e_k(psi(theta) - b),
    e_k(psi) = mean over the delays of exp(rho T(psi, tau)) / (1 + SNR)

One map a frame, wider than its sector by the reach of b on both sides, serves every b; d theta = d psi / (2 pi d cos theta).
calibration.py has the same likelihood from snapshots: one delay a frame, and small b. Uniform linear arrays only; no other
has the ambiguity.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.angle_delay import Real, padded
from isacblocks.kernels.arrays import Complex, Float, frozen, real_view
from isacblocks.kernels.calibration import best_slope
from isacblocks.kernels.compressed_peak import beams, delay_rows, split
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.expectation import check_law
from isacblocks.kernels.exponentials import exponentials
from isacblocks.kernels.jit import jit
from isacblocks.kernels.posterior import fields, log_odds_to_likelihood
from isacblocks.kernels.steering import phasor_table

_COARSE, _FINE = 1.0, 0.256  # steps of psi times N: a sixth and a twenty-fifth of a beam's peak to its first null
_GRAZING = 1e-4  # least cos(theta)^2 of a cell


@jit
def _profile(real: Real, imag: Real, scale: float, rho: float, row: Float, out: Float) -> float:
    """e_i = mean_j exp(rho (T_ij - top)) into `out` (n,); returns top = max T. `row` (n_tau,) is scratch."""
    top = 0.0
    for i in range(out.shape[0]):
        for j in range(row.shape[0]):
            a, b = np.float64(real[i, j]), np.float64(imag[i, j])
            top = max(top, a * a + b * b)
    top *= scale
    for i in range(out.shape[0]):
        for j in range(row.shape[0]):
            a, b = np.float64(real[i, j]), np.float64(imag[i, j])
            row[j] = rho * ((a * a + b * b) * scale - top)
        exponentials(row)
        total = 0.0
        for j in range(row.shape[0]):
            total += row[j]
        out[i] = total / row.shape[0]
    return top


@jit
def _inside(profile: Float, first: float, last: float, sine: float, stride: float) -> float:
    """sum of e / cos(theta) over the cells between the fractional positions first and last; sin(theta) = sine + i stride.

    Added up for every sector anew: as a difference of cumulative sums, what lies beside a strong peak would drown in the
    rounding of the peak.
    """
    begin, end = int(first), min(int(last), profile.shape[0] - 1)
    total = 0.0
    for i in range(begin, end + 1):
        square = (sine + i * stride) ** 2
        total += profile[i] / math.sqrt(max(1.0 - square, _GRAZING))
    outer = profile[begin] / math.sqrt(max(1.0 - (sine + begin * stride) ** 2, _GRAZING))
    total -= outer * (first - begin)
    outer = profile[end] / math.sqrt(max(1.0 - (sine + end * stride) ** 2, _GRAZING))
    return float(total - outer * (end + 1.0 - last))


@jit
def slope_profile(
    g: Real,
    symbol_energy: Float,
    theta_min: Float,
    theta_max: Float,
    kappa: Complex,
    vectors: Float,
    centre: float,
    pitch: float,
    spacing: float,
    tau: Float,
    step: float,
    snr: float,
    prior: float,
    noise_power: float,
    slope: Float,
    out: Float,
) -> None:
    """Add LL(b) of F compressed frames, g real pairs (F, N, 2 D), at every b of `slope` to `out` (both (B,)).

    theta_min, theta_max (F,): prior sectors; tau (n_tau,): delays; step: of the map in psi.
    """
    elements, rank = g.shape[1], padded(g.shape[2] // 2, 4)
    kind = g.dtype
    rho = snr / (1.0 + snr)
    unit = 2.0 * math.pi * pitch
    reach = max(abs(slope[0]), abs(slope[slope.shape[0] - 1]))
    table = np.zeros((rank, tau.shape[0]), kind)
    delay_rows(vectors, spacing, centre, tau, table)
    parts = np.zeros((2, padded(elements, 2), rank), kind)
    row = np.empty(tau.shape[0])
    for f in range(g.shape[0]):
        width = unit * (math.sin(theta_max[f]) - math.sin(theta_min[f]))
        low = unit * math.sin(theta_min[f]) - reach - step
        count = math.ceil((width + 2.0 * (reach + step)) / step) + 1
        psi = np.empty(count)
        for i in range(count):
            psi[i] = -(low + i * step)
        phasors = np.empty((2, count, elements))
        phasor_table(psi, phasors[0], phasors[1])
        a = np.zeros((2, count, parts.shape[1]), kind)
        split(g[f], parts[0], parts[1])
        for i in range(count):
            for n in range(elements):  # kappa_n a_n(psi_i)
                a[0, i, n] = phasors[0, i, n] * kappa[n].real - phasors[1, i, n] * kappa[n].imag
                a[1, i, n] = phasors[0, i, n] * kappa[n].imag + phasors[1, i, n] * kappa[n].real
        rows = np.empty((2 * count, rank), kind)
        s = np.empty((2, count, tau.shape[0]), kind)
        beams(a[0], a[1], parts[0], parts[1], rows)
        fields(rows, table, s[0], s[1])
        profile = np.empty(count)
        top = _profile(s[0], s[1], 1.0 / (elements * symbol_energy[f] * noise_power), rho, row, profile)
        offset = rho * top - math.log1p(snr) + math.log(prior) - math.log1p(-prior)
        offset += math.log(step / (unit * (theta_max[f] - theta_min[f])))  # d psi / (2 pi d cos theta) = d theta
        for k in range(slope.shape[0]):
            # the edge of the moved sector in units of the profile's cells, each centred on its point
            first = (reach + step - slope[k]) / step + 0.5
            inside = _inside(profile, first, first + width / step, (low + slope[k]) / unit, step / unit)
            out[k] += log_odds_to_likelihood(math.log(max(inside, 1e-300)) + offset, prior)


def slope_likelihood(
    frames: Compressed,
    basis: DelayBasis,
    kappa: NDArray[Any],
    theta_min: Float,
    theta_max: Float,
    tau: Float,
    slopes: Float,
    snr: float,
    prior: float,
    noise_power: float = 1.0,
    step: float | None = None,
) -> Float:
    """LL(b) of kappa exp(j b n) at the slopes b, radians per element, float64 (B,), relative to no target in any frame.

    theta_min, theta_max: sectors (F,) in rad; tau: delays (n,) in s; step: of the map in psi, by default 0.256 / N.
    Raises ValueError for an array that is not uniform and linear, for sectors that are empty, for numbers out of range.
    """
    check_law(snr, prior, noise_power)
    radar = basis.radar
    if not radar.uniform_linear:
        raise ValueError("basis: only a uniform linear array has a slope, this one's radar has element_positions of its own")
    if not (np.asarray(theta_max) > np.asarray(theta_min)).all():
        raise ValueError("theta_min, theta_max: expected sectors wider than zero")
    out = np.zeros(slopes.shape[0])
    slope_profile(
        real_view(frames.g),
        frozen(frames.symbol_energy),
        frozen(theta_min),
        frozen(theta_max),
        frozen(np.asarray(kappa, np.complex128)),
        frozen(basis.vectors),
        basis.centre,
        radar.element_spacing,
        radar.subcarrier_spacing,
        frozen(tau),
        _FINE / radar.antennas if step is None else step,
        float(snr),
        float(prior),
        float(noise_power),
        frozen(slopes),
        out,
    )
    return out


def search_slope(
    frames: Compressed,
    basis: DelayBasis,
    kappa: NDArray[Any],
    theta_min: Float,
    theta_max: Float,
    tau: Float,
    snr: float,
    prior: float,
    noise_power: float = 1.0,
    reach: float = 0.5,
) -> tuple[float, float]:
    """The slope b of largest LL(b) in [-reach, reach] radians per element, and its standard deviation from LL's curvature.

    A coarse map first, a fine one around its maximum. To be applied: kappa_n exp(j b n).
    """
    elements = basis.radar.antennas
    arguments = (frames, basis, kappa, theta_min, theta_max, tau)
    near = min(reach, 3.0 / elements)
    coarse = 0.0
    if reach > near:
        slopes = np.linspace(-reach, reach, 2 * math.ceil(reach * elements / 0.3) + 1)
        likelihood = slope_likelihood(*arguments, slopes, snr, prior, noise_power, _COARSE / elements)
        coarse = float(slopes[int(np.argmax(likelihood))])
    turned = np.asarray(kappa) * np.exp(1j * coarse * np.arange(elements))
    slopes = np.linspace(-near, near, 101)
    likelihood = slope_likelihood(frames, basis, turned, theta_min, theta_max, tau, slopes, snr, prior, noise_power)
    k = min(max(int(np.argmax(likelihood)), 5), slopes.size - 6)
    around = slice(k - 5, k + 6)  # a parabola through eleven points: LL(b) has small steps where peaks cross an edge
    curve = float(np.polyfit(slopes[around], likelihood[around], 2)[0])
    deviation = 1 / math.sqrt(-2 * curve) if curve < 0 else math.inf
    return coarse + best_slope(slopes, likelihood, math.inf), deviation
