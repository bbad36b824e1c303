"""Which point of a map is its largest: those that may be, by bounds on what was left out, then ever more exactly.

The map is first made at every second angle and delay. A point between two others differs from their mean by what their
functions bend: with r_i the row of the angle i, s_ij = sum_d r_id e_d(tau_j),

    |s_ij| <= (|s_i,j-1| + |s_i,j+1|) / 2 + ||r_i|| ||e(tau_j) - (e(tau_j-1) + e(tau_j+1)) / 2||
    |s_ij| <= (|s_i-1,j| + |s_i+1,j|) / 2 + ||r_i - (r_i-1 + r_i+1) / 2|| ||e(tau_j)||

so that the largest value of a row is bounded by its own and by its neighbours' at every second delay. Only rows whose bound
reaches the largest value found are made at all delays.

A map in single precision tells two points apart that differ by more than TIE. One of fewer functions than the frame's basis
has (:func:`~isacblocks.kernels.fast_search.fast_peaks`) is wrong by an amplitude of at most

    |s_ij - s'_ij| <= max |kappa_n| (||a|| ||e'(tau)|| ||g'|| + ||a - a'|| ||e(tau)|| ||g||)

with the delay functions e' and the columns g' of the frame that it leaves out, and a' the steering vector as its functions
of the angle have it. Where it is largest the true one is at least that less the bound, so that the true map's largest point
is among those at most twice the bound below. They are compared by their snapshots, those that are still alike in double
precision.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.arrays import Complex, Float
from isacblocks.kernels.fast_powers import powers
from isacblocks.kernels.fast_snapshot import exact_snapshot, single_snapshot
from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.peak import project, snapshot_at
from isacblocks.kernels.simd import (
    LANES,
    Floats,
    Pointer,
    add,
    any_above,
    fused,
    largest,
    load,
    multiply,
    pointer,
    spread,
    subtract,
    total,
)
from isacblocks.kernels.simd import top as highest

_ROUNDING = 4e-6  # of |s| relative to ||r|| ||e||, at most, by sums in single precision


@jit_apart
def lengths(g: Pointer, antennas: int, row: int, beyond: Pointer) -> tuple[float, float]:
    """||g|| of g (N, row), and ||g'|| of its columns where `beyond` (row,) is one, not zero."""
    size = antennas * row
    whole = part = spread(np.float32(0.0))
    for c in range(0, row, LANES):
        s0 = s1 = s2 = s3 = spread(np.float32(0.0))  # of antennas in turn: one sum would wait for itself
        at = c
        while at + 3 * row < size:
            v0, v1 = load(g, at), load(g, at + row)
            v2, v3 = load(g, at + 2 * row), load(g, at + 3 * row)
            s0, s1, s2, s3 = fused(v0, v0, s0), fused(v1, v1, s1), fused(v2, v2, s2), fused(v3, v3, s3)
            at += 4 * row
        while at < size:
            v0 = load(g, at)
            s0 = fused(v0, v0, s0)
            at += row
        square = add(add(s0, s1), add(s2, s3))
        whole, part = add(whole, square), fused(square, load(beyond, c), part)
    return math.sqrt(np.float64(total(whole))), math.sqrt(np.float64(total(part)))


@jit_apart
def rows_in_question(
    angles: int,
    beams: Pointer,
    columns: int,
    best: Pointer,
    bend: float,
    length: float,
    slack: float,
    tie: float,
    bounds: Float,
    rows: NDArray[np.int32],
) -> int:
    """Rows of a map in which :func:`candidates` can find one, in order, into `rows`; returns how many.

    beams: r_i, (angles, columns); best: the largest power in 16 lanes of every second row up to the last, and of the first
    one, at every second delay; bend: of the delays left out, and length: the largest ||e||, of a DelayGrid; slack, tie: what
    :func:`candidates` is told; bounds: scratch, (2, angles).
    """
    half, known = spread(np.float32(0.5)), (angles - 1) % 2
    for i in range(angles):
        square, at, powerful = spread(np.float32(0.0)), i * columns, 0.0
        if i and i % 2 != known:
            for c in range(at, at + columns, LANES):
                r = subtract(load(beams, c), multiply(half, add(load(beams, c - columns), load(beams, c + columns))))
                square = fused(r, r, square)
        else:
            for c in range(at, at + columns, LANES):
                r = load(beams, c)
                square = fused(r, r, square)
            powerful = np.float64(highest(load(best, i * LANES)))
        bounds[0, i], bounds[1, i] = np.float64(total(square)), powerful
    for i in range(angles):  # several roots at a time
        bounds[0, i], bounds[1, i] = math.sqrt(bounds[0, i]), math.sqrt(bounds[1, i])
    bend, top = bend + _ROUNDING * length, 0.0
    for i in range(angles):
        if not i or i % 2 == known:
            top = max(top, bounds[1, i])
            bounds[1, i] += bend * bounds[0, i]
    floor, count = max(top - 2.0 * slack, 0.0) * (1.0 - tie), 0
    for i in range(angles):
        if i and i % 2 != known:
            bounds[1, i] = 0.5 * (bounds[1, i - 1] + bounds[1, i + 1]) + length * bounds[0, i]
        if not bounds[1, i] < floor:  # also where nothing is finite
            rows[count] = i
            count += 1
    return count


