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
def _rounds(a: int, b: int, c: int, d: int, seed: int) -> tuple[int, int, int, int]:
    """Philox4x32-10 of the counter (a, b, c, d), words of 32 bits in 64."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
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
    return a, b, c, d


@jit
def philox(seed: int, stream: int, item: int, block: int, words: Words) -> None:
    """Fill `words` (4, L) with the Philox4x32-10 outputs of counters (block + l, stream, item), l = 0 .. L - 1."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    b, c, d = np.uint64(stream) & low, np.uint64(item) & low, np.uint64(item) >> half
    for lane in range(words.shape[1]):
        w0, w1, w2, w3 = _rounds((np.uint64(block) + np.uint64(lane)) & low, b, c, d, seed)
        words[0, lane], words[1, lane] = np.uint32(w0), np.uint32(w1)
        words[2, lane], words[3, lane] = np.uint32(w2), np.uint32(w3)


@jit
def philox_items(seed: int, stream: int, first: int, block: int, words: Words) -> None:
    """Fill `words` (4, L) with the Philox4x32-10 outputs of counters (block, stream, first + l), l = 0 .. L - 1."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a, b = np.uint64(block) & low, np.uint64(stream) & low
    for lane in range(words.shape[1]):
        item = np.uint64(first) + np.uint64(lane)
        w0, w1, w2, w3 = _rounds(a, b, item & low, item >> half, seed)
        words[0, lane], words[1, lane] = np.uint32(w0), np.uint32(w1)
        words[2, lane], words[3, lane] = np.uint32(w2), np.uint32(w3)


@jit_exact
def _uniform(high: np.uint32, low: np.uint32) -> float:
    """A double on [0, 1) from the upper 27 and 26 bits of two words."""
    number: float = (np.float64(high >> np.uint32(5)) * 67108864.0 + np.float64(low >> np.uint32(6))) / 9007199254740992.0
    return number


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
        out[k] = _uniform(words[row, lane], words[row + 1, lane])


@jit_exact
def item_uniforms(seed: int, stream: int, first: int, out: Float) -> None:
    """What :func:`uniforms` gives for the items first .. first + F - 1, a column each, into `out` (n, F)."""
    words = np.empty((4, LANES), np.uint32)
    for start in range(0, out.shape[1], LANES):
        count = min(LANES, out.shape[1] - start)
        for block in range((out.shape[0] + 1) // 2):
            philox_items(seed, stream, np.uint64(first) + np.uint64(start), block, words[:, :count])
            for k in range(2 * block, min(2 * block + 2, out.shape[0])):
                row = 2 * (k % 2)
                for lane in range(count):
                    out[k, start + lane] = _uniform(words[row, lane], words[row + 1, lane])


def check_seed(seed: int) -> int:
    """The seed itself, or ValueError where it is not an integer of 0 .. 2^64 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        raise ValueError(f"seed: expected an integer from 0 to 2^64 - 1, got {seed!r}")
    return seed
