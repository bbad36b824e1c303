"""Frames onto a delay basis at the machine's speed: what compression.py says, in single precision and registers.

    g_nd = sum_s z_ns v_ds,   z_ns = Y_ns conj(x_s) r_s

The v_d are even and odd in turn about the middle subcarrier, so half of the products are enough once z is folded:

    g_nd = sum_{s < S/2} v_ds (z_ns +- z_n(S-1-s)),   + for even d, - for odd d.

v is real, so that the real and the imaginary parts of the folded rows of several antennas are rows of one matrix, and the
sum over s a product of :mod:`isacblocks.kernels.simd`. Where the basis is one of decimation.py, the values that its filter
keeps stand in place of z, and the matrix A in place of v.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from isacblocks.kernels.arrays import Complex, Float, output_array, real_view
from isacblocks.kernels.decimated_rows import ROWS, decimated_rows, folded_kept, paired_turns, row_of, turned_rows
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.folded_rows import folded_row, turns
from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.products import aligned, aligned_copy, fetching_product, product
from isacblocks.kernels.simd import (
    LANES,
    Floats,
    Pointer,
    load,
    offset,
    pairs_high,
    pairs_low,
    pointer,
    spread,
    store,
    turns_high,
    turns_low,
)

Form = tuple[Floats, Floats, Floats, Floats, int]
Scratch = tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats]

GROUP = ROWS  # antennas whose rows are in the first-level cache together


@jit
def whole_vectors(count: int) -> int:
    """`count` rounded up to whole vectors."""
    return (count + LANES - 1) // LANES * LANES


@dataclass(frozen=True, eq=False)
class FoldedBasis:
    """A delay basis as the folded product takes it; float32, padded with zeros to whole vectors.

    even, odd: v_sd for s < S/2 (rounded up), (S/2, columns), or the same of A; ramp: r, real parts, then imaginary parts,
    (2 S,); taps: of the filter, every one twice, none without; before: zeros that z begins with then.
    """

    even: Floats
    odd: Floats
    ramp: Floats
    taps: Floats
    before: int

    @property
    def parts(self) -> Form:
        """As kernels take it."""
        return self.even, self.odd, self.ramp, self.taps, self.before


@lru_cache(maxsize=32)
def folded_basis(basis: DelayBasis) -> FoldedBasis:
    """The folded form of a delay basis."""
    kept = basis.decimation
    matrix = basis.vectors if kept is None else kept.matrix
    half = (matrix.shape[0] + 1) // 2
    parts = []
    for parity in range(2):
        columns = matrix[:half, parity::2]
        part = np.zeros((half, max(LANES, whole_vectors(columns.shape[1]))))
        part[:, : columns.shape[1]] = columns
        parts.append(aligned_copy(part))
    ramp = basis.ramp
    taps = aligned_copy(np.zeros(0) if kept is None else np.repeat(kept.taps.ravel(), 2))
    parted = aligned_copy(np.concatenate([ramp.real, ramp.imag]))
    return FoldedBasis(parts[0], parts[1], parted, taps, 0 if kept is None else kept.before)


@jit
def _sum(lanes: Pointer) -> float:
    """The sum of 16 lanes in double precision."""
    total = 0.0
    for lane in range(LANES):
        total += np.float64(lanes[lane])
    return total


@jit
def _interleaved(
    even: Pointer, even_at: int, wide: int, odd: Pointer, odd_at: int, narrow: int, row: Pointer, at: int
) -> None:
    """Real parts and imaginary parts of even and of odd d to real pairs in the order of d; to row[at :], 4 wide.

    even: two rows of `wide`, odd: two of `narrow` columns, which are as many or 16 fewer.
    """
    for k in range(0, narrow, LANES):
        e_r, e_i = load(even, even_at + k), load(even, even_at + wide + k)
        o_r, o_i = load(odd, odd_at + k), load(odd, odd_at + narrow + k)
        e_low, e_high, o_low, o_high = pairs_low(e_r, e_i), pairs_high(e_r, e_i), pairs_low(o_r, o_i), pairs_high(o_r, o_i)
        store(row, at + 4 * k, turns_low(e_low, o_low))
        store(row, at + 4 * k + LANES, turns_high(e_low, o_low))
        store(row, at + 4 * k + 2 * LANES, turns_low(e_high, o_high))
        store(row, at + 4 * k + 3 * LANES, turns_high(e_high, o_high))
    for k in range(narrow, wide):  # the last even d, where the odd ones filled their vectors exactly
        row[at + 4 * k], row[at + 4 * k + 1] = even[even_at + k], even[even_at + wide + k]
        row[at + 4 * k + 2], row[at + 4 * k + 3] = np.float32(0.0), np.float32(0.0)


@jit
def fold_scratch(form: Form) -> Scratch:
    """What :func:`fold_frame` works in: turns, folded rows and their projections for a group of antennas, one row of g, and
    where there is a filter the turned rows and what it keeps of them.
    """
    even, odd, carriers = form[0], form[1], form[2].shape[0] // 2
    half = even.shape[0]
    z = aligned(GROUP * 2 * half), aligned(GROUP * 2 * half)
    z[0][:], z[1][:] = 0.0, 0.0
    rows = aligned(GROUP * 2 * even.shape[1]), aligned(GROUP * 2 * odd.shape[1])
    whole = 0
    if form[3].shape[0]:
        whole = (carriers + LANES // 2 - 1) // (LANES // 2) * LANES  # of a turned row
    turned = aligned(GROUP * (whole + LANES + 2 * (2 * half + 1)))
    turned[:] = 0.0  # what precedes and follows a row, and rows without an antenna, stay so
    return aligned(6 * carriers), z[0], z[1], rows[0], rows[1], aligned(4 * even.shape[1] + LANES), turned


@jit
def _filtered(
    carriers: int, count: int, y: Pointer, at: int, turn: Pointer, taps: Floats, before: int, turned: Pointer,
    even: Pointer, odd: Pointer, squares: Pointer,
) -> None:  # fmt: skip
    """What the filter keeps of `count` antennas from `at` on, folded."""
    blocks, width = (carriers + LANES // 2 - 1) // (LANES // 2), taps.shape[0] // LANES
    turned_rows(carriers, count, y, at, turn, turned, blocks * LANES, 2 * before, squares)
    parts = offset(turned, GROUP * blocks * LANES)
    kept = offset(parts, GROUP * LANES)
    decimated_rows(turned, blocks, pointer(taps), width, kept, parts, y, at + count * 2 * carriers)
    folded_kept(blocks + width - 1, kept, even, odd)


@jit_apart
def fold_frame(y: Floats, x: Floats, form: Form, scratch: Scratch, g: Floats, energy: Float) -> None:
    """One frame: y (N or more, 2 S) and x (2 S,) real pairs, g real pairs (N, 2 D), energy (2,) = (||Y||^2, ||x||^2).

    Rows of y beyond the antennas are not looked at. form: of a FoldedBasis.
    """
    even, odd, ramp, taps, before = form
    carriers, half, wide, narrow = ramp.shape[0] // 2, even.shape[0], even.shape[1], odd.shape[1]
    turn, z_even, z_odd, g_even, g_odd, row, turned = (
        pointer(scratch[0]), pointer(scratch[1]), pointer(scratch[2]), pointer(scratch[3]), pointer(scratch[4]),
        pointer(scratch[5]), pointer(scratch[6]),
    )  # fmt: skip
    samples, out, antennas, width, filtered = pointer(y), pointer(g), g.shape[0], g.shape[1], taps.shape[0] > 0
    squares = row  # free until the projections are there
    turns(carriers, pointer(x), pointer(ramp), turn, squares)
    energy[0], energy[1] = 0.0, _sum(squares)
    pairs = offset(turn, 2 * carriers)
    if filtered:
        paired_turns(carriers, turn, pairs)
    for first in range(0, antennas, GROUP):
        count = min(GROUP, antennas - first)
        store(squares, 0, spread(np.float32(0.0)))
        start = first * 2 * carriers
        if filtered:
            _filtered(carriers, count, samples, start, pairs, taps, before, turned, z_even, z_odd, squares)
            energy[0] += _sum(squares)
            rows = 2 * GROUP
            product(z_even, 0, 1, rows, pointer(even), 0, wide, (rows, half, wide), g_even, 0, wide)
            product(z_odd, 0, 1, rows, pointer(odd), 0, narrow, (rows, half, narrow), g_odd, 0, narrow)
        else:
            for k in range(count):
                at = 2 * k * half
                folded_row(carriers, samples, start + k * 2 * carriers, turn, z_even, at, z_odd, at, squares)
            energy[0] += _sum(squares)
            # Meanwhile the next antennas come near: as many cache lines as the sums have terms, for a whole group
            rows, following = 2 * count, start + count * 2 * carriers
            fetching_product(
                z_even, 0, half, 1, pointer(even), 0, wide, (rows, half, wide), g_even, 0, wide, samples, following
            )  # fmt: skip
            fetching_product(
                z_odd, 0, half, 1, pointer(odd), 0, narrow, (rows, half, narrow), g_odd, 0, narrow, samples,
                following + half * LANES,
            )  # fmt: skip
        for k in range(GROUP):
            n = row_of(k) if filtered else k
            if n >= count:
                continue
            at = (first + n) * width
            if width == 4 * wide:
                _interleaved(g_even, 2 * k * wide, wide, g_odd, 2 * k * narrow, narrow, out, at)
                continue
            _interleaved(g_even, 2 * k * wide, wide, g_odd, 2 * k * narrow, narrow, row, 0)
            for d in range(0, width // LANES * LANES, LANES):
                store(out, at + d, load(row, d))
            for d in range(width // LANES * LANES, width):
                out[at + d] = row[d]


@jit
def fold_frames(y: Floats, x: Floats, form: Form, g: Floats, energy: Float) -> None:
    """:func:`fold_frame` for F frames."""
    scratch = fold_scratch(form)
    for f in range(y.shape[0]):
        fold_frame(y[f], x[f], form, scratch, g[f], energy[f])


def fold(frames: Complex, symbols: Complex, basis: DelayBasis, out: Complex | None = None) -> Compressed:
    """Complex64 frames with symbols (F, S) in the basis; :func:`~isacblocks.kernels.compression.compressed`."""
    g = output_array("out", out, (frames.shape[0], basis.radar.antennas, basis.rank), np.complex64)
    energy = np.empty((frames.shape[0], 2))
    fold_frames(real_view(frames), real_view(symbols), folded_basis(basis).parts, g.view(np.float32), energy)
    return Compressed(g, energy[:, 0], energy[:, 1])
