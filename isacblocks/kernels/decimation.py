"""A delay basis that is reached in two short steps: a decimation filter, then a small matrix.

The sequences of a window lie within +-W of the frequencies of subcarriers, and W is often a small part of them: a filter
that keeps every eighth value loses nothing of such a sequence. With a filter h of w blocks of eight taps

    c_m = sum_b sum_t h_bt z_(8 (m + b - w + 1) + t)        m = 0 .. M - 1: every position in which the filter meets z
    g_d = sum_m A_md c_m                                    that is v_d = sum_m A_md h(. - 8 m)

where the sum over all subcarriers, folded, would take S D / 2 products, this takes S w and a few. The v_d are no longer the
prolate sequences themselves, but what those have in the span of the shifted filters, made orthonormal again. The filter is
the first prolate sequence of its own length and of the half bandwidth 1/8 - W, for what lies beyond falls onto the band when
seven of eight values are dropped; the error of a sequence of the window falls by a factor of nine with every block.

z begins with zeros where S is no multiple of eight, with as many as it ends with, so that the shifted filters lie evenly
about the middle subcarrier and v_d is even or odd as before. Derived in docs/maths.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isacblocks.kernels.arrays import Float, frozen
from isacblocks.kernels.prolate import prolate_sequences

BLOCK = 8  # subcarriers from one value kept to the next; two floats each, they fill one vector
_BLOCKS = range(2, 13)  # of a filter
_BAND = 0.975  # of 1/8 - W: least error at the edges of the window
_TRIAL = 256  # subcarriers on which the number of blocks is found: the error does not depend on how many there are
_POINTS = 64  # frequencies of the band at which it is looked at there
_STEP = 1.3  # a product of the first step in products of the second one: its operands all come from memory
_GAIN = 24.0  # of what the first step rounds, in the second one: 2^-24 becomes 1.5e-6 in the last g_d, which weigh least
_VECTOR = 16  # columns of the second step come in such multiples, even and odd ones apart


@dataclass(frozen=True, eq=False)
class Decimation:
    """taps: h, float64 (w, 8); matrix: A, float64 (M, D); before: zeros before the first subcarrier."""

    taps: Float
    matrix: Float
    before: int


def _shifted(taps: Float, carriers: int) -> Float:
    """The filter at every position, (S, M)."""
    blocks = -(-carriers // BLOCK)
    length, count = taps.size, blocks + taps.shape[0] - 1
    out = np.zeros((BLOCK * (blocks + 2 * (taps.shape[0] - 1)), count))
    for m in range(count):
        out[BLOCK * m : BLOCK * m + length, m] = taps.ravel()
    first = BLOCK * (taps.shape[0] - 1) + (BLOCK * blocks - carriers) // 2
    return out[first : first + carriers]


def _filter(blocks: int, half_width: float) -> Float:
    taps = prolate_sequences(BLOCK * blocks, _BAND * (1.0 / BLOCK - half_width))[:, 0]
    return np.asarray(taps.reshape(blocks, BLOCK) * np.sign(taps.sum()))


def left_over(span: Float, half_width: float, points: int = _POINTS) -> float:
    """The largest error of a sequence of the band in the span of orthonormal columns, relative to its length.

    points: frequencies, zero to W, that are looked at; the error is the same at -W to zero.
    """
    number = np.arange(span.shape[0]) - 0.5 * (span.shape[0] - 1)
    phase = 2.0 * np.pi * np.outer(number, np.linspace(0.0, half_width, points))
    rest = 0.0
    for part in (np.cos(phase), np.sin(phase)):
        rest = rest + ((part - span @ (span.T @ part)) ** 2).sum(axis=0)
    return float(np.sqrt(np.max(rest) / span.shape[0]))


def _products(carriers: int, rank: int, blocks: int) -> tuple[float, float]:
    """What a row costs: in two steps, and folded at once."""
    columns = _VECTOR * (-(-((rank + 1) // 2) // _VECTOR) + max(1, -(-(rank // 2) // _VECTOR)))
    count = -(-carriers // BLOCK) + blocks - 1
    return _STEP * 2.0 * carriers * blocks + count * columns, float(carriers * columns)


def decimated(vectors: Float, half_width: float, error: float) -> tuple[Float, Decimation] | None:
    """A basis (S, D) close to the orthonormal one of prolate `vectors`, and how it is reached; None where that takes no less
    work, or does not go.

    error: the largest of a sequence of the band in the span of the shifted filters; that of the D vectors left out is added.
    """
    carriers, rank = vectors.shape
    if carriers % 2 or half_width >= 0.5 / BLOCK:
        return None
    for blocks in _BLOCKS:
        steps, at_once = _products(carriers, rank, blocks)
        if steps >= at_once:
            return None
        taps = _filter(blocks, half_width)
        trial = np.linalg.qr(_shifted(taps, min(carriers, _TRIAL)))[0]
        if left_over(trial, half_width) > error:
            continue
        shifted = _shifted(taps, carriers)
        span, upper = np.linalg.qr(shifted)
        if left_over(span, half_width) <= error:
            break
    else:
        return None
    kept = span.T @ vectors
    for parity in range(2):  # the nearest orthonormal ones: even ones stay even, odd ones odd
        left, _, right = np.linalg.svd(kept[:, parity::2], full_matrices=False)
        kept[:, parity::2] = left @ right
    matrix = np.linalg.solve(upper, kept)
    if np.linalg.norm(matrix * np.linalg.norm(shifted, axis=0)[:, None], axis=0).max() > _GAIN:
        return None
    sign = np.where(np.arange(rank) % 2, -1.0, 1.0)
    found, matrix = span @ kept, 0.5 * (matrix + sign * matrix[::-1])
    found = 0.5 * (found + sign * found[::-1])  # exactly even and odd in turn
    return frozen(found), Decimation(frozen(taps), frozen(matrix), (-carriers % BLOCK) // 2)
