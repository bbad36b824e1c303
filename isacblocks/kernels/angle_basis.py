"""The angles of a sector in a basis, for uniform linear arrays: fewer functions than antennas, the same for every sector.

Counted from the middle of the array, conj(a_n) = exp(j 2 pi d n' u) with n' = n - (N - 1)/2, u = sin(theta) and d the
element spacing in wavelengths (times a factor common to all elements). Over a sector whose u lie within u_c +- w

    conj(a_n(u)) = exp(j 2 pi d n' u_c) sum_k v_nk eps_k(u - u_c) + error

with the prolate sequences v of half bandwidth d w, which are real, even and odd in turn: the same basis for all sectors of
one width, wherever they point, because the turn by u_c is made with the antennas' weights. The functions eps_k = sum_n v_nk
exp(j 2 pi d n' (u - u_c)) are real for even k and imaginary for odd k; they are smooth in u - u_c and are read from a table
by interpolation between six points, so that no sine is computed per frame and antenna.

A frame takes the narrowest of a few widths that holds its sector. Sectors wider than the widest, and arrays so small that
nothing is saved, go without: the functions are then cos and sin of 2 pi d n' (u - u_c) themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float, frozen
from isacblocks.kernels.jit import jit
from isacblocks.kernels.products import aligned_copy
from isacblocks.kernels.prolate import prolate_sequences
from isacblocks.kernels.simd import (
    LANES,
    Floats,
    Pointer,
    add,
    fused,
    load,
    multiply,
    pointer,
    repeat,
    spread,
    store,
    subtract,
)

ERROR = 3e-7  # of a steering vector relative to its length, where nothing else is asked for
HALF_WIDTHS = (0.044, 0.062, 0.0875, 0.123, 0.174, 0.45)  # of a sector, in u; 0.174 holds 20 degrees at any angle
_STEP = 0.15  # between the table's points, in radians of the outermost element's phase: interpolated to 5e-8
_POINTS = 6
_WORTH = 0.7  # of N: with more functions than that there is no basis


@dataclass(frozen=True, eq=False)
class AngleBases:
    """The bases of all widths, one after the other in flat arrays, as kernels take them.

    vectors: v_nk for n < N/2 (rounded up), even k, then odd k, (N/2, K) of every width; table: eps (points, columns);
    layout: per width where its vectors begin, even functions, odd functions, where its table begins, points, columns;
    extent: per width the half width in u and the distance between points.
    """

    vectors: Floats
    table: Floats
    layout: NDArray[np.int64]
    extent: Float


def _functions(vectors: Any, phases: Any) -> Float:
    """eps_k (even k) and eps_k / j (odd k) at phases 2 pi d (u - u_c), even k first: (points, K)."""
    count = vectors.shape[0]
    angles = np.outer(phases, np.arange(count) - 0.5 * (count - 1))
    return np.concatenate([np.cos(angles) @ vectors[:, 0::2], np.sin(angles) @ vectors[:, 1::2]], axis=1)


@lru_cache(maxsize=32)
def angle_bases(antennas: int, spacing: float, error: float = ERROR) -> AngleBases:
    """The bases of a uniform linear array of `antennas` elements, `spacing` wavelengths apart.

    error: the largest of a steering vector, relative to its length.
    """
    half = (antennas + 1) // 2
    vectors, tables, layout, extent = [np.zeros(0)], [np.zeros(0)], [], []
    for width in HALF_WIDTHS:
        band = spacing * width
        if band >= 0.49:
            continue
        found = prolate_sequences(antennas, band)
        offsets = np.linspace(0.0, width, 8 * antennas)
        edges = _functions(found, 2.0 * math.pi * spacing * offsets)
        order = np.argsort(np.r_[0 : found.shape[1] : 2, 1 : found.shape[1] : 2], kind="stable")
        tail = np.cumsum((edges[:, order] ** 2)[:, ::-1], axis=1)[:, ::-1].max(axis=0)
        rank = int(np.argmax(np.append(tail, 0.0) <= error**2 * antennas))
        if rank > _WORTH * antennas:
            continue
        kept = found[:, :rank]
        columns = (rank + LANES - 1) // LANES * LANES
        step = _STEP / (math.pi * spacing * max(antennas - 1, 1))
        points = 2 * math.ceil(width / step) + _POINTS
        phases = 2.0 * math.pi * spacing * step * (np.arange(points) - 0.5 * (points - 1))
        table = np.zeros((points, columns))
        table[:, :rank] = _functions(kept, phases)
        even = (rank + 1) // 2
        layout.append((sum(v.size for v in vectors), even, rank - even, sum(t.size for t in tables), points, columns))
        extent.append((width, step))
        vectors.append(np.concatenate([kept[:half, 0::2], kept[:half, 1::2]], axis=1).ravel())
        vectors.append(np.zeros(-vectors[-1].size % LANES))  # the next ones begin with a vector again
        tables.append(table.ravel())
    return AngleBases(
        aligned_copy(np.concatenate(vectors)),
        aligned_copy(np.concatenate(tables)),
        frozen(np.array(layout, np.int64).reshape(-1, 6)),
        frozen(np.array(extent).reshape(-1, 2)),
    )


@jit
def sines(theta: Float, u: Float) -> tuple[float, float]:
    """u = sin(theta), (n,); returns the smallest and the largest. Absolute error below 1e-11.

    sin(theta) = (-1)^k sin(r), r = theta - k pi, |r| <= pi/2, by its Taylor series to r^15; adding 3 2^51 rounds.
    """
    low, high = 2.0, -2.0
    for i in range(theta.shape[0]):
        k = math.floor(theta[i] * (1.0 / math.pi) + 0.5)
        r = theta[i] - k * math.pi
        q = r * r
        p = -1.0 / 1307674368000.0
        p = p * q + 1.0 / 6227020800.0
        p = p * q - 1.0 / 39916800.0
        p = p * q + 1.0 / 362880.0
        p = p * q - 1.0 / 5040.0
        p = p * q + 1.0 / 120.0
        p = p * q - 1.0 / 6.0
        sine = r + r * q * p
        u[i] = sine * (1.0 - 2.0 * abs(k - 2.0 * math.floor(0.5 * k)))
    for i in range(theta.shape[0]):
        low, high = min(low, u[i]), max(high, u[i])
    return low, high


@jit
def width_of(half: float, extent: Float) -> int:
    """The narrowest width that holds a sector of this half width in u, -1 where none does."""
    for k in range(extent.shape[0]):
        if half <= extent[k, 0]:
            return k
    return -1


@jit
def _interpolation_weights(t: Pointer, at: int, out: Pointer, apart: int) -> None:
    """Lagrange's six weights at 16 distances t beyond the third point, to out, out + apart, ..."""
    x = load(t, at)
    one, two, three = spread(np.float32(1.0)), spread(np.float32(2.0)), spread(np.float32(3.0))
    a, b, d, f, g = add(x, two), add(x, one), subtract(x, one), subtract(x, two), subtract(x, three)
    bc, df, fg = multiply(b, x), multiply(d, f), multiply(f, g)
    low, high = multiply(a, bc), multiply(df, g)
    store(out, at, multiply(multiply(bc, high), spread(np.float32(-1.0 / 120.0))))
    store(out, at + apart, multiply(multiply(multiply(a, x), high), spread(np.float32(1.0 / 24.0))))
    store(out, at + 2 * apart, multiply(multiply(multiply(a, b), high), spread(np.float32(-1.0 / 12.0))))
    store(out, at + 3 * apart, multiply(multiply(low, fg), spread(np.float32(1.0 / 12.0))))
    store(out, at + 4 * apart, multiply(multiply(multiply(low, d), g), spread(np.float32(-1.0 / 24.0))))
    store(out, at + 5 * apart, multiply(multiply(low, df), spread(np.float32(1.0 / 120.0))))


