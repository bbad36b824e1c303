"""How far an estimate of kappa is from the truth: three figures that always go together.

kappa is known only up to a phase common to all antennas (gamma takes it), and for a uniform linear array a linear phase is
a turned array, hard to see. So: the error after the best common phase, the error after the best common and linear phase,
and that slope as what it does, a bias of the boresight in degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isacblocks.kernels.arrays import Complex, complex_array, frozen
from isacblocks.kernels.jit import jit
from isacblocks.radar import OfdmRadar

_FLOOR = 1e-30  # an exact estimate is reported as -300 dB rather than as minus infinity


@dataclass(frozen=True)
class KappaError:
    """phase_db: 10 log10 of ||kappa_hat e^ja - kappa||^2 / N at the best a; ramp_db: the same at the best a and slope;
    slope_deg: that slope as a boresight bias, degrees; loss_db: -20 log10 of the gain correlation after both.
    """

    phase_db: float
    ramp_db: float
    slope_deg: float
    loss_db: float


@jit
def _turned_sum(product: Complex, slope: float) -> complex:
    """sum_n z_n exp(-j slope n)."""
    here, turn = 1.0 + 0.0j, complex(math.cos(slope), -math.sin(slope))
    total = 0.0 + 0.0j
    for n in range(product.shape[0]):
        total += product[n] * here
        here = here * turn
    return total


@jit
def _near_peak(product: Complex, length: int) -> int:
    """The k of largest |sum_n z_n exp(-j 2 pi k n / length)| where that is provably near zero, else `length`.

    Let c be the height at zero over its bound sqrt(N) ||z||. At a slope whose phasors overlap those of slope zero by
    d = |sin(N b / 2) / (N sin(b / 2))| the height is at most cos(acos d - acos c) of the bound (the triangle inequality of
    angles), less than c where d < 2 c^2 - 1. Side lobes of d are at most 1/3 (N = 3), so from c^2 = 2/3 on that leaves a
    part of the main lobe only.
    """
    elements = product.shape[0]
    total, power = 0.0 + 0.0j, 0.0
    for n in range(elements):
        total += product[n]
        power += product[n].real ** 2 + product[n].imag ** 2
    best = total.real**2 + total.imag**2
    share = best / (elements * power) if power > 0.0 else 0.0  # c^2
    if share < 0.67:
        return length
    place = 0
    for k in range(1, length // elements):
        half = math.pi * k / length
        if math.sin(elements * half) < (2.0 * share - 1.0 - 1e-9) * elements * math.sin(half):
            break
        for side in (k, -k):
            found = _turned_sum(product, 2.0 * half if side > 0 else -2.0 * half)
            height = found.real**2 + found.imag**2
            if height > best:
                best, place = height, side
    return place


@jit
def _climb(product: Complex, slope: float, limit: float) -> tuple[float, float]:
    """The top of |f(b)|, f(b) = sum_n z_n exp(-j b n), by Newton's method from `slope`, at most `limit` a step; and |f|."""
    for _ in range(8):
        here, turn = 1.0 + 0.0j, complex(math.cos(slope), -math.sin(slope))
        value, first, second = 0.0 + 0.0j, 0.0 + 0.0j, 0.0 + 0.0j
        for n in range(product.shape[0]):
            turned = product[n] * here
            value += turned
            first += n * complex(turned.imag, -turned.real)
            second -= n * n * turned
            here = here * turn
        # |f|^2 has the derivatives 2 Re(f' f*) and 2 (|f'|^2 + Re(f'' f*))
        gradient = first.real * value.real + first.imag * value.imag
        curve = first.real**2 + first.imag**2 + second.real * value.real + second.imag * value.imag
        if curve >= 0.0:
            break
        step = -gradient / curve
        slope += min(max(step, -limit), limit)
        if abs(step) < 1e-14:
            break
    return slope, abs(_turned_sum(product, slope))


