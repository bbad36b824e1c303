"""The angle-delay map, eq. (11), and its maximum, eqs. (9)-(10): the public functions, and which kernels serve them.

Complex64 frames of a uniform linear array go through fast_search.py where one grid of delays serves all frames and its
window is narrow enough for a basis to save work. Everything else (double precision, other arrays, a grid per frame, windows
that cover most of what the subcarriers can tell apart) goes through the sums as they are written, peak.py and
compressed_peak.py; the results are the same to the rounding of single precision. Which of the two it is depends on the radar
and the grid, never on how many frames come at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isacblocks.kernels.angle_delay import map_frames
from isacblocks.kernels.arrays import Complex, Float, complex_array, frozen, grid, real_view, require_finite
from isacblocks.kernels.compressed_peak import search_compressed_literally
from isacblocks.kernels.delay_basis import Compressed, DelayBasis, delay_basis
from isacblocks.kernels.fast_search import fast_search, fast_search_compressed
from isacblocks.kernels.peak import Peaks, search_literally
from isacblocks.kernels.steering import pitch_of
from isacblocks.radar import OfdmRadar

ERROR = 5e-7  # of a delay vector: half of what the map may be wrong by, relative to its peak
_WORTH = 0.5  # of S: a basis with more vectors than that saves little
_LARGEST = 320  # vectors; finding more of them takes seconds


def search_basis(radar: OfdmRadar, dtype: np.dtype[Any], tau: Float) -> DelayBasis | None:
    """The delay basis for a fast search over the grid tau (F or 1, n), or None where the literal search is to be used."""
    if dtype != np.complex64 or not radar.uniform_linear or tau.shape[0] > 1:
        return None
    low, high = float(tau.min()), float(tau.max())
    resolved = radar.subcarriers * radar.subcarrier_spacing * (high - low)
    if not 0.0 < resolved + 12.0 <= min(_WORTH * radar.subcarriers, _LARGEST) or low == high:
        return None
    return delay_basis(radar, low, high, ERROR)


def checked(
    y: ArrayLike, x: ArrayLike, kappa: ArrayLike, theta: ArrayLike, tau: ArrayLike, radar: OfdmRadar
) -> tuple[Complex, Complex, Complex, Float, Float]:
    """The arguments every map function shares, in their working types; ValueError names what does not fit.

    Whether the frames are finite is left to :func:`require_finite_frames`.
    """
    frames = complex_array("y", y, ("F", radar.antennas, radar.subcarriers), finite=False)
    symbols = complex_array("x", x, (frames.shape[0], radar.subcarriers)).astype(frames.dtype, copy=False)
    response = complex_array("kappa", kappa, (radar.antennas,)).astype(np.complex128, copy=False)
    return frames, symbols, response, grid("theta", theta, frames.shape[0]), grid("tau", tau, frames.shape[0])


def require_finite_frames(frames: Complex, energy: Float) -> None:
    """Raise the ValueError of :func:`~.arrays.require_finite` for frames with NaN or infinite samples.

    energy: ||Y||^2, which a search computes anyway and which is finite for finite samples, unless it overflows: where it is
    not, the samples themselves are looked at.
    """
    if not np.isfinite(energy).all():
        require_finite("y", frames)


def angle_delay_map(
    y: ArrayLike, x: ArrayLike, kappa: ArrayLike, theta: ArrayLike, tau: ArrayLike, radar: OfdmRadar
) -> NDArray[Any]:
    """The angle-delay map M(kappa), eq. (11), not normalised.

    y: frames (F, N, S); x: symbols (F, S); kappa: (N,); theta: angles in radians (n,) or (F, n); tau: delays in seconds (n,)
    or (F, n). Returns (F, n_theta, n_tau), float64, or float32 for complex64 frames: right to 2e-6 of the peak, where the
    grid is not so coarse that it misses a much stronger echo, and up to 1024 subcarriers (beyond, times sqrt(S / 1024)).
    Raises ValueError for wrong shapes, NaN or empty input, naming the argument.
    """
    frames, symbols, response, angles, delays = checked(y, x, kappa, theta, tau, radar)
    pairs = real_view(frames)
    out = np.empty((frames.shape[0], angles.shape[1], delays.shape[1]), pairs.dtype)
    basis = search_basis(radar, frames.dtype, delays)
    if basis is not None:
        peaks = fast_search(frames, symbols, basis, response, angles, delays, maps=out)
        require_finite_frames(frames, peaks.energy)
        return out
    require_finite("y", frames)
    map_frames(
        pairs,
        real_view(symbols),
        frozen(response),
        frozen(radar.positions),
        pitch_of(radar),
        radar.subcarrier_spacing,
        frozen(angles),
        frozen(delays),
        out,
    )
    return out


def find_peak(
    y: ArrayLike,
    x: ArrayLike,
    kappa: ArrayLike,
    theta: ArrayLike,
    tau: ArrayLike,
    radar: OfdmRadar,
    refine: bool = False,
) -> Peaks:
    """The maximum of the angle-delay map and its place, eqs. (9)-(10).

    Arguments as for :func:`angle_delay_map`. refine: move off the grid to the maximum of the continuous map around the
    grid's largest point (refinement.py), and evaluate statistic and snapshot there. The search runs in the precision of the
    frames; points too close to tell apart in single precision are compared in double. Statistic and snapshot are double
    for complex128 frames; for complex64 the snapshot is right to 1e-6 of its largest, as the map is to 2e-6.
    Raises ValueError for wrong shapes, NaN or empty input, naming the argument.
    """
    frames, symbols, response, angles, delays = checked(y, x, kappa, theta, tau, radar)
    peaks = search(frames, symbols, response, angles, delays, radar, refine)
    require_finite_frames(frames, peaks.energy)
    return peaks


def search(
    frames: Complex,
    symbols: Complex,
    kappa: Complex,
    theta: Float,
    tau: Float,
    radar: OfdmRadar,
    refine: bool = False,
    maps: NDArray[Any] | None = None,
) -> Peaks:
    """:func:`find_peak` for arguments already in their working types: grids (F or 1, n), kappa complex128.

    maps: where the maps themselves are to be left, (F, n_theta, n_tau) in the precision of the frames.
    """
    basis = search_basis(radar, frames.dtype, tau)
    if basis is None:
        return search_literally(frames, symbols, kappa, theta, tau, radar, refine, maps)
    return fast_search(frames, symbols, basis, kappa, theta, tau, refine, maps)


def search_compressed(
    frames: Compressed,
    basis: DelayBasis,
    kappa: Complex,
    theta: Float,
    tau: Float,
    refine: bool = False,
    maps: NDArray[Any] | None = None,
) -> Peaks:
    """The maxima of the maps of compressed frames: :func:`find_peak` for what :func:`~.compression.compress` made.

    kappa: complex128 (N,); theta, tau: grids (F or 1, n) inside the basis's window; maps: where the maps themselves are to
    be left, (F, n_theta, n_tau) in the precision of the frames.
    """
    radar = basis.radar
    if frames.g.dtype == np.complex64 and radar.uniform_linear and tau.shape[0] == 1:
        return fast_search_compressed(frames, basis, kappa, theta, tau, refine, maps)
    return search_compressed_literally(frames, basis, kappa, theta, tau, refine, maps)
