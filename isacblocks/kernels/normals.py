"""Gaussian numbers by counter, at the speed of the vector registers: item k of stream m of seed z is always the same.

Philox (random.py) is what makes the numbers of an item a function of (seed, stream, item), but ten rounds for every four
words are too slow for the noise of whole frames. Here it only seeds: lane l of an item starts from the four words of counter
(l, stream, item), and 16 lanes of xoshiro128++ go on side by side from there, a few thousand words each out of a period
of 2^128 - 1. D. Blackman and S. Vigna, "Scrambled linear pseudorandom number generators", ACM Trans. Math. Softw. 47, 2021;
checked against the published vector. docs/decisions/0016 says why.

The transform is that of Box and Muller in polynomials, docs/maths.md section 2b: only sums, products, fused products, square
roots and conversions, each of which IEEE 754 rounds in one way, so that every machine makes the same bits. Absolute error
below 1e-6 + 2^-25 / r, r the length of the pair; largest value sqrt(2 log 2^33) = 6.76 standard deviations.

It is written with the vectors of simd.py, so that the generators' states stay in registers from the first number of an item
to the last: :func:`load_lanes`, then :func:`next_pairs` as often as is wanted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.jit import jit_apart, jit_exact
from isacblocks.kernels.random import philox
from isacblocks.kernels.simd import LANES, add, fused, multiply, pointer, spread, store, subtract
from isacblocks.kernels.simd_words import (
    bits_of,
    common,
    exclusive,
    float_of_bits,
    left,
    load_words,
    right_signed,
    root,
    rotated,
    rounded,
    rounded_signed,
    spread_word,
    store_words,
    word_difference,
    word_pointer,
    word_sum,
)

Words = NDArray[np.uint32]
Floats = NDArray[np.float32]

BLOCK = 2 * LANES  # normals made at a time: a cosine and a sine per lane

_left_1, _left_9, _rotated_7, _rotated_11, _exponent = left(1), left(9), rotated(7), rotated(11), right_signed(23)
_HALF, _ONE, _RIGHT = np.float32(0.5), np.float32(1.0), np.float32(2.0**-31)
_ROOT_HALF, _MANTISSA = np.uint32(0x3F3504F3), np.uint32(0x007FFFFF)  # bits of sqrt(1/2), of a mantissa
_ROOT_WORD = np.uint32(0x3F3504F3 + (32 << 23))  # bits of 2^32 sqrt(1/2)
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
def xoshiro(s0: Any, s1: Any, s2: Any, s3: Any) -> tuple[Any, Any, Any, Any, Any]:
    """One step of xoshiro128++ in every lane: the outputs, and the next states; vectors of words."""
    word = word_sum(_rotated_7(word_sum(s0, s3)), s0)
    t = _left_9(s1)
    s2, s3 = exclusive(s2, s0), exclusive(s3, s1)
    s1, s0 = exclusive(s1, s2), exclusive(s0, s3)
    return word, s0, s1, exclusive(s2, t), _rotated_11(s3)


@jit_exact
def radius(word: Any) -> Any:
    """sqrt(-2 log u) of u = (word + 1/2) / 2^32 in (0, 1]; vectors."""
    v = add(rounded(word), spread(_HALF))
    # u = v / 2^32 = m 2^e with m in [sqrt(1/2), sqrt(2)): e from the bits of v / sqrt(1/2), m by difference
    bits = word_difference(bits_of(v), spread_word(_ROOT_WORD))
    e = rounded_signed(_exponent(bits))
    m = float_of_bits(word_sum(common(bits, spread_word(_MANTISSA)), spread_word(_ROOT_HALF)))
    z = subtract(m, spread(_ONE))
    p = fused(fused(fused(spread(_L7), z, spread(_L6)), z, spread(_L5)), z, spread(_L4))
    p = fused(fused(fused(fused(p, z, spread(_L3)), z, spread(_L2)), z, spread(_L1)), z, spread(_L0))
    return root(fused(p, z, multiply(e, spread(_LOG_2))))  # never of less than zero: u is at most one


@jit_exact
def next_pairs(s0: Any, s1: Any, s2: Any, s3: Any, deviation: Any) -> tuple[Any, Any, Any, Any, Any, Any, Any]:
    """Two steps of all lanes: r, cos phi, sin phi of 16 pairs of normals r cos phi, r sin phi, then the next states.

    Everything is a vector, as are the states that :func:`load_lanes` gives and the standard deviation. The last product is
    left to the caller, who may have something to add to it.
    """
    first, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
    second, s0, s1, s2, s3 = xoshiro(s0, s1, s2, s3)
    # The angle: a direction in the right half plane from 31 bits, and the last bit, as the radius' sign, for the left.
    t = multiply(rounded_signed(_left_1(second)), spread(_RIGHT))
    square = multiply(t, t)
    sine = fused(fused(fused(spread(_S4), square, spread(_S3)), square, spread(_S2)), square, spread(_S1))
    sine = multiply(fused(sine, square, spread(_S0)), t)
    cosine = fused(fused(fused(spread(_C4), square, spread(_C3)), square, spread(_C2)), square, spread(_C1))
    cosine = fused(cosine, square, spread(_C0))
    length = multiply(deviation, radius(first))
    length = float_of_bits(exclusive(bits_of(length), common(second, spread_word(_SIGN))))
    return length, cosine, sine, s0, s1, s2, s3


@jit_exact
def load_lanes(lanes: Words) -> tuple[Any, Any, Any, Any]:
    """The states (4 LANES,) as four vectors."""
    place = word_pointer(lanes)
    return load_words(place, 0), load_words(place, LANES), load_words(place, 2 * LANES), load_words(place, 3 * LANES)


@jit_exact
def store_lanes(lanes: Words, s0: Any, s1: Any, s2: Any, s3: Any) -> None:
    """The four vectors into the states (4 LANES,)."""
    place = word_pointer(lanes)
    store_words(place, 0, s0)
    store_words(place, LANES, s1)
    store_words(place, 2 * LANES, s2)
    store_words(place, 3 * LANES, s3)


@jit_exact
def seed_lanes(seed: int, stream: int, item: int, lanes: Words) -> None:
    """The states of an item's lanes, (4 LANES,): word j of counter (l, stream, item) is word j of lane l's state."""
    philox(seed, stream, item, 0, lanes.reshape(4, LANES))
    for lane in range(LANES):  # zero is the one state that never changes: one of 2^128
        if (lanes[lane] | lanes[LANES + lane] | lanes[2 * LANES + lane] | lanes[3 * LANES + lane]) == 0:
            lanes[lane] = 1


@jit_apart
def fill_normals(lanes: Words, deviation: np.float32, done: int, wanted: int, out: Floats, rest: Floats) -> int:
    """Go on filling `out` (n,), of which `done` are there, by whole blocks until `wanted` or more are; returns how many are.

    `rest` (BLOCK,) is scratch for the last block, which is cut off. So the noise of a frame can be made row by row.
    """
    s0, s1, s2, s3 = load_lanes(lanes)
    scale, place, last = spread(deviation), pointer(out), pointer(rest)
    while done < wanted:
        r, cosine, sine, s0, s1, s2, s3 = next_pairs(s0, s1, s2, s3, scale)
        if done + BLOCK <= out.shape[0]:
            store(place, done, multiply(r, cosine))
            store(place, done + LANES, multiply(r, sine))
            done += BLOCK
        else:
            store(last, 0, multiply(r, cosine))
            store(last, LANES, multiply(r, sine))
            for k in range(out.shape[0] - done):
                out[done + k] = rest[k]
            done = out.shape[0]
    store_lanes(lanes, s0, s1, s2, s3)
    return done


@jit_exact
def normals(seed: int, stream: int, item: int, deviation: float, out: Floats) -> None:
    """Fill `out` (n,) with independent zero-mean normals of the given standard deviation, single precision."""
    lanes, rest = np.empty(4 * LANES, np.uint32), np.empty(BLOCK, np.float32)
    seed_lanes(seed, stream, item, lanes)
    fill_normals(lanes, np.float32(deviation), 0, out.shape[0], out, rest)
