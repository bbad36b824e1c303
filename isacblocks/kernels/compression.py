"""Delay compression: a frame in the subspace that the search window's delays span, ten times smaller and nothing lost.

    g_nd = sum_s Y_ns conj(x_s) r_s v_ds

with the ramp r and the sequences v of a :class:`~isacblocks.kernels.delay_basis.DelayBasis`. Complex64 frames go through
folding.py; the sums are written out here for double precision, and to read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isacblocks.kernels.arrays import Complex, Float, complex_array, frozen, output_array, real_view
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.folding import fold
from isacblocks.kernels.jit import jit

Real = NDArray[Any]  # float32 or float64, as the frames are


@jit
def compress_frames(
    y: NDArray[Any], x: NDArray[Any], ramp: Complex, vectors: NDArray[Any], out: NDArray[Any], energy: Float
) -> None:
    """g into `out`, real pairs (F, N, 2 D), and (||Y||^2, ||x||^2) into `energy` (F, 2).

    y (F, N or more, 2 S) and x (F, 2 S) are real pairs; `vectors` (S padded to a multiple of four, D) in their precision.
    """
    carriers, rank = x.shape[1] // 2, vectors.shape[1]
    kind = out.dtype.type
    q_r, q_i = np.empty(carriers), np.empty(carriers)
    z = np.zeros((2, vectors.shape[0]), out.dtype)
    acc = np.empty((2, rank), out.dtype)
    for f in range(y.shape[0]):
        total = 0.0
        for s in range(carriers):  # conj(x_s) r_s
            x_r, x_i = np.float64(x[f, 2 * s]), np.float64(x[f, 2 * s + 1])
            total += x_r * x_r + x_i * x_i
            q_r[s] = x_r * ramp[s].real + x_i * ramp[s].imag
            q_i[s] = x_r * ramp[s].imag - x_i * ramp[s].real
        energy[f, 1] = total
        total = 0.0
        for n in range(out.shape[1]):
            part = 0.0
            for s in range(carriers):
                y_r, y_i = np.float64(y[f, n, 2 * s]), np.float64(y[f, n, 2 * s + 1])
                part += y_r * y_r + y_i * y_i
                z[0, s] = kind(y_r * q_r[s] - y_i * q_i[s])
                z[1, s] = kind(y_r * q_i[s] + y_i * q_r[s])
            total += part
            _project(z[0], z[1], vectors, acc[0], acc[1])
            for d in range(rank):
                out[f, n, 2 * d] = acc[0, d]
                out[f, n, 2 * d + 1] = acc[1, d]
        energy[f, 0] = total


@jit
def _project(z_r: Real, z_i: Real, v: Real, out_r: Real, out_i: Real) -> None:
    """out_d = sum_s z_s v_sd, four terms at a time."""
    rank = v.shape[1]
    for d in range(rank):
        out_r[d] = 0.0
        out_i[d] = 0.0
    for s in range(0, v.shape[0], 4):
        a0, a1, a2, a3 = z_r[s], z_r[s + 1], z_r[s + 2], z_r[s + 3]
        c0, c1, c2, c3 = z_i[s], z_i[s + 1], z_i[s + 2], z_i[s + 3]
        v0, v1, v2, v3 = v[s], v[s + 1], v[s + 2], v[s + 3]
        for d in range(rank):
            t0, t1, t2, t3 = v0[d], v1[d], v2[d], v3[d]
            out_r[d] += a0 * t0 + a1 * t1 + a2 * t2 + a3 * t3
            out_i[d] += c0 * t0 + c1 * t1 + c2 * t2 + c3 * t3


def padded_vectors(basis: DelayBasis, dtype: type) -> Real:
    """v in the given precision with zero rows up to a multiple of four, as :func:`compress_frames` takes it."""
    carriers, rank = basis.vectors.shape
    out = np.zeros(((carriers + 3) // 4 * 4, rank), dtype)
    out[:carriers] = basis.vectors
    return frozen(out)


def compress(y: ArrayLike, x: ArrayLike, basis: DelayBasis) -> Compressed:
    """Frames y (F, N, S) with symbols x (F, S) in the basis; complex64 stays, everything else becomes complex128.

    Raises ValueError for wrong shapes, NaN or empty input, naming the argument.
    """
    radar = basis.radar
    frames = complex_array("y", y, ("F", radar.antennas, radar.subcarriers))
    symbols = complex_array("x", x, (frames.shape[0], radar.subcarriers)).astype(frames.dtype, copy=False)
    return compressed(frames, symbols, basis)


def compressed(frames: Complex, symbols: Complex, basis: DelayBasis, out: Complex | None = None) -> Compressed:
    """:func:`compress` for arguments already checked; samples that are not finite stay so.

    frames (F, N or more, S): rows beyond the antennas are not looked at; out: where g is to be.
    """
    if frames.dtype == np.complex64:
        return fold(frames, symbols, basis, out)
    return compressed_literally(frames, symbols, basis, out)


def compressed_literally(frames: Complex, symbols: Complex, basis: DelayBasis, out: Complex | None = None) -> Compressed:
    """:func:`compressed` by the sums as they are written, in the precision of the frames."""
    pairs = real_view(frames)
    out = output_array("out", out, (frames.shape[0], basis.radar.antennas, basis.rank), frames.dtype)
    energy = np.empty((frames.shape[0], 2))
    vectors = padded_vectors(basis, pairs.dtype.type)
    compress_frames(pairs, real_view(symbols), frozen(basis.ramp), vectors, out.view(pairs.dtype), energy)
    return Compressed(out, energy[:, 0], energy[:, 1])
