"""Delay compression: a frame in the subspace that the search window's delays span, ten times smaller and nothing lost.

Over a window [tau_min, tau_max] the vectors conj(b(tau)) are a common phase ramp, that of the window's centre tau_c, times
sequences of the subcarrier number whose frequencies lie within +-W, W = Delta_f (tau_max - tau_min) / 2. The discrete
prolate spheroidal sequences v_d, prolate.py, are the real orthonormal basis that holds such sequences with the fewest terms:

    conj(b_s(tau)) = r_s sum_d v_ds c_d(tau) + error,   r_s = exp(j 2 pi s Delta_f tau_c)
    c_d(tau) = exp(j pi (S - 1) Delta_f (tau - tau_c)) e_d(tau),
    e_d(tau) = sum_s v_ds exp(j 2 pi (s - (S - 1)/2) Delta_f (tau - tau_c))

e_d is real for the even v_d (d = 0, 2, ...) and imaginary for the odd ones. With g_nd = sum_s Y_ns conj(x_s) r_s v_ds

    p_n(tau) = sum_s Y_ns conj(x_s b_s(tau)) = sum_d g_nd c_d(tau),

so that map, peak and snapshot can be computed from g. For |x_s| = 1 the noise in g is white, of power N0, and the noise
outside the subspace is independent of it. Derived in docs/maths.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isacblocks.kernels.arrays import Complex, Float, complex_array, frozen, real_array, real_view
from isacblocks.kernels.jit import jit, jit_exact
from isacblocks.kernels.prolate import prolate_sequences
from isacblocks.radar import OfdmRadar

Real = NDArray[Any]  # float32 or float64, as the frames are

ERROR = 1e-6  # of a delay vector relative to its length, where nothing else is asked for: single precision's own
_TABLE = 16  # points of the search for the largest error per resolution cell, 1 / (S Delta_f)


@dataclass(frozen=True, eq=False)
class DelayBasis:
    """The basis of one delay window; made by :func:`delay_basis`.

    window: (tau_min, tau_max) in seconds; vectors: v, float64 (S, D), orthonormal columns, even and odd in turn;
    error: largest error of a delay vector in the window, relative to its length sqrt(S).
    """

    radar: OfdmRadar
    window: tuple[float, float]
    vectors: Float
    error: float

    @property
    def rank(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    @property
    def centre(self) -> float:
        """tau_c, s."""
        return 0.5 * (self.window[0] + self.window[1])

    @property
    def ramp(self) -> Complex:
        """r, complex128 (S,)."""
        s = np.arange(self.radar.subcarriers)
        return np.asarray(np.exp(2j * np.pi * s * self.radar.subcarrier_spacing * self.centre))

    def coefficients(self, tau: ArrayLike) -> Complex:
        """c(tau), complex128 (n, D), for delays in seconds (n,). Raises ValueError for a delay outside the window."""
        delays = real_array("tau", tau, ("n",))
        slack = 1e-9 * (self.window[1] - self.window[0])
        if delays.min() < self.window[0] - slack or delays.max() > self.window[1] + slack:
            raise ValueError(
                f"tau: expected delays inside the basis's window {self.window[0]:.6g} to {self.window[1]:.6g} s, got "
                f"{delays.min():.6g} to {delays.max():.6g} s; make a basis for the wider window"
            )
        out = np.empty((delays.size, self.rank), np.complex128)
        coefficients(frozen(self.vectors), self.radar.subcarrier_spacing, self.centre, frozen(delays), out)
        return out


def _residual(vectors: Float, half_width: float, spacing: float) -> Float:
    """Largest relative error over the window for every rank 0 .. K of (S, K) vectors, shape (K + 1,)."""
    carriers, rank = vectors.shape
    points = math.ceil(_TABLE * (1 + half_width * carriers)) + 1
    offsets = np.linspace(0.0, half_width, points) / spacing  # the error is an even function of the offset
    out = np.empty((points, rank), np.complex128)
    coefficients(frozen(vectors), spacing, 0.0, frozen(offsets), out)
    # Summed from the back, where the terms are small: the tail itself, not a difference of large numbers.
    tail = np.cumsum(np.abs(out[:, ::-1]) ** 2, axis=1)[:, ::-1].max(axis=0)
    return np.asarray(np.sqrt(np.append(tail, 0.0) / carriers))


@lru_cache(maxsize=32)
def delay_basis(radar: OfdmRadar, tau_min: float, tau_max: float, error: float = ERROR) -> DelayBasis:
    """The basis with the fewest vectors that represents every delay of the window to `error`.

    A window as wide as what the subcarriers can tell apart, 1 / Delta_f, or wider, gets all S vectors.
    Raises ValueError for an empty window or an error outside [1e-12, 1].
    """
    if not (math.isfinite(tau_min) and math.isfinite(tau_max) and tau_min < tau_max):
        raise ValueError(f"tau_min, tau_max: expected a window of two different delays, got {tau_min!r} to {tau_max!r}")
    if not 1e-12 <= error <= 1.0:
        raise ValueError(f"error: expected a relative error from 1e-12 to 1, got {error!r}")
    spacing = radar.subcarrier_spacing
    half_width = min(spacing * (tau_max - tau_min) / 2, 0.5 - 1e-9)
    vectors = prolate_sequences(radar.subcarriers, half_width)
    residual = _residual(vectors, half_width, spacing)
    rank = int(np.argmax(residual <= error))
    kept = np.ascontiguousarray(vectors[:, :rank])
    kept.flags.writeable = False
    return DelayBasis(radar, (float(tau_min), float(tau_max)), kept, float(residual[rank]))


@jit_exact
def coefficients(vectors: Float, spacing: float, centre: float, tau: Float, out: Complex) -> None:
    """c(tau_j) into `out` (n, D); vectors v (S, D), even and odd in turn."""
    carriers, rank = vectors.shape
    middle = 0.5 * (carriers - 1)
    total = np.empty(rank)
    for j in range(tau.shape[0]):
        step = 2.0 * math.pi * spacing * (tau[j] - centre)
        total[:] = 0.0
        for s in range((carriers + 1) // 2):  # v_d(S - 1 - s) = +- v_d(s): half of the sum is enough
            weight = 1.0 if 2 * s == carriers - 1 else 2.0
            even, odd = weight * math.cos((s - middle) * step), weight * math.sin((s - middle) * step)
            for d in range(0, rank - 1, 2):
                total[d] += vectors[s, d] * even
                total[d + 1] += vectors[s, d + 1] * odd
            if rank % 2:
                total[rank - 1] += vectors[s, rank - 1] * even
        turn = complex(math.cos(middle * step), math.sin(middle * step))
        for d in range(rank):
            out[j, d] = turn * (complex(total[d], 0.0) if d % 2 == 0 else complex(0.0, total[d]))


@jit
def compress_frames(
    y: NDArray[Any], x: NDArray[Any], ramp: Complex, vectors: NDArray[Any], out: NDArray[Any], energy: Float
) -> None:
    """g into `out`, real pairs (F, N, 2 D), and (||Y||^2, ||x||^2) into `energy` (F, 2).

    y (F, N, 2 S) and x (F, 2 S) are real pairs; `vectors` (S padded to a multiple of four, D) in their precision.
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
        for n in range(y.shape[1]):
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