@jit
def _far_peak(product: Complex, length: int) -> int:
    """The k of largest |sum_n z_n exp(-j 2 pi k n / length)|, whatever it takes."""
    best, place = -1.0, 0
    for k in range(length):
        found = _turned_sum(product, 2.0 * math.pi * k / length)
        height = found.real**2 + found.imag**2
        if height > best:
            best, place = height, k
    return place


@jit
def steepest_ramp(product: Complex) -> tuple[float, float]:
    """:func:`best_ramp` for kernels."""
    length = 16
    while length < 16 * product.shape[0]:
        length *= 2
    peak = _near_peak(product, length)
    if peak == length:
        peak = _far_peak(product, length)
    slope, height = _climb(product, 2.0 * math.pi * peak / length, math.pi / length)
    return (slope + math.pi) % (2.0 * math.pi) - math.pi, height


def best_ramp(product: Complex) -> tuple[float, float]:
    """(b, |sum_n z_n exp(-j b n)|) at the b of [-pi, pi) where that is largest; `product` z is complex (N,).

    A zero-padded Fourier transform finds the main lobe, Newton's method its top. Where z is nearly without a ramp, which it
    mostly is, a few terms of the transform say the same.
    """
    slope, height = steepest_ramp(frozen(product))
    return float(slope), float(height)


def _decibels(value: float) -> float:
    return 10 * math.log10(max(value, _FLOOR))


def kappa_error(estimate: ArrayLike, truth: ArrayLike, radar: OfdmRadar) -> KappaError:
    """The three figures and the loss; both kappa are (N,) and are scaled to ||kappa||^2 = N first.

    Only a uniform linear array has the ambiguity of slope; for any other ramp_db = phase_db and slope_deg = 0.
    Raises ValueError for wrong shapes, NaN, empty or all-zero input.
    """
    hat = complex_array("estimate", estimate, (radar.antennas,)).astype(np.complex128)
    true = complex_array("truth", truth, (radar.antennas,)).astype(np.complex128)
    norms = math.sqrt(np.vdot(hat, hat).real), math.sqrt(np.vdot(true, true).real)
    if min(norms) == 0:
        raise ValueError("estimate, truth: an all-zero kappa has no direction to compare")
    product: NDArray[np.complex128] = hat * true.conj() / (norms[0] * norms[1])
    plain = float(abs(product.sum()))
    slope, ramped = best_ramp(product) if radar.uniform_linear else (0.0, plain)
    ramped = min(max(ramped, plain), 1.0)
    bias = slope / (2 * math.pi * radar.element_spacing)
    return KappaError(
        phase_db=_decibels(2 - 2 * min(plain, 1.0)),
        ramp_db=_decibels(2 - 2 * ramped),
        slope_deg=math.degrees(math.asin(min(max(bias, -1.0), 1.0))),
        loss_db=-20 * math.log10(max(ramped, _FLOOR)),
    )


def gauge_error(estimate: ArrayLike, truth: ArrayLike, radar: OfdmRadar) -> NDArray[np.float64]:
    """Errors of every gain and of every phase in rad, (2, N), after the common phase and, for a linear array, the ramp.

    Arguments as for :func:`kappa_error`. Both are scaled to ||kappa||^2 = N; the phase error is that of kappa_hat / kappa,
    less its least-squares line.
    """
    hat = complex_array("estimate", estimate, (radar.antennas,)).astype(np.complex128)
    true = complex_array("truth", truth, (radar.antennas,)).astype(np.complex128)
    scale = np.sqrt(radar.antennas) / np.linalg.norm(hat), np.sqrt(radar.antennas) / np.linalg.norm(true)
    product: NDArray[np.complex128] = hat * true.conj()
    n = np.arange(radar.antennas) - (radar.antennas - 1) / 2
    if radar.uniform_linear:  # first roughly, so that no phase is near pi
        product = product * np.exp(-1j * best_ramp(product)[0] * n)
    phase = np.angle(product * np.exp(-1j * np.angle(product.sum())))
    phase -= phase.mean()
    if radar.uniform_linear:
        phase -= n * (n @ phase) / (n @ n)
    return np.stack([np.abs(hat) * scale[0] - np.abs(true) * scale[1], phase])
