"""A grid of delays in a delay basis, as the fast search takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from isacblocks.kernels.arrays import Complex, Float, frozen
from isacblocks.kernels.delay_basis import DelayBasis, coefficients
from isacblocks.kernels.folding import whole_vectors
from isacblocks.kernels.products import aligned_copy
from isacblocks.kernels.simd import Floats

ROUGH = 1e-4  # of e(tau) relative to its length, of the first d alone


@dataclass(frozen=True, eq=False)
class DelayGrid:
    """One grid of delays in one basis, as kernels take it.

    tables: e_d(tau_j) for even d, then e_d(tau_j) / j for odd d, float32, flat (D, delays), for the first half of a grid
    that is `mirrored`, else for all of it, padded with zeros to whole vectors; terms: how many even d, odd d and delays;
    few, few_terms: the same of the first d alone, as many as are needed for `ROUGH`; rest: the largest length of what they
    leave out, of e(tau_j), which has the length sqrt(S);
    coarse, coarse_terms: few for every second delay, so that those left out lie between two others; bend: the largest
    distance of their few functions from the mean of those of their neighbours;
    exact: per delay what g must be multiplied with for Re and for Im of sum_d g_d e_d, float64 (n, 2, 2 D padded);
    single: the same as float32; phase: of c_d = phase e_d, complex128 (n,); moments: sums over s of v_sd (s - (S - 1)/2)^k
    exp(j 2 pi (s - (S - 1)/2) Delta_f (tau - tau_c)) for k = 0, 1, 2, float64 (n, 3, D). They are real for even d + k, and
    imaginary, here divided by j, for odd d + k.
    """

    delays: Float
    tables: Floats
    terms: tuple[int, int, int]
    few: Floats
    few_terms: tuple[int, int, int]
    rest: float
    coarse: Floats
    coarse_terms: tuple[int, int, int]
    bend: float
    mirrored: bool
    exact: Float
    single: Floats
    phase: Complex
    moments: Float


def _moments(basis: DelayBasis, tau: Float) -> Float:
    number = np.arange(basis.radar.subcarriers) - 0.5 * (basis.radar.subcarriers - 1)
    phase = 2.0 * np.pi * basis.radar.subcarrier_spacing * np.outer(tau - basis.centre, number)
    cosine, sine = np.cos(phase), np.sin(phase)
    out = np.empty((tau.size, 3, basis.rank))
    for k in range(3):
        weighted = basis.vectors * number[:, None] ** k
        for parity in range(2):
            out[:, k, parity::2] = (sine if (parity + k) % 2 else cosine) @ weighted[:, parity::2]
    return frozen(out)


def _tables(e: Complex) -> tuple[Floats, tuple[int, int, int]]:
    """Tables of e (delays, D), and their terms."""
    even, columns = (e.shape[1] + 1) // 2, whole_vectors(e.shape[0])
    tables = np.zeros((e.shape[1], columns))
    tables[:even, : e.shape[0]] = e.real[:, 0::2].T
    tables[even:, : e.shape[0]] = e.imag[:, 1::2].T
    return aligned_copy(tables.ravel()), (even, e.shape[1] - even, columns)


def _every_second(e: Complex) -> tuple[Floats, tuple[int, int, int], float]:
    """Tables of every second delay of e (delays, D), their terms, and the `bend` of those left out."""
    last = e.shape[0] - 1
    left_out = np.arange(last - 1, 0, -2)
    bends = e[left_out] - 0.5 * (e[left_out - 1] + e[left_out + 1])
    return *_tables(np.delete(e, left_out, axis=0)), float(np.linalg.norm(bends, axis=1).max(initial=0.0))


def delay_grid(basis: DelayBasis, tau: Float) -> DelayGrid:
    """The tables of a grid of delays (n,)."""
    spacing, carriers = basis.radar.subcarrier_spacing, basis.radar.subcarriers
    phase = np.exp(1j * np.pi * (carriers - 1) * spacing * (tau - basis.centre))
    c = np.empty((tau.size, basis.rank), np.complex128)
    coefficients(frozen(basis.vectors), spacing, basis.centre, frozen(tau), c)
    e = c / phase[:, None]
    middle = tau + tau[::-1] - 2.0 * basis.centre
    mirrored = bool(np.abs(middle).max() <= 1e-9 * (basis.window[1] - basis.window[0])) and tau.size > 1
    kept = e[: (tau.size + 1) // 2] if mirrored else e
    tail = np.cumsum(np.abs(e[:, ::-1]) ** 2, axis=1)[:, ::-1].max(axis=0)  # of all that follow, by the number kept
    tail = np.sqrt(np.append(tail, 0.0))
    first = max(int(np.argmax(tail <= ROUGH * math.sqrt(carriers))), 1)
    tables, terms = _tables(kept)
    few, few_terms = _tables(kept[:, :first])
    coarse, coarse_terms, bend = _every_second(kept[:, :first])
    exact = np.zeros((tau.size, 2, whole_vectors(2 * basis.rank) // 2, 2))
    rank = basis.rank
    exact[:, 0, 0:rank:2, 0] = exact[:, 1, 0:rank:2, 1] = e.real[:, 0::2]
    exact[:, 1, 1:rank:2, 0] = e.imag[:, 1::2]
    exact[:, 0, 1:rank:2, 1] = -e.imag[:, 1::2]
    exact = frozen(exact.reshape(tau.size, 2, -1))
    return DelayGrid(
        frozen(tau), tables, terms, few, few_terms, float(tail[first]), coarse, coarse_terms, bend, mirrored, exact,
        aligned_copy(exact), frozen(phase), _moments(basis, tau),
    )  # fmt: skip
