"""Random numbers by counter: item k of stream m of seed z is always the same, whoever asks, in whatever order.

A block that is restarted, moved to another process or fed in other portions therefore draws the same bits, and there is
no generator state to save. Philox4x32-10: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011;
checked against the authors' published vectors. The four counter words are (block, stream, item low, item high), the key
is the 64-bit seed. Gaussian numbers are in normals.py.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float
from isacblocks.kernels.jit import jit, jit_exact

Words = NDArray[np.uint32]

LANES = 64  # counters worked on side by side, at most: small enough for the first-level cache

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
    lanes = min((out.shape[0] + 1) // 2, LANES)  # two to a counter
    words = np.empty((4, lanes), np.uint32)
    for k in range(out.shape[0]):
        lane = k // 2 % lanes
        if k % 2 == 0 and lane == 0:
            philox(seed, stream, item, k // 2, words)
        row = 2 * (k % 2)
        high = np.float64(words[row, lane] >> np.uint32(5))
        out[k] = (high * 67108864.0 + np.float64(words[row + 1, lane] >> np.uint32(6))) / 9007199254740992.0


def check_seed(seed: int) -> int:
    """The seed itself, or ValueError where it is not an integer of 0 .. 2^64 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed: expected an integer from 0 to 2^64 - 1, got {seed!r}")
    return seed
