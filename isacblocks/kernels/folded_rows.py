"""The first step onto a delay basis of prolate sequences: symbols and ramp off, and the subcarriers folded.

z_s = Y_s conj(x_s) r_s,   z_s +- z_(S-1-s) for s < S/2
"""

from __future__ import annotations

import numpy as np

from isacblocks.kernels.jit import jit
from isacblocks.kernels.simd import (
    LANES,
    Pointer,
    add,
    backwards,
    fused,
    imaginaries,
    load,
    multiply,
    negative,
    reals,
    spread,
    store,
    subtract,
)


@jit
def turns(carriers: int, x: Pointer, ramp: Pointer, turn: Pointer, squares: Pointer) -> None:
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
def folded_row(
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
