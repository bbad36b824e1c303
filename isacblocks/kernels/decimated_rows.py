"""The first step onto a delay basis by decimation, decimation.py, in single precision and registers: eight antennas at once.

    z_s = Y_s conj(x_s) r_s,   c_m = sum_b sum_t h_bt z_(8 (m + b - w + 1) + t),   c_m +- c_(M-1-m) for m < M/2

A block of eight subcarriers is one vector of real pairs, so that the sum over b is one of vectors, and the sum over t what
their lanes add up to in the end. c lies with the antennas beside each other and m outside: it is folded vector by vector.
"""

from __future__ import annotations

import numpy as np

from isacblocks.kernels.jit import jit
from isacblocks.kernels.simd import (
    LANES,
    Pointer,
    add,
    fused,
    high_halves,
    high_pairs,
    high_quarters,
    load,
    low_halves,
    low_pairs,
    low_quarters,
    multiply,
    negative,
    pairs_high,
    pairs_low,
    prefetch,
    spread,
    store,
    subtract,
    swapped,
)

ROWS = 8  # antennas; one vector of pairs


@jit
def row_of(k: int) -> int:
    """Which of the antennas the k-th pair of c belongs to."""
    return k % 2 * (ROWS // 2) + k // 2


@jit
def paired_turns(carriers: int, turn: Pointer, pairs: Pointer) -> None:
    """What real pairs and swapped pairs are multiplied with, to be turned: (t_r, t_r) and (-t_i, t_i), each (2 S,).

    turn: real parts, then imaginary parts (2 S,).
    """
    whole = carriers // LANES * LANES
    for s in range(0, whole, LANES):
        real, imag = load(turn, s), load(turn, carriers + s)
        store(pairs, 2 * s, pairs_low(real, real))
        store(pairs, 2 * s + LANES, pairs_high(real, real))
        store(pairs, 2 * (carriers + s), pairs_low(negative(imag), imag))
        store(pairs, 2 * (carriers + s) + LANES, pairs_high(negative(imag), imag))
    for s in range(whole, carriers):
        pairs[2 * s], pairs[2 * s + 1] = turn[s], turn[s]
        pairs[2 * (carriers + s)], pairs[2 * (carriers + s) + 1] = -turn[carriers + s], turn[carriers + s]


@jit
def turned_rows(
    carriers: int, count: int, y: Pointer, at: int, pairs: Pointer, z: Pointer, apart: int, before: int, squares: Pointer
) -> None:
    """z = y . turn of `count` antennas, two at a time, real pairs both: those of y from `at` on, those of z `apart`.

    pairs: of :func:`paired_turns`; before: numbers that rows of z begin with; squares: |y|^2 is added, in 16 lanes.
    """
    size = 2 * carriers
    whole = size // LANES * LANES
    p, q = load(squares, 0), spread(np.float32(0.0))  # two sums: each addition waits for the one before it
    for n in range(0, count // 2 * 2, 2):
        here, to = at + n * size, n * apart + before
        for k in range(0, whole, LANES):
            u, v = load(y, here + k), load(y, here + size + k)
            p, q = fused(u, u, p), fused(v, v, q)
            same, other = load(pairs, k), load(pairs, size + k)
            store(z, to + k, fused(u, same, multiply(swapped(u), other)))
            store(z, to + apart + k, fused(v, same, multiply(swapped(v), other)))
    if count % 2:
        here, to = at + (count - 1) * size, (count - 1) * apart + before
        for k in range(0, whole, LANES):
            u = load(y, here + k)
            p = fused(u, u, p)
            store(z, to + k, fused(u, load(pairs, k), multiply(swapped(u), load(pairs, size + k))))
    store(squares, 0, add(p, q))
    for n in range(count):
        here, to = at + n * size, n * apart + before
        for k in range(whole, size, 2):
            r, i = y[here + k], y[here + k + 1]
            squares[0] += r * r + i * i
            z[to + k] = r * pairs[k] + i * pairs[size + k]
            z[to + k + 1] = i * pairs[k + 1] + r * pairs[size + k + 1]


@jit
def decimated_rows(
    z: Pointer, blocks: int, taps: Pointer, width: int, c: Pointer, parts: Pointer, following: Pointer, start: int
) -> None:
    """c_m of eight antennas, the pairs in the order of :func:`row_of`, (M, 16), and one row more.

    z: rows of `blocks` vectors; taps: h, every one twice, of `width` vectors; parts: scratch, of eight vectors. Meanwhile as
    many numbers as z has come near of `following`, from `start` on.

    Two antennas and two values at a time: four sums, for which two vectors of z and one of h are loaded.
    """
    apart, zero = blocks * LANES, spread(np.float32(0.0))
    count = blocks + width - 1
    lines = (ROWS * blocks * 2 + count - 1) // count  # a cache line has 16 numbers, a step makes two values
    for m in range(0, count, 2):
        for line in range(lines):
            prefetch(following, start + (m // 2 * lines + line) * LANES)
        first, last = max(0, width - 1 - m), min(width, blocks + width - 2 - m)  # blocks of the filter, both within z
        for pair in range(ROWS // 2):
            at = (m - width + 1) * LANES + 2 * pair * apart
            here_0 = here_1 = next_0 = next_1 = zero
            h = load(taps, max(first - 1, 0) * LANES)
            if first == 0:
                here_0, here_1 = multiply(load(z, at), h), multiply(load(z, at + apart), h)
            for b in range(max(first, 1), min(last, width - 1) + 1):
                u, v = load(z, at + b * LANES), load(z, at + apart + b * LANES)
                next_0, next_1 = fused(u, h, next_0), fused(v, h, next_1)
                h = load(taps, b * LANES)
                here_0, here_1 = fused(u, h, here_0), fused(v, h, here_1)
            if last == width:
                at += width * LANES
                next_0, next_1 = fused(load(z, at), h, next_0), fused(load(z, at + apart), h, next_1)
            store(parts, pair * LANES, add(low_halves(here_0, here_1), high_halves(here_0, here_1)))
            store(parts, (4 + pair) * LANES, add(low_halves(next_0, next_1), high_halves(next_0, next_1)))
        for k in range(2):
            p, q = load(parts, 4 * k * LANES), load(parts, (4 * k + 1) * LANES)
            r, s = load(parts, (4 * k + 2) * LANES), load(parts, (4 * k + 3) * LANES)
            upper, lower = add(low_quarters(p, q), high_quarters(p, q)), add(low_quarters(r, s), high_quarters(r, s))
            store(c, (m + k) * LANES, add(low_pairs(upper, lower), high_pairs(upper, lower)))


@jit
def folded_kept(count: int, c: Pointer, even: Pointer, odd: Pointer) -> None:
    """c_m +- c_(M-1-m) for m < M/2, (M/2, 16) each; the middle of an odd M has no partner."""
    for m in range(count // 2):
        here, there = load(c, m * LANES), load(c, (count - 1 - m) * LANES)
        store(even, m * LANES, add(here, there))
        store(odd, m * LANES, subtract(here, there))
    if count % 2:
        middle = count // 2 * LANES
        store(even, middle, load(c, middle))
        store(odd, middle, spread(np.float32(0.0)))
