"""Map and peak, eqs. (9)-(11), at the machine's speed: uniform linear arrays, complex64 frames, one grid of delays.

The frame goes into its delay basis (folding.py) and from there to the map (fast_map.py), which is looked through for its
maximum. A map that nobody stores is made with fewer functions than it would take to store it; which points may be the
largest of the exact one is found out by a bound, and which of them is, in double precision where single precision cannot
tell, in the frame itself where there is one (fast_candidates.py).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.kernels.angle_basis import ERROR, angle_bases
from isacblocks.kernels.arrays import Complex, Float, frozen, real_view
from isacblocks.kernels.delay_basis import Compressed, DelayBasis
from isacblocks.kernels.delay_grid import delay_grid
from isacblocks.kernels.delay_series import chebyshev_series
from isacblocks.kernels.fast_candidates import candidates, decided, few_candidates, lengths, weighed
from isacblocks.kernels.fast_map import beam_rows, padded_rows, sector_core
from isacblocks.kernels.fast_powers import powers
from isacblocks.kernels.fast_refinement import fast_refined, refinement_scratch
from isacblocks.kernels.fast_snapshot import single_snapshot
from isacblocks.kernels.folding import Form, fold_frame, fold_scratch, folded_basis, whole_vectors
from isacblocks.kernels.jit import jit, jit_apart
from isacblocks.kernels.peak import TIE, Peaks, found_peaks, project
from isacblocks.kernels.products import aligned
from isacblocks.kernels.simd import LANES, Floats, Pointer, pointer

ROUGH = 1e-4  # error of a steering vector, relative to its length, in a map of few functions
_MARGIN = 1.01  # for the interpolation of the functions
_MOST = 16  # points that may be the largest; where there are more, the map is made with all functions


# What a map is made with: functions of the delay, even and odd ones and delays, functions of the angle
_Functions = tuple[Floats, tuple[int, int, int], tuple[Floats, Floats, NDArray[np.int64], Float]]


@jit_apart
def _make_beams(
    g: Pointer,
    row: int,
    kappa: Complex,
    pitch: float,
    angles: Float,
    functions: _Functions,
    u: Float,
    h: Pointer,
    core: Pointer,
    e: Pointer,
    beams: Pointer,
) -> None:
    """The rows r_i of a frame's map from g (N, row), flat, into `beams`; u to e are scratch, as pointers: arrays in a tuple
    would be counted at every call."""
    terms, antennas = functions[1], kappa.shape[0]
    columns = whole_vectors(2 * (terms[0] + terms[1]))
    width, low, high = sector_core(g, row, kappa, pitch, antennas, columns, angles, functions[2], u, h, core)
    beam_rows(u, 0.5 * (low + high), width, pitch, antennas, columns, functions[2], h, core, e, beams)


@jit
def _room(antennas: int, n_theta: int, every: _Functions, few: _Functions) -> int:
    """Functions of the angle of which one map takes the most, padded; cos and sin of all antennas where it takes none."""
    terms = (antennas + 1) // 2 * 2
    for functions in (every, few):
        layout = functions[2][2]
        for width in range(layout.shape[0]):
            terms = max(terms, layout[width, 5])
    return n_theta * terms


@jit
def fast_peaks(
    whole: bool,
    y: Floats,
    x: Floats,
    form: Form,
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
    every: _Functions,
    few: _Functions,
    errors: tuple[float, float],
    coarse: tuple[Floats, tuple[int, int, int], float, float],
    grid: tuple[Float, bool, Float, Floats, Complex, Float],
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

    whole: the frames are y (F, N, 2 S) with x (F, 2 S), brought into the basis here (`form`: of a
    FoldedBasis) and their energies (F, 2) written; else they are `compressed`, real pairs (F, N, 2 D). Maps are stored where
    `maps` is (F, n_theta, n_tau), not where it is (0, ...). window: the middle and half the width of the basis's; series: of
    its coefficients, looked at where peaks are to be refined. Maps that are not stored are made with few functions, whose
    `errors` are ||e'|| ||a|| and ||e|| ||a - a'|| of fast_candidates.py, first at every second angle and delay (`coarse`:
    its tables, terms and bend, and ||e||), then in the rows that this leaves in question; and with all functions where too
    many points may be the largest. One function, because scratch is made once for all frames.
    """
    delays, mirrored, exact, single, phase, moments = grid
    frames, antennas = index.shape[0], kappa.shape[0]
    columns, narrow = whole_vectors(2 * rank), whole_vectors(2 * (few[1][0] + few[1][1]))
    n_theta, n_tau, stored, gain = theta.shape[1], delays.shape[0], maps.shape[0] > 0, np.abs(kappa).max()
    beyond = aligned(columns)
    beyond[:] = 0.0
    beyond[2 * (few[1][0] + few[1][1]) :] = 1.0
    flat = aligned(antennas * columns)
    flat[:] = 0.0
    g = flat.reshape((antennas, columns))
    u_grid, h, core = np.empty(n_theta), aligned((antennas + 1) // 2 * 2 * columns), aligned(antennas * columns)
    e, beams = aligned(_room(antennas, n_theta, every, few)), aligned(n_theta * columns)
    power, best, bounds = aligned(2 * every[1][2]), aligned(n_theta * LANES), np.empty((2, n_theta))
    all_rows, rows = np.arange(n_theta, dtype=np.int32), np.empty(n_theta, np.int32)
    found, sizes, other = np.empty(n_theta * n_tau, np.int32), np.empty(_MOST), np.empty(antennas, np.complex128)
    folding, refining = fold_scratch(form), refinement_scratch(antennas, columns, series)
    for f in range(frames):
        angles = theta[f if theta.shape[0] > 1 else 0]
        if whole:
            fold_frame(y[f], x[f], form, folding, g, energy[f])
        else:
            padded_rows(pointer(compressed), f * antennas * 2 * rank, antennas, rank, columns, pointer(g))
        count, u, known = _MOST + 1, snapshot[f], False
        if not stored:
            _make_beams(
                pointer(g), columns, kappa, pitch, angles, few, u_grid, pointer(h), pointer(core), pointer(e),
                pointer(beams),
            )  # fmt: skip
            length, rest = lengths(pointer(g), antennas, columns, pointer(beyond))
            slack = gain * (errors[0] * rest + errors[1] * length)
            count = few_candidates(
                n_theta, pointer(beams), narrow, coarse, (few[0], few[1]), mirrored, power, pointer(best), n_tau, slack, tie,
                _MOST, bounds, rows, found,
            )  # fmt: skip
            if 1 < count <= _MOST:
                count = weighed(flat, columns, kappa, single, phase, pitch, angles, tie, found, count, sizes, other, u)
                known = count == 1
        if count > _MOST:
            _make_beams(
                pointer(g), columns, kappa, pitch, angles, every, u_grid, pointer(h), pointer(core), pointer(e),
                pointer(beams),
            )  # fmt: skip
            powers(
                0, n_theta, 1, pointer(beams), columns, pointer(every[0]), every[1], mirrored, pointer(power), pointer(best),
                n_tau, pointer(maps), f * n_theta * n_tau if stored else -1,
            )  # fmt: skip
            count = candidates(
                all_rows, pointer(beams), columns, pointer(every[0]), every[1], mirrored, power, pointer(best), n_tau, 0.0,
                tie, found.shape[0], found,
            )  # fmt: skip
        chosen = found[0]
        if count > 1:
            k = f if whole else 0
            chosen = decided(
                whole, y[k], x[k], flat, columns, kappa, positions, pitch, spacing, angles, delays, exact, phase,
                found, count, other,
            )  # fmt: skip
        i, j = chosen // n_tau, chosen % n_tau
        if not known:
            single_snapshot(pointer(g), columns, pointer(single), 2 * j * columns, phase[j], pitch, angles[i], u)
        index[f, 0], index[f, 1], place[f, 0], place[f, 1] = i, j, angles[i], delays[j]
        correlation[f] = project(kappa, u)
        if refine:
            angle, delay, better = fast_refined(
                pointer(g), columns, kappa, positions, pitch, spacing, carriers, rank, window, series, moments[j], angles,
                delays, i, j, refining, other,
            )  # fmt: skip
            if abs(better) > abs(correlation[f]):  # else the map is too rough for the grid: the point stays
                place[f, 0], place[f, 1], correlation[f] = angle, delay, better
                u[:] = other


_NO_FRAMES = frozen(np.zeros((1, 1, 2), np.float32))
_NO_SYMBOLS = frozen(np.zeros((1, 2), np.float32))
_NO_SERIES = frozen(np.zeros((2, 1, 1)))
_NO_MAPS = np.empty((0, 1, 1), np.float32)


@lru_cache(maxsize=32)
def _tables(basis: DelayBasis, tau: bytes, refine: bool) -> tuple[Any, ...]:
    """The arguments of :func:`fast_peaks` that a basis and a grid of delays determine: `form`, those from `carriers` to
    `spacing`, and those from `every` to `grid`."""
    radar, form, grid = basis.radar, folded_basis(basis).parts, delay_grid(basis, np.frombuffer(tau))
    fine, rough = (angle_bases(radar.antennas, radar.element_spacing, error) for error in (ERROR, ROUGH))
    delays, angles = math.sqrt(radar.subcarriers), math.sqrt(radar.antennas)  # ||e||, ||a||
    first = (
        radar.subcarriers,
        basis.rank,
        (basis.centre, 0.5 * (basis.window[1] - basis.window[0])),
        chebyshev_series(basis) if refine else _NO_SERIES,
        frozen(radar.positions),
        radar.element_spacing,
        radar.subcarrier_spacing,
    )
    second = (
        (grid.tables, grid.terms, (fine.vectors, fine.table, fine.layout, fine.extent)),
        (grid.few, grid.few_terms, (rough.vectors, rough.table, rough.layout, rough.extent)),
        (grid.rest * angles, delays * _MARGIN * ROUGH * angles),
        (grid.coarse, grid.coarse_terms, grid.bend, delays),
        (grid.delays, grid.mirrored, grid.exact, grid.single, grid.phase, grid.moments),
    )
    return form, first, second


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
    count, antennas = energy.shape[0], basis.radar.antennas
    form, first, second = _tables(basis, tau.tobytes(), refine)
    index, place = np.empty((count, 2), np.int64), np.empty((count, 2))
    snapshot, correlation = np.empty((count, antennas), np.complex128), np.empty(count, np.complex128)
    given = [whole, y, x, form, compressed, frozen(kappa), *first, frozen(theta), *second, refine, TIE]
    given += [_NO_MAPS if maps is None else maps, index, place, snapshot, correlation, energy]
    fast_peaks(*given)
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
    return _search(True, y, x, _NO_FRAMES, energy, basis, kappa, theta, tau, refine, maps)


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
    y, x = _NO_FRAMES, _NO_SYMBOLS
    return _search(False, y, x, real_view(frames.g), energy, basis, kappa, theta, tau, refine, maps)
