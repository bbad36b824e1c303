"""Frames onto a delay basis at the machine's speed: what compression.py says, in single precision and registers.

    g_nd = sum_s z_ns v_ds,   z_ns = Y_ns conj(x_s) r_s

The v_d are even and odd in turn about the middle subcarrier, so half of the products are enough once z is folded:

    g_nd = sum_{s < S/2} v_ds (z_ns +- z_n(S-1-s)),   + for even d, - for odd d.

v is real, so that the real and the imaginary parts of the folded rows of several antennas are rows of one matrix, and the
sum over s a product of :mod:`isacblocks.kernels.simd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from isacblocks.kernels.arrays import Complex, Float, output_array, real_view
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.products import aligned, aligned_copy, fetching_product
from isacblocks.kernels.simd import (
    LANES,
    Floats,
    Pointer,
    add,
    backwards,
    fused,
    imaginaries,
    load,
    multiply,
    negative,
    pairs_high,
    pairs_low,
    pointer,
    reals,
    spread,
    store,
    subtract,
    turns_high,
    turns_low,
)

GROUP = 8  # antennas whose rows are in the first-level cache together


@jit
def whole_vectors(count: int) -> int:
    """`count` rounded up to whole vectors."""
    return (count + LANES - 1) // LANES * LANES


@dataclass(frozen=True, eq=False)
class FoldedBasis:
    """A delay basis as the folded product takes it; float32, padded with zeros to whole vectors.

    even, odd: v_sd for s < S/2 (rounded up), (S/2, columns); ramp: r, real parts, then imaginary parts, (2 S,).
    """

    even: Floats
    odd: Floats
    ramp: Floats


@lru_cache(maxsize=32)
def folded_basis(basis: DelayBasis) -> FoldedBasis:
    """The folded form of a delay basis."""
    half = (basis.vectors.shape[0] + 1) // 2
    parts = []
    for parity in range(2):
        columns = basis.vectors[:half, parity::2]
        part = np.zeros((half, max(LANES, whole_vectors(columns.shape[1]))))
        part[:, : columns.shape[1]] = columns
        parts.append(aligned_copy(part))
    ramp = basis.ramp
    return FoldedBasis(parts[0], parts[1], aligned_copy(np.concatenate([ramp.real, ramp.imag])))


@jit
def _turns(carriers: int, x: Pointer, ramp: Pointer, turn: Pointer, squares: Pointer) -> None:
    """turn = conj(x_s) r_s, real parts, then imaginary parts (2 S,) like `ramp`; squares: |x|^2 in 16 lanes."""
    whole = carriers // LANES * LANES
    total = spread(np.float32(0.0))
    for s in range(0, whole, LANES):
        u, v = load(x, 2 * s), load(x, 2 * s + LANES)
        r, i = reals(u, v), imaginaries(u, v)
        total = fused(r, r, fused(i, i, total))
        w_r, w_i = load(ramp, s), load(ramp, carriers + s)
        store(turn, s, fused(r, w_r, multiply(i, w_i)))
        store(turn, carriers + s, fused(r, w_i, negative(multiply(i, w_r))))
    store(squares, 0, total)
    for s in range(whole, carriers):
        r, i = x[2 * s], x[2 * s + 1]
        squares[0] += r * r + i * i
        turn[s] = r * ramp[s] + i * ramp[carriers + s]
        turn[carriers + s] = r * ramp[carriers + s] - i * ramp[s]


@jit
def _sum(lanes: Pointer) -> float:
    """The sum of 16 lanes in double precision."""
    total = 0.0
    for lane in range(LANES):
        total += np.float64(lanes[lane])
    return total


@jit
def _folded(
    carriers: int,
    y: Pointer,
    at: int,
    turn: Pointer,
    even: Pointer,
    even_at: int,
    odd: Pointer,
    odd_at: int,
    squares: Pointer,
) -> None:
    """z = y . turn, folded: z_s +- z_(S-1-s) for s < S/2, real parts, then imaginary parts, at even_at and odd_at.

    y: real pairs from `at` on; turn: real parts, then imaginary parts (2 S,); squares: |y|^2 is added, in 16 lanes.
    The middle of an odd number of subcarriers has no partner.
    """
    half = (carriers + 1) // 2
    whole = carriers // 2 // LANES * LANES
    p = load(squares, 0)
    q = o = n = spread(np.float32(0.0))  # four sums of squares: each addition waits for the one before it
    for s in range(0, whole, LANES):
        t = carriers - LANES - s  # the partners, in falling order once turned round
        u, v = load(y, at + 2 * s), load(y, at + 2 * s + LANES)
        r, i = reals(u, v), imaginaries(u, v)
        p, q = fused(r, r, p), fused(i, i, q)
        w_r, w_i = load(turn, s), load(turn, carriers + s)
        here_r, here_i = fused(r, w_r, negative(multiply(i, w_i))), fused(r, w_i, multiply(i, w_r))
        u, v = load(y, at + 2 * t), load(y, at + 2 * t + LANES)
        r, i = reals(u, v), imaginaries(u, v)
        o, n = fused(r, r, o), fused(i, i, n)
        w_r, w_i = load(turn, t), load(turn, carriers + t)
        there_r = backwards(fused(r, w_r, negative(multiply(i, w_i))))
        there_i = backwards(fused(r, w_i, multiply(i, w_r)))
        store(even, even_at + s, add(here_r, there_r))
        store(even, even_at + half + s, add(here_i, there_i))
        store(odd, odd_at + s, subtract(here_r, there_r))
        store(odd, odd_at + half + s, subtract(here_i, there_i))
    total = add(add(p, q), add(o, n))
    store(squares, 0, total)
    for s in range(whole, half):
        t = carriers - 1 - s
        r, i = y[at + 2 * s], y[at + 2 * s + 1]
        squares[0] += r * r + i * i
        here_r = r * turn[s] - i * turn[carriers + s]
        here_i = r * turn[carriers + s] + i * turn[s]
        there_r, there_i = np.float32(0.0), np.float32(0.0)
        if s != t:
            r, i = y[at + 2 * t], y[at + 2 * t + 1]
            squares[0] += r * r + i * i
            there_r = r * turn[t] - i * turn[carriers + t]
            there_i = r * turn[carriers + t] + i * turn[t]
        even[even_at + s], even[even_at + half + s] = here_r + there_r, here_i + there_i
        odd[odd_at + s], odd[odd_at + half + s] = here_r - there_r, here_i - there_i


@jit
def _interleaved(
    even: Pointer, even_at: int, wide: int, odd: Pointer, odd_at: int, narrow: int, row: Pointer, at: int
) -> None:
    """Real parts and imaginary parts of even and of odd d to real pairs in the order of d; to row[at :], 4 wide.

    even: two rows of `wide`, odd: two of `narrow` columns, which are as many or 16 fewer.
    """
    for k in range(0, narrow, LANES):
        e_r, e_i = load(even, even_at + k), load(even, even_at + wide + k)
        o_r, o_i = load(odd, odd_at + k), load(odd, odd_at + narrow + k)
        e_low, e_high, o_low, o_high = pairs_low(e_r, e_i), pairs_high(e_r, e_i), pairs_low(o_r, o_i), pairs_high(o_r, o_i)
        store(row, at + 4 * k, turns_low(e_low, o_low))
        store(row, at + 4 * k + LANES, turns_high(e_low, o_low))
        store(row, at + 4 * k + 2 * LANES, turns_low(e_high, o_high))
        store(row, at + 4 * k + 3 * LANES, turns_high(e_high, o_high))
    for k in range(narrow, wide):  # the last even d, where the odd ones filled their vectors exactly
        row[at + 4 * k], row[at + 4 * k + 1] = even[even_at + k], even[even_at + wide + k]
        row[at + 4 * k + 2], row[at + 4 * k + 3] = np.float32(0.0), np.float32(0.0)


@jit
def fold_scratch(carriers: int, even: Floats, odd: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats]:
    """What :func:`fold_frame` works in: turns, folded rows and their projections for a group of antennas, one row of g."""
    half = even.shape[0]
    z = aligned(GROUP * 2 * half), aligned(GROUP * 2 * half)
    z[0][:], z[1][:] = 0.0, 0.0
    rows = aligned(GROUP * 2 * even.shape[1]), aligned(GROUP * 2 * odd.shape[1])
    return aligned(2 * carriers), z[0], z[1], rows[0], rows[1], aligned(4 * even.shape[1] + LANES)


@jit_apart
def fold_frame(
    y: Floats,
    x: Floats,
    even: Floats,
    odd: Floats,
    ramp: Floats,
    scratch: tuple[Floats, Floats, Floats, Floats, Floats, Floats],
    g: Floats,
    energy: Float,
) -> None:
    """One frame: y (N or more, 2 S) and x (2 S,) real pairs, g real pairs (N, 2 D), energy (2,) = (||Y||^2, ||x||^2).

    Rows of y beyond the antennas are not looked at.
    """
    carriers, half, wide, narrow = ramp.shape[0] // 2, even.shape[0], even.shape[1], odd.shape[1]
    turn, z_even, z_odd, g_even, g_odd, row = (
        pointer(scratch[0]), pointer(scratch[1]), pointer(scratch[2]), pointer(scratch[3]), pointer(scratch[4]),
        pointer(scratch[5]),
    )  # fmt: skip
    samples, out, antennas, width = pointer(y), pointer(g), g.shape[0], g.shape[1]
    squares = row  # free until the projections are there
    _turns(carriers, pointer(x), pointer(ramp), turn, squares)
    energy[0], energy[1] = 0.0, _sum(squares)
    for first in range(0, antennas, GROUP):
        count = min(GROUP, antennas - first)
        store(squares, 0, spread(np.float32(0.0)))
        for k in range(count):
            at = 2 * k * half
            _folded(carriers, samples, (first + k) * 2 * carriers, turn, z_even, at, z_odd, at, squares)
        energy[0] += _sum(squares)
        # Meanwhile the next antennas come near: as many cache lines as the sums have terms, for a whole group
        even_shape, odd_shape, next_rows = (2 * count, half, wide), (2 * count, half, narrow), (first + count) * 2 * carriers
        fetching_product(
            z_even, 0, half, 1, pointer(even), 0, wide, even_shape, g_even, 0, wide, samples, next_rows
        )  # fmt: skip
        fetching_product(
            z_odd, 0, half, 1, pointer(odd), 0, narrow, odd_shape, g_odd, 0, narrow, samples, next_rows + half * LANES
        )
        for k in range(count):
            at = (first + k) * width
            if width == 4 * wide:
                _interleaved(g_even, 2 * k * wide, wide, g_odd, 2 * k * narrow, narrow, out, at)
                continue
            _interleaved(g_even, 2 * k * wide, wide, g_odd, 2 * k * narrow, narrow, row, 0)
            for d in range(0, width // LANES * LANES, LANES):
                store(out, at + d, load(row, d))
            for d in range(width // LANES * LANES, width):
                out[at + d] = row[d]


@jit
def fold_frames(y: Floats, x: Floats, even: Floats, odd: Floats, ramp: Floats, g: Floats, energy: Float) -> None:
    """:func:`fold_frame` for F frames."""
    scratch = fold_scratch(ramp.shape[0] // 2, even, odd)
    for f in range(y.shape[0]):
        fold_frame(y[f], x[f], even, odd, ramp, scratch, g[f], energy[f])


def fold(frames: Complex, symbols: Complex, basis: DelayBasis, out: Complex | None = None) -> Compressed:
    """Complex64 frames with symbols (F, S) in the basis; :func:`~isacblocks.kernels.compression.compressed`."""
    form = folded_basis(basis)
    g = output_array("out", out, (frames.shape[0], basis.radar.antennas, basis.rank), np.complex64)
    energy = np.empty((frames.shape[0], 2))
    fold_frames(real_view(frames), real_view(symbols), form.even, form.odd, form.ramp, g.view(np.float32), energy)
    return Compressed(g, energy[:, 0], energy[:, 1])
