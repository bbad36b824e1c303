"""The subspace that the delays of a search window span: what frames are compressed into.

Over a window [tau_min, tau_max] the vectors conj(b(tau)) are a common phase ramp, that of the window's centre tau_c, times
sequences of the subcarrier number whose frequencies lie within +-W, W = Delta_f (tau_max - tau_min) / 2. The discrete
prolate spheroidal sequences v_d, prolate.py, are the real orthonormal basis that holds such sequences with the fewest terms:

    conj(b_s(tau)) = r_s sum_d v_ds c_d(tau) + error,   r_s = exp(j 2 pi s Delta_f tau_c)
    c_d(tau) = exp(j pi (S - 1) Delta_f (tau - tau_c)) e_d(tau),
    e_d(tau) = sum_s v_ds exp(j 2 pi (s - (S - 1)/2) Delta_f (tau - tau_c))

Where the window is narrow the v_d are vectors close to these that take less work, decimation.py.

e_d is real for the even v_d (d = 0, 2, ...) and imaginary for the odd ones. With g_nd = sum_s Y_ns conj(x_s) r_s v_ds

    p_n(tau) = sum_s Y_ns conj(x_s b_s(tau)) = sum_d g_nd c_d(tau),

so that map, peak and snapshot can be computed from g, compression.py. For |x_s| = 1 the noise in g is white, of power N0,
and the noise outside the subspace is independent of it. Derived in docs/maths.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from isacblocks.kernels.arrays import Complex, Float, frozen, real_array
from isacblocks.kernels.decimation import Decimation, decimated, left_over
from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.prolate import prolate_sequences
from isacblocks.radar import OfdmRadar

ERROR = 1e-6  # of a delay vector relative to its length, where nothing else is asked for: single precision's own
_SHARE = 0.95  # of the error, that the filter of a decimation may take
_MORE = 3  # vectors more than the prolate sequences need are tried
_TABLE = 16  # points of the search for the largest error per resolution cell, 1 / (S Delta_f)


@dataclass(frozen=True, eq=False)
class DelayBasis:
    """The basis of one delay window; made by :func:`delay_basis`.

    window: (tau_min, tau_max) in seconds; vectors: v, float64 (S, D), orthonormal columns, even and odd in turn;
    error: largest error of a delay vector in the window, relative to its length sqrt(S); decimation: how the vectors are
    reached in two short steps; None: they are the prolate sequences.
    """

    radar: OfdmRadar
    window: tuple[float, float]
    vectors: Float
    error: float
    decimation: Decimation | None = None

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


def _points(carriers: int, half_width: float) -> int:
    """How many points of half a window its largest error is looked for at."""
    return math.ceil(_TABLE * (1 + half_width * carriers)) + 1


def _residual(vectors: Float, half_width: float, spacing: float) -> Float:
    """Largest relative error over the window for every rank 0 .. K of (S, K) vectors, shape (K + 1,)."""
    carriers, rank = vectors.shape
    points = _points(carriers, half_width)
    offsets = np.linspace(0.0, half_width, points) / spacing  # the error is an even function of the offset
    out = np.empty((points, rank), np.complex128)
    coefficients(frozen(vectors), spacing, 0.0, frozen(offsets), out)
    # Summed from the back, where the terms are small: the tail itself, not a difference of large numbers.
    tail = np.cumsum(np.abs(out[:, ::-1]) ** 2, axis=1)[:, ::-1].max(axis=0)
    return np.asarray(np.sqrt(np.append(tail, 0.0) / carriers))


@lru_cache(maxsize=32)
def delay_basis(radar: OfdmRadar, tau_min: float, tau_max: float, error: float = ERROR) -> DelayBasis:
    """The basis that represents every delay of the window to `error`: with the fewest vectors, or with one or two more where
    they are reached by a decimation filter.

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
    for more in range(_MORE):
        made = decimated(vectors[:, : rank + more], half_width, _SHARE * error)
        if made is None:
            break
        found = left_over(made[0], half_width, _points(radar.subcarriers, half_width))
        if found <= error:
            return DelayBasis(radar, (float(tau_min), float(tau_max)), made[0], found, made[1])
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


@dataclass(frozen=True)
class Compressed:
    """F frames in a delay basis: g complex (F, N, D), ||Y||^2 and ||x||^2 float64 (F,), summed in the precision of g."""

    g: Complex
    energy: Float
    symbol_energy: Float
