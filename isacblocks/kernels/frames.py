"""Frames by eq. (8), one after the other in pieces that stay in the first-level cache.

Y_ns = gamma kappa_n a_n(theta) b_s(tau) x_s + W_ns. A row of noise is made, the row of the echo is added to it, and what is
written is the finished row: every sample passes through the memory once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.jit import jit_apart, jit_exact
from isacblocks.kernels.normals import BLOCK, Floats, Words, fill_normals, load_lanes, next_pairs, seed_lanes, store_lanes
from isacblocks.kernels.random import STREAM_NOISE
from isacblocks.kernels.simd import LANES, Pointer, fma, fused, load, multiply, pointer, spread, store
from isacblocks.kernels.steering import array_response, powers

Real = NDArray[Any]  # float32 or float64

_PIECE = 4096  # numbers, 16 kB: noise made in one go, to which the echo is added in the first-level cache


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
def _add_row(factor: complex, along: Real, across: Real, row: Real) -> None:
    """row += factor e, as pairs, of `along` e and `across` j e."""
    kind = row.dtype.type
    a, b = kind(factor.real), kind(factor.imag)
    for i in range(row.shape[0]):
        row[i] = fma(a, along[i], fma(b, across[i], row[i]))


@jit_apart
def _noisy_rows(
    lanes: Words, deviation: np.float32, factors: Complex, along: Pointer, across: Pointer, out: Pointer, at: int, width: int
) -> None:
    """Rows of noise + factor_n e from out[at] on, each of `width` numbers, which are whole blocks.

    What :func:`fill_normals` and :func:`_add_row` make of them, without a detour through memory.
    """
    s0, s1, s2, s3 = load_lanes(lanes)
    scale = spread(deviation)
    for n in range(factors.shape[0]):
        a, b = spread(np.float32(factors[n].real)), spread(np.float32(factors[n].imag))
        for k in range(0, width, BLOCK):
            r, cosine, sine, s0, s1, s2, s3 = next_pairs(s0, s1, s2, s3, scale)
            here = fused(b, load(across, k), multiply(r, cosine))
            there = fused(b, load(across, k + LANES), multiply(r, sine))
            store(out, at + k, fused(a, load(along, k), here))
            store(out, at + k + LANES, fused(a, load(along, k + LANES), there))
        at += width
    store_lanes(lanes, s0, s1, s2, s3)


@jit_exact
def received_frames(
    x: Floats,
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
    out: Floats,
) -> None:
    """Eq. (8) into `out`, pairs (F, N, 2 S), from symbols `x` as pairs (F, 2 S); kappa (F or 1, N); the rest (F,).

    The noise of frame f is that of item first + f.
    """
    elements, width = out.shape[1], out.shape[2]
    lanes, rest = np.empty(4 * LANES, np.uint32), np.empty(BLOCK, np.float32)
    array, delay = np.empty((2, elements)), np.empty((2, width // 2))
    along, across = np.empty(width, np.float32), np.empty(width, np.float32)
    factors = np.empty(elements, np.complex128)
    deviation = np.float32(math.sqrt(noise_power / 2.0))
    for f in range(out.shape[0]):
        seed_lanes(seed, STREAM_NOISE, np.uint64(first) + np.uint64(f), lanes)
        samples = out[f].reshape(-1)
        done = 0
        if noise_power == 0.0:
            samples[:] = 0.0
            done = samples.shape[0]
        if gamma[f] == 0.0:
            fill_normals(lanes, deviation, done, samples.shape[0], samples, rest)
            continue
        array_response(positions, pitch, theta[f], array[0], array[1])
        _echo_row(x[f], -2.0 * math.pi * spacing * tau[f], delay, along, across)
        k = f if kappa.shape[0] > 1 else 0
        for n in range(elements):
            factors[n] = gamma[f] * kappa[k, n] * complex(array[0, n], array[1, n])
        if noise_power > 0.0 and width % BLOCK == 0:
            at = f * elements * width
            _noisy_rows(lanes, deviation, factors, pointer(along), pointer(across), pointer(out), at, width)
            continue
        for n in range(elements):
            if done < (n + 1) * width:
                done = fill_normals(lanes, deviation, done, min(done + max(_PIECE, width), samples.shape[0]), samples, rest)
            _add_row(factors[n], along, across, out[f, n])


@jit_exact
def add_echoes(
    x: Float,
    gamma: Complex,
    kappa: Complex,
    positions: Float,
    pitch: float,
    spacing: float,
    theta: Float,
    tau: Float,
    out: Float,
) -> None:
    """The echoes of eq. (8) added to `out`, in double precision; arguments as those of :func:`received_frames`."""
    elements, width = out.shape[1], out.shape[2]
    array, delay = np.empty((2, elements)), np.empty((2, width // 2))
    along, across = np.empty(width), np.empty(width)
    for f in range(out.shape[0]):
        if gamma[f] != 0.0:
            array_response(positions, pitch, theta[f], array[0], array[1])
            _echo_row(x[f], -2.0 * math.pi * spacing * tau[f], delay, along, across)
            k = f if kappa.shape[0] > 1 else 0
            for n in range(elements):
                _add_row(gamma[f] * kappa[k, n] * complex(array[0, n], array[1, n]), along, across, out[f, n])