@jit_apart
def candidates(
    rows: NDArray[np.int32],
    beams: Pointer,
    columns: int,
    tables: Pointer,
    terms: tuple[int, int, int],
    mirrored: bool,
    row: Floats,
    best: Pointer,
    delays: int,
    slack: float,
    tie: float,
    most: int,
    found: NDArray[np.int32],
) -> int:
    """Points that may be the largest into `found`, as i n_tau + j, in the order of the grid; returns how many.

    rows: those that are looked at; the arguments from there to `delays` are those of :func:`~.fast_powers.powers`, by which
    the rows that matter are made once more. slack: a bound on the error of the amplitudes; tie: what single precision may
    have done, relative. More than `most` are not looked for: most + 1 stands for all those. Where all is zero, or nothing is
    finite, the first point is the only one.
    """
    top_lanes = spread(np.float32(0.0))
    for i in rows:
        top_lanes = largest(load(best, i * LANES), top_lanes)
    top = highest(top_lanes)
    found[0] = 0
    if not (top < np.inf and (top > 0.0 or slack > 0.0)):
        return 1
    floor = np.float32(max(math.sqrt(np.float64(top)) - 2.0 * slack, 0.0) ** 2 * (1.0 - tie))
    below = spread(np.nextafter(floor, np.float32(-1.0)))
    number, half, across = 0, (delays + 1) // 2, terms[2]
    for i in rows:
        if not any_above(load(best, i * LANES), below):
            continue
        powers(i, i + 1, 1, beams, columns, tables, terms, mirrored, pointer(row), best, delays, pointer(row), -1)
        for j in range(delays):
            if row[across + delays - 1 - j if mirrored and j >= half else j] >= floor:
                if number == most:
                    return most + 1
                found[number] = i * delays + j
                number += 1
    return max(number, 1)


@jit_apart
def few_candidates(
    angles: int,
    beams: Pointer,
    columns: int,
    coarse: tuple[Floats, tuple[int, int, int], float, float],
    full: tuple[Floats, tuple[int, int, int]],
    mirrored: bool,
    row: Floats,
    best: Pointer,
    delays: int,
    slack: float,
    tie: float,
    most: int,
    bounds: Float,
    rows: NDArray[np.int32],
    found: NDArray[np.int32],
) -> int:
    """:func:`candidates` of a map of which only the rows in question are made.

    coarse: tables and terms of every second delay, bend and length as for :func:`rows_in_question`; full: tables and terms
    of all delays.
    """
    for first, last in ((0, 1), ((angles - 1) % 2, angles)):  # the first angle, and every second one up to the last
        powers(
            first, last, 2, beams, columns, pointer(coarse[0]), coarse[1], mirrored, pointer(row), best, delays,
            pointer(row), -1,
        )  # fmt: skip
    made = rows_in_question(angles, beams, columns, best, coarse[2], coarse[3], slack, tie, bounds, rows)
    tables, terms = full
    for i in rows[:made]:
        powers(
            i, i + 1, 1, beams, columns, pointer(tables), terms, mirrored, pointer(row), best, delays, pointer(row), -1
        )  # fmt: skip
    return candidates(
        rows[:made], beams, columns, pointer(tables), terms, mirrored, row, best, delays, slack, tie, most, found
    )


@jit
def weighed(
    g: Floats,
    row: int,
    kappa: Complex,
    single: Floats,
    phase: Complex,
    pitch: float,
    theta: Float,
    tie: float,
    found: NDArray[np.int32],
    count: int,
    sizes: Float,
    other: Complex,
    largest_one: Complex,
) -> int:
    """Of the points found, those within `tie` of the largest by their snapshots in single precision; returns how many.

    The snapshot of the first of the largest is left in `largest_one`.
    """
    best = -1.0
    for k in range(count):
        i, j = found[k] // phase.shape[0], found[k] % phase.shape[0]
        single_snapshot(pointer(g), row, pointer(single), 2 * j * row, phase[j], pitch, theta[i], other)
        sizes[k] = abs(project(kappa, other)) ** 2
        if sizes[k] > best:
            best = sizes[k]
            largest_one[:] = other
    kept = 0
    for k in range(count):
        if sizes[k] >= best * (1.0 - tie):
            found[kept] = found[k]
            kept += 1
    return max(kept, 1)


@jit
def decided(
    whole: bool,
    y: Floats,
    x: Floats,
    g: Floats,
    row: int,
    kappa: Complex,
    positions: Float,
    pitch: float,
    spacing: float,
    theta: Float,
    delays: Float,
    exact: Float,
    phase: Complex,
    found: NDArray[np.int32],
    count: int,
    other: Complex,
) -> int:
    """The first largest one, in double precision, of the first `count` points found; of the frame itself where `whole`."""
    best, chosen = -1.0, int(found[0])
    for k in range(count):
        i, j = found[k] // delays.shape[0], found[k] % delays.shape[0]
        if whole:
            snapshot_at(y, x, positions, pitch, spacing, theta[i], delays[j], other)
        else:
            exact_snapshot(g, row, exact[j], phase[j], pitch, theta[i], other)
        size = abs(project(kappa, other)) ** 2
        if size > best:
            best, chosen = size, int(found[k])
    return chosen
