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

from isacblocks.kernels.arrays import Complex, complex_array
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


def best_ramp(product: Complex) -> tuple[float, float]:
    """(b, |sum_n z_n exp(-j b n)|) at the b of [-pi, pi) where that is largest; `product` z is complex (N,).

    A zero-padded Fourier transform finds the main lobe, Newton's method its top.
    """
    length = 1 << math.ceil(math.log2(16 * product.shape[0]))
    spectrum = np.abs(np.fft.fft(product, length))
    slope = 2 * math.pi * float(np.argmax(spectrum)) / length
    n = np.arange(product.shape[0])
    for _ in range(8):
        turned = product * np.exp(-1j * slope * n)
        value, first, second = turned.sum(), (-1j * n * turned).sum(), -(n * n * turned).sum()
        # |f|^2 has the derivatives 2 Re(f' f*) and 2 (|f'|^2 + Re(f'' f*))
        gradient = (first * value.conjugate()).real
        curve = abs(first) ** 2 + (second * value.conjugate()).real
        if curve >= 0:
            break
        step = -gradient / curve
        slope += float(np.clip(step, -math.pi / length, math.pi / length))
        if abs(step) < 1e-14:
            break
    height = float(abs((product * np.exp(-1j * slope * n)).sum()))
    return (slope + math.pi) % (2 * math.pi) - math.pi, height


def _decibels(value: float) -> float:
    return 10 * math.log10(max(value, _FLOOR))


def kappa_error(estimate: ArrayLike, truth: ArrayLike, radar: OfdmRadar) -> KappaError:
    """The three figures and the loss; both kappa are (N,) and are scaled to ||kappa||^2 = N first.

    Only a uniform linear array has the ambiguity of slope; for any other ramp_db = phase_db and slope_deg = 0.
    Raises ValueError for wrong shapes, NaN, empty or all-zero input.
    """
    hat = complex_array("estimate", estimate, (radar.antennas,)).astype(np.complex128)
    true = complex_array("truth", truth, (radar.antennas,)).astype(np.complex128)
    norms = float(np.linalg.norm(hat)), float(np.linalg.norm(true))
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
