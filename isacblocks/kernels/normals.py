"""Gaussian numbers by counter, at the speed of the vector registers: item k of stream m of seed z is always the same.

Philox (random.py) is what makes the numbers of an item a function of (seed, stream, item), but ten rounds for every four
words are too slow for the noise of whole frames. Here it only seeds: lane l of an item starts from the four words of counter
(l, stream, item), and 128 lanes of xoshiro128++ go on side by side from there, a few hundred numbers each out of a period
of 2^128 - 1. D. Blackman and S. Vigna, "Scrambled linear pseudorandom number generators", ACM Trans. Math. Softw. 47, 2021;
checked against the published vector. docs/decisions/0016 says why.

The transform is that of Box and Muller in polynomials, docs/maths.md section 2b: only sums, products, fused products, square
roots and conversions, each of which IEEE 754 rounds in one way, so that every machine makes the same bits. Absolute error
below 1e-6 + 2^-25 / r, r the length of the pair; largest value sqrt(2 log 2^33) = 6.76 standard deviations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.jit import jit_exact
from isacblocks.kernels.random import philox
from isacblocks.kernels.simd import fma

Words = NDArray[np.uint32]
Floats = NDArray[np.float32]
Real = NDArray[Any]  # float32 or float64

LANES = 128  # generators side by side: several registers of them, for no step can begin before the one before has ended
BLOCK = 2 * LANES  # normals made at a time: a cosine and a sine per lane

_HALF, _ONE, _RIGHT = np.float32(0.5), np.float32(1.0), np.float32(2.0**-31)
_ROOT_HALF, _MANTISSA, _EXPONENT = np.int32(0x3F3504F3), np.int32(0x007FFFFF), np.int32(23)  # bits of sqrt(1/2), ...
_ROOT_WORD = np.int32(0x3F3504F3 + (32 << 23))  # bits of 2^32 sqrt(1/2)
_SIGN = np.uint32(0x80000000)

# -2 log(1 + z) = z (L0 + z (L1 + ...)) on sqrt(1/2) - 1 <= z <= sqrt(2) - 1, error below 8e-8; -2 log 2
_L0, _L1, _L2 = np.float32(-1.9999996423721313), np.float32(1.0000126361846924), np.float32(-0.6667222976684570)
_L3, _L4, _L5 = np.float32(0.4992099106311798), np.float32(-0.3974885046482086), np.float32(0.3464677631855011)
_L6, _L7, _LOG_2 = np.float32(-0.32819968461990356), np.float32(0.20238591730594635), np.float32(-1.3862943611198906)
# sin(pi t / 2) = t (S0 + t^2 (S1 + ...)), cos(pi t / 2) = C0 + t^2 (C1 + ...) on -1 <= t <= 1; below 5e-8 and 9e-8
_S0, _S1, _S2 = np.float32(1.570796251296997), np.float32(-0.6459633708000183), np.float32(0.07968848198652267)
_S3, _S4 = np.float32(-0.004672227893024683), np.float32(0.00015082056052051485)
_C0, _C1, _C2 = np.float32(0.9999999403953552), np.float32(-1.2336982488632202), np.float32(0.2536507546901703)
_C3, _C4 = np.float32(-0.020810628309845924), np.float32(0.0008581914007663727)


@jit_exact
def _rotated(x: np.uint32, left: np.uint32, right: np.uint32) -> np.uint32:
    """`x` rotated by `left` bits, left + right = 32."""
    rotated: np.uint32 = np.uint32(np.uint32(x << left) | np.uint32(x >> right))
    return rotated


@jit_exact
def xoshiro(
    s0: np.uint32, s1: np.uint32, s2: np.uint32, s3: np.uint32
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32, np.uint32]:
    """One step of xoshiro128++: its output, and the next state."""
    word = np.uint32(_rotated(np.uint32(s0 + s3), np.uint32(7), np.uint32(25)) + s0)
    t = np.uint32(s1 << np.uint32(9))
    s2, s3 = s2 ^ s0, s3 ^ s1
    s1, s0 = s1 ^ s2, s0 ^ s3
    return word, s0, s1, s2 ^ t, _rotated(s3, np.uint32(11), np.uint32(21))


@jit_exact
def _radius(word: np.uint32) -> np.float32:
    """sqrt(-2 log u) of u = (word + 1/2) / 2^32 in (0, 1]."""
    v = np.float32(word) + _HALF
    # u = v / 2^32 = m 2^e with m in [sqrt(1/2), sqrt(2)): e from the bits of v / sqrt(1/2), m by difference
    bits = np.int32(np.float32(v).view(np.int32) - _ROOT_WORD)
    e = np.float32(np.int32(bits >> _EXPONENT))
    z = np.int32(np.int32(bits & _MANTISSA) + _ROOT_HALF).view(np.float32) - _ONE
    p = fma(fma(fma(_L7, z, _L6), z, _L5), z, _L4)
    p = fma(fma(fma(fma(p, z, _L3), z, _L2), z, _L1), z, _L0)
    radius: np.float32 = np.float32(math.sqrt(fma(p, z, e * _LOG_2)))  # never of less than zero: u is at most one
    return radius


@jit_exact
def next_normals(lanes: Words, deviation: np.float32, out: Real) -> None:
    """Two steps of all `lanes` (4 LANES,), from each a pair of normals into `out` (BLOCK,), zero mean, given deviation."""
    for lane in range(out.shape[0] // 2):
        s0, s1 = lanes[lane], lanes[LANES + lane]
        s2, s3 = lanes[2 * LANES + lane], lanes[3 * LANES + lane]
        first, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
        second, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
        lanes[lane], lanes[LANES + lane] = s0, s1
        lanes[2 * LANES + lane], lanes[3 * LANES + lane] = s2, s3
        # The angle: a direction in the right half plane from 31 bits, and the last bit, as the radius' sign, for the left.
        radius = deviation * _radius(first)
        radius = np.int32(np.float32(radius).view(np.int32) ^ np.int32(second & _SIGN)).view(np.float32)
        t = np.float32(np.int32(np.uint32(second << np.uint32(1)))) * _RIGHT
        square = t * t
        sine = fma(fma(fma(fma(_S4, square, _S3), square, _S2), square, _S1), square, _S0) * t
        cosine = fma(fma(fma(fma(_C4, square, _C3), square, _C2), square, _C1), square, _C0)
        out[lane] = radius * cosine
        out[LANES + lane] = radius * sine


@jit_exact
def seed_lanes(seed: int, stream: int, item: int, lanes: Words) -> None:
    """The states of an item's lanes, (4 LANES,): word j of counter (l, stream, item) is word j of lane l's state."""
    philox(seed, stream, item, 0, lanes.reshape(4, LANES))
    for lane in range(LANES):  # zero is the one state that never changes: one of 2^128
        if (lanes[lane] | lanes[LANES + lane] | lanes[2 * LANES + lane] | lanes[3 * LANES + lane]) == 0:
            lanes[lane] = 1


@jit_exact
def fill_normals(lanes: Words, deviation: np.float32, done: int, wanted: int, out: Real, rest: Floats) -> int:
    """Go on filling `out` (n,), of which `done` are there, by whole blocks until `wanted` or more are; returns how many are.

    `rest` (BLOCK,) is scratch for the last block, which is cut off. So the noise of a frame can be made row by row.
    """
    while done < wanted:
        if done + BLOCK <= out.shape[0]:
            next_normals(lanes, deviation, out[done : done + BLOCK])
            done += BLOCK
        else:
            next_normals(lanes, deviation, rest)
            for k in range(out.shape[0] - done):
                out[done + k] = rest[k]
            done = out.shape[0]
    return done


@jit_exact
def normals(seed: int, stream: int, item: int, deviation: float, out: Real) -> None:
    """Fill `out` (n,) with independent zero-mean normals of the given standard deviation, single precision."""
    lanes, rest = np.empty(4 * LANES, np.uint32), np.empty(BLOCK, np.float32)
    seed_lanes(seed, stream, item, lanes)
    fill_normals(lanes, np.float32(deviation), 0, out.shape[0], out, rest)