@jit
def interpolated(
    u: Float, centre: float, step: float, table: Pointer, table_at: int, points: int, columns: int, e: Pointer
) -> None:
    """e[i, :columns] = the functions at u_i, by Lagrange's polynomial through the six nearest points of the table."""
    count = u.shape[0]
    apart = (count + LANES - 1) // LANES * LANES
    places, room = np.empty(count, np.int64), np.zeros(7 * apart, np.float32)
    _interpolated(u, centre, step, table, table_at, points, columns, places, room, apart, e)


@jit
def _interpolated(
    u: Float, centre: float, step: float, table: Pointer, table_at: int, points: int, columns: int,
    places: NDArray[np.int64], room: Floats, apart: int, e: Pointer,
) -> None:  # fmt: skip
    """room: scratch (7 apart,), zero; its maker holds it, for an array is freed after its last line, pointers or not."""
    count = u.shape[0]
    distances, weights = pointer(room), pointer(room[apart:])
    scale, middle = 1.0 / step, 0.5 * (points - 1)
    for i in range(count):
        place = (u[i] - centre) * scale + middle
        k = min(max(int(place), 2), points - 4)
        places[i] = table_at + (k - 2) * columns
        room[i] = np.float32(place - k)
    for i in range(0, count, LANES):
        _interpolation_weights(distances, i, weights, apart)
    for i in range(count):
        at = places[i]
        w0, w1, w2 = repeat(weights, i), repeat(weights, apart + i), repeat(weights, 2 * apart + i)
        w3, w4, w5 = repeat(weights, 3 * apart + i), repeat(weights, 4 * apart + i), repeat(weights, 5 * apart + i)
        for column in range(0, columns, LANES):
            total = multiply(w0, load(table, at + column))
            total = fused(w1, load(table, at + columns + column), total)
            total = fused(w2, load(table, at + 2 * columns + column), total)
            total = fused(w3, load(table, at + 3 * columns + column), total)
            total = fused(w4, load(table, at + 4 * columns + column), total)
            total = fused(w5, load(table, at + 5 * columns + column), total)
            store(e, i * columns + column, total)


@jit
def direct(u: Float, centre: float, spacing: float, antennas: int, columns: int, e: Pointer) -> None:
    """e[i] = cos, then sin of 2 pi d n' (u_i - u_c) for n < N/2: what stands for the functions where there is no basis."""
    half = (antennas + 1) // 2
    for i in range(u.shape[0]):
        step = 2.0 * math.pi * spacing * (u[i] - centre)
        turn_r, turn_i = math.cos(step), math.sin(step)
        first = -0.5 * (antennas - 1) * step
        real, imag = math.cos(first), math.sin(first)
        for n in range(half):
            e[i * columns + n] = np.float32(real)
            e[i * columns + half + n] = np.float32(imag)
            real, imag = real * turn_r - imag * turn_i, real * turn_i + imag * turn_r
