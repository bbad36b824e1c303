"""The unsupervised losses (14) and (15) and their gradients, by hand.

Gradients are g = dJ/dRe(kappa) + j dJ/dIm(kappa) = 2 dJ/d conj(kappa), so that kappa - mu g descends. The place of the
peak is taken as locally constant, as automatic differentiation of a maximum does. With s = kappa^H u, X = ||x||^2,
q = ||kappa||^2 and c = N X + N0 / sigma_gamma^2:

    (14)  J = -|s|^2,  dJ/d conj(kappa) = -u conj(s)
    (15)  J = r, r^2 = ||Y||^2 - 2 |s|^2 / c + |s|^2 q X / c^2,
          dJ/d conj(kappa) = [(q X / c^2 - 2 / c) u conj(s) + (|s|^2 X / c^2) kappa] / (2 r)

Derived in docs/maths.md, checked there and in the tests against central differences.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from isacblocks.kernels.arrays import Complex, Float, complex_array, frozen
from isacblocks.kernels.jit import jit
from isacblocks.kernels.search import find_peak
from isacblocks.radar import OfdmRadar


@jit
def max_gradient(snapshot: Complex, kappa: Complex, loss: Float, gradient: Complex) -> None:
    """Add (14) of F snapshots (F, N) to `loss` (1,) and its gradients to `gradient` (N,), one frame after the other."""
    k, g = kappa.view(np.float64), gradient.view(np.float64)
    for f in range(snapshot.shape[0]):
        u = snapshot[f].view(np.float64)
        real, imag = 0.0, 0.0  # s
        for n in range(kappa.shape[0]):
            real += k[2 * n] * u[2 * n] + k[2 * n + 1] * u[2 * n + 1]
            imag += k[2 * n] * u[2 * n + 1] - k[2 * n + 1] * u[2 * n]
        loss[0] -= real * real + imag * imag
        for n in range(kappa.shape[0]):
            g[2 * n] -= 2.0 * (u[2 * n] * real + u[2 * n + 1] * imag)
            g[2 * n + 1] -= 2.0 * (u[2 * n + 1] * real - u[2 * n] * imag)


@jit
def reconstruction_gradient(
    snapshot: Complex,
    energy: Float,
    symbol_energy: Float,
    kappa: Complex,
    noise_to_gain: float,
    loss: Float,
    gradient: Complex,
) -> None:
    """Add (15) of F snapshots (F, N) to `loss` (1,) and its gradients to `gradient` (N,), one frame after the other.

    energy: ||Y||_F^2 (F,); symbol_energy: ||x||^2 (F,).
    """
    size = 0.0
    for n in range(kappa.shape[0]):
        size += abs(kappa[n]) ** 2
    for f in range(snapshot.shape[0]):
        s = 0.0 + 0.0j
        for n in range(kappa.shape[0]):
            s += kappa[n].conjugate() * snapshot[f, n]
        power = abs(s) ** 2
        c = kappa.shape[0] * symbol_energy[f] + noise_to_gain
        along = size * symbol_energy[f] / (c * c) - 2.0 / c
        square = energy[f] + power * along
        error = math.sqrt(max(square, 0.0))
        loss[0] += error
        if error > 0.0:  # a perfect reconstruction is the minimum: no slope
            radial = power * symbol_energy[f] / (c * c)
            for n in range(kappa.shape[0]):
                gradient[n] += (along * snapshot[f, n] * s.conjugate() + radial * kappa[n]) / error


def max_loss(
    y: ArrayLike, x: ArrayLike, kappa: ArrayLike, theta: ArrayLike, tau: ArrayLike, radar: OfdmRadar
) -> tuple[float, Complex]:
    """The loss of eq. (14), minus the map's maximum, mean over F frames, and its gradient.

    Arguments as for :func:`~isacblocks.angle_delay_map`. Returns (loss, gradient), gradient complex128 (N,) =
    dJ/dRe(kappa) + j dJ/dIm(kappa). Raises ValueError for wrong shapes, NaN or empty input, naming the argument.
    """
    peaks = find_peak(y, x, kappa, theta, tau, radar)
    response = complex_array("kappa", kappa, (radar.antennas,)).astype(np.complex128)
    gradient = np.zeros(radar.antennas, np.complex128)
    loss = np.zeros(1)
    max_gradient(frozen(peaks.snapshot), frozen(response), loss, gradient)
    count = peaks.statistic.shape[0]
    return float(loss[0]) / count, gradient / count


def reconstruction_loss(
    y: ArrayLike,
    x: ArrayLike,
    kappa: ArrayLike,
    theta: ArrayLike,
    tau: ArrayLike,
    radar: OfdmRadar,
    noise_to_gain: float,
) -> tuple[float, Complex]:
    """The loss of eq. (15), ||Y - Y_tilde||_F with gamma_hat of eq. (21), mean over F frames, and its gradient.

    noise_to_gain: N0 / sigma_gamma^2. Other arguments, result and errors as for :func:`max_loss`.
    """
    if not (isinstance(noise_to_gain, int | float) and math.isfinite(noise_to_gain) and noise_to_gain >= 0):
        raise ValueError(f"noise_to_gain: expected a finite number of at least 0, got {noise_to_gain!r}")
    peaks = find_peak(y, x, kappa, theta, tau, radar)
    response = complex_array("kappa", kappa, (radar.antennas,)).astype(np.complex128)
    gradient = np.zeros(radar.antennas, np.complex128)
    loss = np.zeros(1)
    reconstruction_gradient(
        frozen(peaks.snapshot),
        frozen(peaks.energy),
        frozen(peaks.symbol_energy),
        frozen(response),
        float(noise_to_gain),
        loss,
        gradient,
    )
    count = peaks.statistic.shape[0]
    return float(loss[0]) / count, gradient / count
