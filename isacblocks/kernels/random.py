"""Random numbers by counter: item k of stream m of seed z is always the same, whoever asks, in whatever order.

A block that is restarted, moved to another process or fed in other portions therefore draws the same bits, and there is
no generator state to save. Philox4x32-10: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011;
checked against the authors' published vectors. The four counter words are (block, stream, item low, item high), the key
is the 64-bit seed.

Gaussian numbers by the Box-Muller transform with polynomials for logarithm, sine and cosine, so that the compiler can
work on whole vector registers; single precision, absolute error below 1e-6, largest value 6.7 standard deviations.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.jit import jit, jit_exact

Words = NDArray[np.uint32]
Floats = NDArray[np.float32]

LANES = 256  # counters worked on side by side: small enough for the first-level cache

# Streams: what a number is drawn for. Two uses of one seed never share numbers.
STREAM_SYMBOLS = 1
STREAM_SCENE = 2
STREAM_NOISE = 3
STREAM_IMPAIRMENTS = 4
STREAM_DRIFT = 5
STREAM_NOISE_COMPRESSED = 6
STREAM_NOISE_OUTSIDE = 7


@jit
def philox(seed: int, stream: int, item: int, block: int, words: Words) -> None:
    """Fill `words` (4, L) with the Philox4x32-10 outputs of counters (block + l, stream, item), l = 0 .. L - 1."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    item_low = np.uint64(item) & low
    item_high = np.uint64(item) >> half
    for lane in range(words.shape[1]):
        a = (np.uint64(block) + np.uint64(lane)) & low
        b = np.uint64(stream) & low
        c = item_low
        d = item_high
        key_a = np.uint64(seed) & low
        key_b = np.uint64(seed) >> half
        for _ in range(10):
            p = a * np.uint64(0xD2511F53)
            q = c * np.uint64(0xCD9E8D57)
            a = (q >> half) ^ b ^ key_a
            b = q & low
            c = (p >> half) ^ d ^ key_b
            d = p & low
            key_a = (key_a + np.uint64(0x9E3779B9)) & low
            key_b = (key_b + np.uint64(0xBB67AE85)) & low
        words[0, lane] = np.uint32(a)
        words[1, lane] = np.uint32(b)
        words[2, lane] = np.uint32(c)
        words[3, lane] = np.uint32(d)


@jit_exact
def uniforms(seed: int, stream: int, item: int, out: Float) -> None:
    """Fill `out` (n,) with doubles uniform on [0, 1), 53 bits each; n at most 2^33."""
    words = np.empty((4, 1), np.uint32)
    for k in range(0, out.shape[0], 2):
        philox(seed, stream, item, k // 2, words)
        for j in range(min(2, out.shape[0] - k)):
            high = np.float64(words[2 * j, 0] >> np.uint32(5))
            out[k + j] = (high * 67108864.0 + np.float64(words[2 * j + 1, 0] >> np.uint32(6))) / 9007199254740992.0


@jit
def _box_muller(first: Words, second: Words, deviation: float, out: Floats, scratch: NDArray[np.int32]) -> None:
    """2 L normals into `out` from two rows of L random words; `scratch` is int32 (2, L)."""
    lanes = first.shape[0]
    value = scratch[0].view(np.float32)
    power = scratch[1]
    for k in range(lanes):  # u in (0, 1]
        value[k] = np.float32(first[k]) * np.float32(2.3283064e-10) + np.float32(1.1641532e-10)
    bits = scratch[0]
    for k in range(lanes):  # u = m 2^e with m in [sqrt(1/2), sqrt(2))
        shifted = bits[k] - np.int32(0x3F3504F3)
        power[k] = shifted >> np.int32(23)
        bits[k] = (shifted & np.int32(0x007FFFFF)) + np.int32(0x3F3504F3)
    scale = np.float32(-2.0 * deviation * deviation)
    one = np.float32(1.0)
    half = np.float32(0.5)
    for k in range(lanes):
        # log(u) = e log 2 + log(m); log(1 + z) by the series z - z^2/2 + z^3 P(z), P fitted on the interval
        z = value[k] - one
        zz = z * z
        p = np.float32(7.0376836292e-2)
        p = p * z + np.float32(-1.1514610310e-1)
        p = p * z + np.float32(1.1676998740e-1)
        p = p * z + np.float32(-1.2420140846e-1)
        p = p * z + np.float32(1.4249322787e-1)
        p = p * z + np.float32(-1.6668057665e-1)
        p = p * z + np.float32(2.0000714765e-1)
        p = p * z + np.float32(-2.4999993993e-1)
        p = p * z + np.float32(3.3333331174e-1)
        log_u = np.float32(power[k]) * np.float32(0.69314718056) + (p * z * zz - half * zz + z)
        radius = math.sqrt(max(scale * log_u, np.float32(0.0)))
        # angle 2 pi w / 2^32 as a quadrant and a rest in [-pi/4, pi/4), without a sum that could overflow
        word = second[k]
        quadrant = (((word >> np.uint32(29)) + np.uint32(1)) >> np.uint32(1)) & np.uint32(3)
        inside = ((word & np.uint32(0x3FFFFFFF)) + np.uint32(1 << 29)) & np.uint32(0x3FFFFFFF)
        rest = np.float32(np.int32(inside) - np.int32(1 << 29)) * np.float32(1.4629180792671596e-09)
        square = rest * rest
        sine = rest + rest * square * (
            (np.float32(-1.9515295891e-4) * square + np.float32(8.3321608736e-3)) * square + np.float32(-1.6666654611e-1)
        )
        cosine = (one - half * square) + square * square * (
            (np.float32(2.443315711809948e-5) * square + np.float32(-1.388731625493765e-3)) * square
            + np.float32(4.166664568298827e-2)
        )
        swap = (quadrant & np.uint32(1)) != 0
        c = sine if swap else cosine
        s = cosine if swap else sine
        c = -c if ((quadrant + np.uint32(1)) & np.uint32(2)) != 0 else c
        s = -s if (quadrant & np.uint32(2)) != 0 else s
        out[2 * k] = radius * c
        out[2 * k + 1] = radius * s


@jit
def normals(seed: int, stream: int, item: int, deviation: float, out: Floats) -> None:
    """Fill `out` (n,) with independent zero-mean normals of the given standard deviation."""
    words = np.empty((4, LANES), np.uint32)
    scratch = np.empty((2, LANES), np.int32)
    chunk = np.empty(2 * LANES, np.float32)
    done = 0
    block = 0
    while done < out.shape[0]:
        philox(seed, stream, item, block, words)
        block += LANES
        for pair in range(2):
            count = min(2 * LANES, out.shape[0] - done)
            if count == 2 * LANES:
                _box_muller(words[2 * pair], words[2 * pair + 1], deviation, out[done : done + count], scratch)
            elif count > 0:
                _box_muller(words[2 * pair], words[2 * pair + 1], deviation, chunk, scratch)
                out[done : done + count] = chunk[:count]
            done += count


def check_seed(seed: int) -> int:
    """The seed itself, or ValueError where it is not an integer of 0 .. 2^64 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed: expected an integer from 0 to 2^64 - 1, got {seed!r}")
    return seed
