"""Which point of a map is its largest: those that may be, by a bound on the map's error, then ever more exactly.

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
from isacblocks.kernels.fast_map import powers
from isacblocks.kernels.fast_snapshot import exact_snapshot, single_snapshot
from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.peak import project, snapshot_at
from isacblocks.kernels.simd import LANES, Floats, Pointer, add, any_above, fused, largest, load, pointer, spread, total
from isacblocks.kernels.simd import top as highest


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
def candidates(
    angles: int,
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

    Arguments up to `delays` are those of :func:`~.fast_map.powers`, which makes the rows that matter once more. slack: a
    bound on the error of the amplitudes; tie: what single precision may have done, relative. More than `most` are not looked
    for: most + 1 stands for all those. Where all is zero, or nothing is finite, the first point is the only one.
    """
    top_lanes = spread(np.float32(0.0))
    for i in range(angles):
        top_lanes = largest(load(best, i * LANES), top_lanes)
    top = highest(top_lanes)
    found[0] = 0
    if not (top < np.inf and (top > 0.0 or slack > 0.0)):
        return 1
    floor = np.float32(max(math.sqrt(np.float64(top)) - 2.0 * slack, 0.0) ** 2 * (1.0 - tie))
    below = spread(np.nextafter(floor, np.float32(-1.0)))
    number, half, across = 0, (delays + 1) // 2, terms[2]
    for i in range(angles):
        if not any_above(load(best, i * LANES), below):
            continue
        powers(i, i + 1, beams, columns, tables, terms, mirrored, pointer(row), best, delays, pointer(row), -1)
        for j in range(delays):
            if row[across + delays - 1 - j if mirrored and j >= half else j] >= floor:
                if number == most:
                    return most + 1
                found[number] = i * delays + j
                number += 1
    return max(number, 1)


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
) -> int:
    """Of the points found, those within `tie` of the largest by their snapshots in single precision; returns how many."""
    best = 0.0
    for k in range(count):
        i, j = found[k] // phase.shape[0], found[k] % phase.shape[0]
        single_snapshot(pointer(g), row, pointer(single), 2 * j * row, phase[j], pitch, theta[i], other)
        sizes[k] = abs(project(kappa, other)) ** 2
        best = max(best, sizes[k])
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