@dataclass(frozen=True)
class Compressed:
    """F frames in a delay basis: g complex (F, N, D), ||Y||^2 and ||x||^2 float64 (F,)."""

    g: Complex
    energy: Float
    symbol_energy: Float


def compress(y: ArrayLike, x: ArrayLike, basis: DelayBasis) -> Compressed:
    """Frames y (F, N, S) with symbols x (F, S) in the basis; complex64 stays, everything else becomes complex128.

    Raises ValueError for wrong shapes, NaN or empty input, naming the argument.
    """
    radar = basis.radar
    frames = complex_array("y", y, ("F", radar.antennas, radar.subcarriers))
    symbols = complex_array("x", x, (frames.shape[0], radar.subcarriers)).astype(frames.dtype, copy=False)
    return compressed(frames, symbols, basis)


def compressed(frames: Complex, symbols: Complex, basis: DelayBasis) -> Compressed:
    """:func:`compress` for arguments already checked; samples that are not finite stay so."""
    pairs = real_view(frames)
    out = np.empty((*frames.shape[:2], basis.rank), frames.dtype)
    energy = np.empty((frames.shape[0], 2))
    vectors = padded_vectors(basis, pairs.dtype.type)
    compress_frames(pairs, real_view(symbols), frozen(basis.ramp), vectors, out.view(pairs.dtype), energy)
    return Compressed(out, energy[:, 0], energy[:, 1])
