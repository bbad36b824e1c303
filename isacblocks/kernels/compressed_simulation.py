"""Frames drawn directly in the delay subspace: exact in law where every symbol has modulus one, and far less work.

With |x_s| = 1 an echo (gamma, theta, tau) of eq. (8) is gamma kappa_n a_n(theta) conj(c_d(tau)) in g, the noise in g is
white CN(0, N0), and the energy of the noise outside the subspace is N0 times a Gamma(N (S - D)) variable, independent of g.
Other constellations colour the noise in g, and are refused.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.delay_basis import Compressed, DelayBasis, coefficients
from isacblocks.kernels.jit import jit, jit_exact
from isacblocks.kernels.random import STREAM_NOISE_COMPRESSED, STREAM_NOISE_OUTSIDE, check_seed, normals, uniforms
from isacblocks.kernels.simulation import Truth
from isacblocks.kernels.steering import array_table, pitch_of


@jit_exact
def _gamma(shape: float, seed: int, item: int) -> float:
    """One Gamma(shape) variable, shape >= 1: G. Marsaglia and W. W. Tsang, "A simple method for generating gamma variables",
    ACM Trans. Math. Softw. 26, 2000. The numbers of all attempts come from the item's own stream.
    """
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    u = np.empty(96)
    uniforms(seed, STREAM_NOISE_OUTSIDE, item, u)
    for k in range(0, 96, 3):
        x = math.sqrt(-2.0 * math.log(1.0 - u[k])) * math.cos(2.0 * math.pi * u[k + 1])
        v = (1.0 + c * x) ** 3
        if v > 0.0 and math.log(1.0 - u[k + 2]) < 0.5 * x * x + d - d * v + d * math.log(v):
            return d * v
    return shape  # 32 refusals in a row, each of a probability below 0.05: never


@jit
def _compressed_frames(
    gamma: Complex,
    kappa: Complex,
    array_r: Float,
    array_i: Float,
    delay: Complex,
    noise_power: float,
    outside: float,
    seed: int,
    first: int,
    out: NDArray[Any],
    energy: Float,
) -> None:
    """g into `out`, float32 pairs (F, N, 2 D), and ||Y||^2 into `energy` (F,); kappa (F or 1, N), delay = conj(c) (F, D)."""
    elements, rank = out.shape[1], delay.shape[1]
    deviation = math.sqrt(noise_power / 2.0)
    for f in range(out.shape[0]):
        item = np.uint64(first) + np.uint64(f)
        normals(seed, STREAM_NOISE_COMPRESSED, item, deviation, out[f].reshape(-1))
        k = f if kappa.shape[0] > 1 else 0
        total = 0.0
        for n in range(elements):
            factor = gamma[f] * kappa[k, n] * complex(array_r[f, n], array_i[f, n])
            part = 0.0
            for d in range(rank):
                echo = factor * delay[f, d]
                real = np.float32(out[f, n, 2 * d] + echo.real)
                imag = np.float32(out[f, n, 2 * d + 1] + echo.imag)
                out[f, n, 2 * d] = real
                out[f, n, 2 * d + 1] = imag
                part += np.float64(real) * np.float64(real) + np.float64(imag) * np.float64(imag)
            total += part
        energy[f] = total
        if outside >= 1.0:
            energy[f] += noise_power * _gamma(outside, seed, item)


def simulate_compressed(
    truth: Truth, kappa: NDArray[Any], basis: DelayBasis, *, noise_power: float = 1.0, seed: int = 0, first: int = 0
) -> Compressed:
    """Compressed frames with unit-modulus symbols by eq. (8), complex64, for the targets of :func:`draw_scene`.

    kappa: (N,) or (F, N); noise_power: N0 > 0; seed and first: the noise of frame f is that of item first + f. Symbols do
    not appear: with known x of modulus one nothing depends on them.
    """
    radar = basis.radar
    count = truth.theta.shape[0]
    array = np.empty((2, count, radar.antennas))
    array_table(frozen(radar.positions), pitch_of(radar), frozen(truth.theta), array[0], array[1])
    delay = np.empty((count, basis.rank), np.complex128)
    coefficients(frozen(basis.vectors), radar.subcarrier_spacing, basis.centre, frozen(truth.tau), delay)
    out = np.empty((count, radar.antennas, basis.rank), np.complex64)
    energy = np.empty(count)
    _compressed_frames(
        frozen(truth.gamma.astype(np.complex128)),
        frozen(np.atleast_2d(kappa).astype(np.complex128)),
        frozen(array[0]),
        frozen(array[1]),
        frozen(delay.conj()),
        float(noise_power),
        float(radar.antennas * (radar.subcarriers - basis.rank)),
        np.uint64(check_seed(seed)),
        np.uint64(first),
        out.view(np.float32),
        energy,
    )
    return Compressed(out, energy, np.full(count, float(radar.subcarriers)))
