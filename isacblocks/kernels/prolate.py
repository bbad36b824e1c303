"""Discrete prolate spheroidal sequences: the sequences of S terms that a band of frequencies +-W holds best.

D. Slepian, "Prolate spheroidal wave functions, Fourier analysis, and uncertainty - V: the discrete case", Bell Syst. Tech.
J. 57, 1978: they are the eigenvectors of a tridiagonal matrix that commutes with the projection on the band, and whose
eigenvalues are far apart where those of the projection crowd at one and zero. Bisection and inverse iteration find the first
K of them in O(S K), where a dense eigenvalue problem would take O(S^3).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Float, frozen
from isacblocks.kernels.jit import jit_exact


@jit_exact
def _eigenvalues_above(diagonal: Float, beside: Float, bound: float) -> int:
    """How many eigenvalues exceed `bound`: the positive pivots of T - bound I (Sturm)."""
    count = 0
    q = 1.0
    for s in range(diagonal.shape[0]):
        q = diagonal[s] - bound - (beside[s] * beside[s] / q if s > 0 else 0.0)
        if q == 0.0:
            q = 1e-300
        if q > 0.0:
            count += 1
    return count


@jit_exact
def _factor(
    diagonal: Float,
    beside: Float,
    shift: float,
    lower: Float,
    pivot: Float,
    above: Float,
    second: Float,
    swapped: NDArray[np.uint8],
) -> None:
    """P (T - shift I) = L U for a tridiagonal matrix, with partial pivoting; U has two diagonals above its pivots."""
    size = diagonal.shape[0]
    tiny = 1e-14 * abs(beside[1])
    head, next_to_it = diagonal[0] - shift, beside[1]
    for s in range(size - 1):
        below = beside[s + 1]
        middle = diagonal[s + 1] - shift
        right = beside[s + 2] if s + 2 < size else 0.0
        if abs(below) > abs(head):
            swapped[s] = 1
            pivot[s], above[s], second[s] = below, middle, right
            lower[s] = head / below
            head, next_to_it = next_to_it - lower[s] * middle, -lower[s] * right
        else:
            swapped[s] = 0
            pivot[s] = head if head != 0.0 else tiny
            above[s], second[s] = next_to_it, 0.0
            lower[s] = below / pivot[s]
            head, next_to_it = middle - lower[s] * next_to_it, right
    pivot[size - 1] = head if head != 0.0 else tiny


@jit_exact
def _solve(lower: Float, pivot: Float, above: Float, second: Float, swapped: NDArray[np.uint8], vector: Float) -> None:
    """Solve with :func:`_factor`'s factors, in place."""
    size = vector.shape[0]
    for s in range(size - 1):
        if swapped[s]:
            vector[s], vector[s + 1] = vector[s + 1], vector[s]
        vector[s + 1] -= lower[s] * vector[s]
    for s in range(size - 1, -1, -1):
        if s + 1 < size:
            vector[s] -= above[s] * vector[s + 1]
        if s + 2 < size:
            vector[s] -= second[s] * vector[s + 2]
        vector[s] /= pivot[s]


@jit_exact
def tridiagonal_vectors(diagonal: Float, beside: Float, low: float, high: float, out: Float) -> None:
    """The eigenvectors of the K largest eigenvalues of a symmetric tridiagonal matrix, largest first, into `out` (K, S).

    Eigenvalues in [low, high] by bisection on the number of negative pivots (Sturm), vectors by inverse iteration; the
    eigenvalues of Slepian's matrix are far apart, so each vector converges by itself. beside: (S,), the first is unused.
    """
    count, size = out.shape
    lower, pivot, above, second = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    swapped = np.empty(size, np.uint8)
    for k in range(count):
        a, b = low, high  # at least k + 1 eigenvalues above a, at most k above b
        while b - a > 4e-16 * max(abs(a), abs(b)):
            middle = 0.5 * (a + b)
            if middle <= a or middle >= b:
                break
            if _eigenvalues_above(diagonal, beside, middle) > k:
                a = middle
            else:
                b = middle
        high = b
        _factor(diagonal, beside, 0.5 * (a + b), lower, pivot, above, second, swapped)
        vector = out[k]
        for s in range(size):  # not orthogonal to any of them: even and odd parts, no symmetry of its own
            vector[s] = 1.0 + 0.3 * math.sin(1.0 + s * (k + 1.0))
        for _ in range(3):
            _solve(lower, pivot, above, second, swapped, vector)
            norm = 0.0
            for s in range(size):
                norm = max(norm, abs(vector[s]))
            total = 0.0
            for s in range(size):
                vector[s] /= norm
                total += vector[s] * vector[s]
            for s in range(size):
                vector[s] /= math.sqrt(total)


def prolate_sequences(carriers: int, half_width: float) -> Float:
    """Prolate sequences of half bandwidth W < 1/2, most concentrated first, (S, K): all that matter, and some more.

    They are the eigenvectors of Slepian's tridiagonal matrix. About 2 W S of them are concentrated in the band; of the ones
    that follow each holds less of it by a factor that exceeds exp(pi^2 / log(8 W S)), so that the last ones hold 1e-16.
    """
    k = np.arange(carriers)
    diagonal = ((carriers - 1 - 2 * k) / 2) ** 2 * math.cos(2 * math.pi * half_width)
    beside = k * (carriers - k) / 2
    edge = np.append(beside[1:], 0.0)
    low, high = float((diagonal - beside - edge).min()), float((diagonal + beside + edge).max())
    product = 2 * half_width * carriers
    count = min(carriers, math.ceil(product + 4.0 * math.log(8.0 + 4.0 * product) + 12.0))
    out = np.empty((count, carriers))
    tridiagonal_vectors(frozen(diagonal), frozen(beside), low, high, out)
    mirrored = out[:, ::-1] * np.where(np.arange(count) % 2, -1.0, 1.0)[:, None]
    out = 0.5 * (out + mirrored)  # exactly even and odd in turn
    return np.ascontiguousarray((out / np.linalg.norm(out, axis=1)[:, None]).T)
