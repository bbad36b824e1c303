"""Map and peak, eqs. (9)-(11), at the machine's speed: uniform linear arrays, complex64 frames, one grid of delays.

The frame goes into its delay basis (folding.py) and from there to the map (fast_map.py), which is looked through for its
maximum. Points that lie closer to it than single precision can tell are compared in double precision, in the frame itself
where there is one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.angle_basis import angle_bases
from isacblocks.kernels.arrays import Complex, Float, frozen, real_view
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.delay_grid import delay_grid
from isacblocks.kernels.delay_series import chebyshev_series
from isacblocks.kernels.fast_map import beam_rows, padded_rows, powers, sector_core, unfolded
from isacblocks.kernels.fast_refinement import delay_row, fast_newton_place
from isacblocks.kernels.fast_snapshot import exact_snapshot, single_snapshot
from isacblocks.kernels.folding import fold_frame, fold_scratch, folded_basis, whole_vectors
from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.peak import TIE, Peaks, found_peaks, project, snapshot_at
from isacblocks.kernels.products import aligned
from isacblocks.kernels.simd import LANES, Floats, any_above, largest, load, pointer, spread, store


@jit_apart
def _candidates(
    power: Floats, best: Floats, across: int, mirrored: bool, delays: int, tie: float, found: NDArray[np.int32]
) -> int:
    """Points within `tie` of the largest one into `found`, as i n_tau + j, in the order of the grid; returns how many.

    Where all is zero, or nothing is finite, the first point is the only one.
    """
    count = best.shape[0] // LANES
    rows, values = pointer(best), pointer(power)
    top_lanes = spread(np.float32(0.0))
    for i in range(count):
        top_lanes = largest(load(rows, i * LANES), top_lanes)
    lanes = np.empty(LANES, np.float32)
    store(pointer(lanes), 0, top_lanes)
    top = lanes[0]
    for lane in range(LANES):
        top = lanes[lane] if lanes[lane] > top else top
    found[0] = 0
    if not 0.0 < top < np.inf:
        return 1
    floor = np.float32(np.float64(top) * (1.0 - tie))
    below = spread(np.nextafter(floor, np.float32(0.0)))
    number = 0
    half = (delays + 1) // 2
    for i in range(count):
        if not any_above(load(rows, i * LANES), below):
            continue
        for j in range(delays):
            column = across + delays - 1 - j if mirrored and j >= half else j
            at = i * (across * 2 if mirrored else across) + column
            if values[at] >= floor:
                found[number] = i * delays + j
                number += 1
    return max(number, 1)


@jit
def _decided(
    whole: bool,
    y: Floats,
    x: Floats,
    g: Floats,
    columns: int,
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
    """The first largest one, in double precision, of the first `count` points found."""
    best, chosen = -1.0, int(found[0])
    for k in range(count):
        i, j = found[k] // delays.shape[0], found[k] % delays.shape[0]
        if whole:
            snapshot_at(y, x, positions, pitch, spacing, theta[i], delays[j], other)
        else:
            exact_snapshot(g, columns, exact[j], phase[j], pitch, theta[i], other)
        size = abs(project(kappa, other)) ** 2
        if size > best:
            best, chosen = size, int(found[k])
    return chosen


@jit
def fast_peaks(
    whole: bool,
    y: Floats,
    x: Floats,
    form: tuple[Floats, Floats, Floats],
    compressed: Floats,
    kappa: Complex,
    carriers: int,
    rank: int,
    window: tuple[float, float],
    series: Float,
    positions: Float,
    pitch: float,
    spacing: float,
    theta: Float,
    bases: tuple[Floats, Floats, NDArray[np.int64], Float],
    grid: tuple[Float, Floats, tuple[int, int, int], bool, Float, Floats, Complex, Float],
    refine: bool,
    tie: float,
    maps: Floats,
    index: NDArray[np.int64],
    place: Float,
    snapshot: Complex,
    correlation: Complex,
    energy: Float,
) -> None:
    """Eqs. (9)-(10) for F frames; results as for :func:`peak.peak_frames`.

    whole: the frames are y (F, N, 2 S) with x (F, 2 S), brought into the basis here (`form`: even, odd and ramp of a
    FoldedBasis) and their energies (F, 2) written; else they are `compressed`, real pairs (F, N, 2 D). Maps are stored where
    `maps` is (F, n_theta, n_tau), not where it is (0, ...). window: the middle and half the width of the basis's; series: of
    its coefficients, looked at where peaks are to be refined. One function, because scratch is made once for all frames.
    """
    delays, tables, counts, mirrored, exact, single, phase, moments = grid
    frames, antennas = index.shape[0], kappa.shape[0]
    columns, across = whole_vectors(2 * rank), counts[2]
    n_theta, half = theta.shape[1], (antennas + 1) // 2
    terms = 2 * half
    for width in range(bases[2].shape[0]):
        terms = max(terms, bases[2][width, 5])
    flat = aligned(antennas * columns)
    flat[:] = 0.0
    g = flat.reshape((antennas, columns))
    u_grid = np.empty(n_theta)
    h, core, beams = aligned(2 * half * columns), aligned(antennas * columns), aligned(n_theta * columns)
    e, power, best = aligned(n_theta * terms), aligned(n_theta * across * 2), aligned(n_theta * LANES)
    found = np.empty(n_theta * delays.shape[0], np.int32)
    other = np.empty(antennas, np.complex128)
    weights, sums = np.empty((6, antennas), np.float32), aligned(6 * columns).reshape((6, columns))
    row = aligned(2 * columns).reshape((2, columns))  # of a delay off the grid, made from a series:
    row[:, :] = 0.0
    turns, terms_of_row, d = np.empty((2, 2 * series.shape[1])), np.empty((2, series.shape[2])), np.empty(5)
    folding = fold_scratch(form[2].shape[0] // 2, form[0], form[1])
    for f in range(frames):
        angles = theta[f if theta.shape[0] > 1 else 0]
        if whole:
            fold_frame(y[f], x[f], form[0], form[1], form[2], folding, g, energy[f])
        else:
            padded_rows(pointer(compressed), f * antennas * 2 * rank, antennas, rank, columns, pointer(g))
        width, low, high = sector_core(
            pointer(g), kappa, pitch, antennas, columns, angles, bases, u_grid, pointer(h), pointer(core)
        )
        beam_rows(
            u_grid, 0.5 * (low + high), width, pitch, antennas, columns, bases, pointer(h), pointer(core), pointer(e),
            pointer(beams),
        )  # fmt: skip
        powers(n_theta, pointer(beams), columns, pointer(tables), counts, mirrored, pointer(power), pointer(best))
        if maps.shape[0] > 0:
            unfolded(pointer(power), across, mirrored, n_theta, delays.shape[0], pointer(maps[f]))
        count = _candidates(power, best, across, mirrored, delays.shape[0], tie, found)
        chosen = found[0]
        if count > 1:
            k = f if whole else 0
            chosen = _decided(
                whole, y[k], x[k], flat, columns, kappa, positions, pitch, spacing, angles, delays, exact, phase,
                found, count, other,
            )  # fmt: skip
        i, j = chosen // delays.shape[0], chosen % delays.shape[0]
        u = snapshot[f]
        single_snapshot(pointer(g), columns, pointer(single), 2 * j * columns, phase[j], pitch, angles[i], u)
        index[f, 0], index[f, 1] = i, j
        correlation[f] = project(kappa, u)
        place[f, 0], place[f, 1] = angles[i], delays[j]
        if refine:
            angle, delay = fast_newton_place(
                pointer(g), columns, kappa, positions, pitch, spacing, carriers, moments[j], angles, delays, i, j,
                weights, sums, d,
            )  # fmt: skip
            turn = delay_row(series, rank, carriers, spacing, delay - window[0], window[1], turns, terms_of_row, row)
            single_snapshot(pointer(g), columns, pointer(row), 0, turn, pitch, angle, other)
            better = project(kappa, other)
            if abs(better) > abs(correlation[f]):  # else the map is too rough for the grid: the point stays
                place[f, 0], place[f, 1] = angle, delay
                correlation[f] = better
                u[:] = other


_NO_FRAMES = np.zeros((1, 1, 2), np.float32)
_NO_SYMBOLS = np.zeros((1, 2), np.float32)
_NO_SERIES = frozen(np.zeros((2, 1, 1)))


def _search(
    whole: bool,
    y: Floats,
    x: Floats,
    compressed: Floats,
    energy: Float,
    basis: DelayBasis,
    kappa: Complex,
    theta: Float,
    tau: Float,
    refine: bool,
    maps: Floats | None,
) -> Peaks:
    radar = basis.radar
    count = y.shape[0] if whole else compressed.shape[0]
    form, bases = folded_basis(basis), angle_bases(radar.antennas, radar.element_spacing)
    grid = delay_grid(basis, tau[0])
    index, place = np.empty((count, 2), np.int64), np.empty((count, 2))
    snapshot, correlation = np.empty((count, radar.antennas), np.complex128), np.empty(count, np.complex128)
    fast_peaks(
        whole,
        y,
        x,
        (form.even, form.odd, form.ramp),
        compressed,
        frozen(kappa),
        radar.subcarriers,
        basis.rank,
        (basis.centre, 0.5 * (basis.window[1] - basis.window[0])),
        chebyshev_series(basis) if refine else _NO_SERIES,
        frozen(radar.positions),
        radar.element_spacing,
        radar.subcarrier_spacing,
        frozen(theta),
        (bases.vectors, bases.table, bases.layout, bases.extent),
        (grid.delays, grid.tables, grid.terms, grid.mirrored, grid.exact, grid.single, grid.phase, grid.moments),
        refine,
        TIE,
        np.empty((0, 1, 1), np.float32) if maps is None else maps,
        index,
        place,
        snapshot,
        correlation,
        energy,
    )
    return found_peaks(index, place, snapshot, correlation, energy[:, 0], energy[:, 1])


def fast_search(
    frames: Complex,
    symbols: Complex,
    basis: DelayBasis,
    kappa: Complex,
    theta: Float,
    tau: Float,
    refine: bool = False,
    maps: Floats | None = None,
) -> Peaks:
    """:func:`~.peak.search_literally` for complex64 frames of a uniform linear array and one grid of delays (1, n)."""
    y, x = real_view(frames), real_view(symbols)
    energy = np.empty((frames.shape[0], 2))
    return _search(True, y, x, frozen(_NO_FRAMES), energy, basis, kappa, theta, tau, refine, maps)


def fast_search_compressed(
    frames: Compressed,
    basis: DelayBasis,
    kappa: Complex,
    theta: Float,
    tau: Float,
    refine: bool = False,
    maps: Floats | None = None,
) -> Peaks:
    """:func:`~.compressed_peak.search_compressed_literally`, under the same conditions as :func:`fast_search`."""
    energy = np.empty((frames.energy.shape[0], 2))
    energy[:, 0], energy[:, 1] = frames.energy, frames.symbol_energy
    y, x = frozen(_NO_FRAMES), frozen(_NO_SYMBOLS)
    return _search(False, y, x, real_view(frames.g), energy, basis, kappa, theta, tau, refine, maps)
