"""Frames by eq. (8), one after the other in pieces that stay in the first-level cache.

Y_ns = gamma kappa_n a_n(theta) b_s(tau) x_s + W_ns. A row of noise is made, the row of the echo is added to it, and what is
written is the finished row: every sample passes through the memory once.
"""

from __future__ import annotations

import math

import numpy as np

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.normals import BLOCK, LANES, Real, fill_normals, seed_lanes
from isacblocks.kernels.random import STREAM_NOISE
from isacblocks.kernels.simd import fma
from isacblocks.kernels.steering import array_response, powers


@jit_exact
def _echo_row(x: Real, step: float, scratch: Float, along: Real, across: Real) -> None:
    """e_s = b_s x_s as pairs (Re, Im) into `along` (2 S,), and j e_s into `across`; x (2 S,), scratch (2, S)."""
    powers(math.cos(step), math.sin(step), scratch[0], scratch[1])
    for s in range(scratch.shape[1]):
        b_r, b_i = scratch[0, s], scratch[1, s]
        x_r, x_i = np.float64(x[2 * s]), np.float64(x[2 * s + 1])
        along[2 * s] = b_r * x_r - b_i * x_i
        along[2 * s + 1] = b_r * x_i + b_i * x_r
    for s in range(scratch.shape[1]):
        across[2 * s] = -along[2 * s + 1]
        across[2 * s + 1] = along[2 * s]


@jit_exact
def received_frames(
    x: Real,
    gamma: Complex,
    kappa: Complex,
    positions: Float,
    pitch: float,
    spacing: float,
    theta: Float,
    tau: Float,
    noise_power: float,
    seed: int,
    first: int,
    out: Real,
) -> None:
    """Eq. (8) into `out`, pairs (F, N, 2 S), from symbols `x` as pairs (F, 2 S); kappa (F or 1, N); the rest (F,).

    The noise of frame f is that of item first + f.
    """
    kind = out.dtype.type
    elements, width = out.shape[1], out.shape[2]
    lanes, rest = np.empty(4 * LANES, np.uint32), np.empty(BLOCK, np.float32)
    array, delay = np.empty((2, elements)), np.empty((2, width // 2))
    along, across = np.empty(width, out.dtype), np.empty(width, out.dtype)
    deviation = np.float32(math.sqrt(noise_power / 2.0))
    for f in range(out.shape[0]):
        seed_lanes(seed, STREAM_NOISE, np.uint64(first) + np.uint64(f), lanes)
        samples = out[f].reshape(-1)
        done = 0
        if noise_power == 0.0:
            samples[:] = 0.0
            done = samples.shape[0]
        if gamma[f] != 0.0:
            array_response(positions, pitch, theta[f], array[0], array[1])
            _echo_row(x[f], -2.0 * math.pi * spacing * tau[f], delay, along, across)
        k = f if kappa.shape[0] > 1 else 0
        for n in range(elements):
            done = fill_normals(lanes, deviation, done, (n + 1) * width, samples, rest)
            if gamma[f] != 0.0:
                factor = gamma[f] * kappa[k, n] * complex(array[0, n], array[1, n])
                a, b = kind(factor.real), kind(factor.imag)
                row = out[f, n]
                for i in range(width):
                    row[i] = fma(a, along[i], fma(b, across[i], row[i]))
