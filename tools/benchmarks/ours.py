"""The project's own kernels, by their public functions: map stored, detector, refined, compressed, sample statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from benchmarks.agreement import Answer
from benchmarks.measure import Case, UnavailableError, case
from benchmarks.workload import Workload
from isacblocks import angle_delay_map, find_peak
from isacblocks.kernels import angle_delay, peak
from isacblocks.kernels.arrays import frozen, real_view
from isacblocks.kernels.compression import compressed
from isacblocks.kernels.losses import max_gradient
from isacblocks.kernels.peak import Peaks
from isacblocks.kernels.samples import sample_statistics
from isacblocks.kernels.search import search, search_compressed
from isacblocks.kernels.steering import pitch_of

_TIE = 8e-6  # of the map's peak: what the literal search compares again in double precision, as search() has it


def with_gradient(peaks: Peaks, work: Workload) -> Answer:
    """Places and the gradient of eq. (14) of what a search has found."""
    gradient = np.zeros(work.radar.antennas, np.complex128)
    max_gradient(frozen(peaks.snapshot), frozen(work.kappa), np.zeros(1), gradient)
    return Answer(peaks.index, gradient / work.frames)


def detector(work: Workload, refine: bool = False) -> Callable[[], Answer]:
    """Maximum, place, snapshot, gradient of full frames."""
    return lambda: with_gradient(search(work.y, work.x, work.kappa, work.theta, work.tau, work.radar, refine), work)


def compressed_detector(work: Workload, refine: bool = False) -> Callable[[], Answer]:
    """The same of frames that come compressed."""
    frames, basis = work.compress(), work.basis
    return lambda: with_gradient(search_compressed(frames, basis, work.kappa, work.theta, work.tau, refine), work)


def counted(work: Workload, run: Callable[[], object]) -> Callable[[], float]:
    """The function that does `run` and says how many frames that were."""

    def go() -> float:
        run()
        return work.frames

    return go


def stored_maps(work: Workload) -> NDArray[np.float32]:
    """The maps of full frames."""
    return np.asarray(angle_delay_map(work.y, work.x, work.kappa, work.theta, work.tau, work.radar))


def compressed_maps(work: Workload) -> NDArray[np.float32]:
    """The maps of compressed frames, as the search leaves them."""
    maps = np.empty((work.frames, work.theta.shape[1], work.tau.shape[1]), np.float32)
    search_compressed(work.compress(), work.basis, work.kappa, work.theta, work.tau, False, maps)
    return maps


def _kernel(module: ModuleType, name: str) -> Callable[..., object]:
    """A kernel that is not one of the public functions; UnavailableError where it goes by another name now."""
    kernel: Callable[..., object] | None = getattr(module, name, None)
    if kernel is None:
        raise UnavailableError(f"{module.__name__} has no {name}: the literal kernel goes by another name")
    return kernel


def literal_map(work: Workload) -> Callable[[], object]:
    """The kernel that is eq. (11) as it is written, dense, delay first."""
    kernel = _kernel(angle_delay, "map_frames")
    out = np.empty((work.frames, work.theta.shape[1], work.tau.shape[1]), np.float32)
    return lambda: kernel(*_literal_arguments(work), out)


def literal_detector(work: Workload) -> Callable[[], Answer]:
    """The kernel that searches such a map, and the gradient of eq. (14)."""
    kernel = _kernel(peak, "peak_frames")
    count, antennas = work.y.shape[:2]
    maps = np.empty((1, work.theta.shape[1], work.tau.shape[1]), np.float32)
    index, place = np.empty((count, 2), np.int64), np.empty((count, 2))
    snapshot, correlation = np.empty((count, antennas), np.complex128), np.empty(count, np.complex128)
    energy, gradient = np.empty((count, 2)), np.empty(antennas, np.complex128)

    def run() -> Answer:
        kernel(*_literal_arguments(work), False, _TIE, maps, index, place, snapshot, correlation, energy)
        gradient[:] = 0.0
        max_gradient(frozen(snapshot), frozen(work.kappa), np.zeros(1), gradient)
        return Answer(index, gradient / count)

    return run


def _literal_arguments(work: Workload) -> tuple[object, ...]:
    """Frames, symbols, kappa, array, grids, as the literal kernels take them."""
    radar, theta = work.radar, np.broadcast_to(work.theta, (work.frames, work.theta.shape[1]))
    samples = real_view(work.y), real_view(work.x), frozen(work.kappa)
    return (
        *samples,
        frozen(radar.positions),
        pitch_of(radar),
        radar.subcarrier_spacing,
        frozen(theta),
        frozen(work.tau),
    )


def any_array(work: Workload) -> Workload:
    """The same array, said element by element, so that nothing may use that it is uniform and linear."""
    places = tuple((float(x), float(y), float(z)) for x, y, z in work.radar.positions)
    return replace(work, radar=replace(work.radar, element_positions=places))


def cases(work: Workload, least: float = 0.01) -> list[Case]:
    """Everything here on one workload."""
    y, x, kappa, theta, tau, radar = work.y, work.x, work.kappa, work.theta, work.tau, work.radar
    maps = np.empty((work.frames, theta.shape[1], tau.shape[1]), np.float32)
    statistics = np.empty((3, work.frames, radar.antennas))
    basis, packed, fixed = work.basis, work.compress(), work.fixed()

    def made(name: str, text: str, run: Callable[[], object]) -> Case:
        return case(name, text, counted(work, run), least=least)

    return [
        made("map stored", "angle_delay_map, checks included", lambda: stored_maps(work)),
        made("map and peak", "search with the maps kept", lambda: search(y, x, kappa, theta, tau, radar, False, maps)),
        made("detector", "search, then the gradient of eq. (14)", detector(work)),
        made("detector, one sector", "the same, all frames over one sector", detector(fixed)),
        made("detector, refined", "the same, off the grid", detector(work, refine=True)),
        made("detector, any array", "the same, element positions given one by one", detector(any_array(work))),
        made("find_peak", "search with its arguments checked", lambda: find_peak(y, x, kappa, theta, tau, radar)),
        made("compressor", "full frames to compressed ones", lambda: compressed(y, x, basis)),
        made("detector, compressed", "search_compressed, then the gradient", compressed_detector(work)),
        made("detector, compressed, refined", "the same, off the grid", compressed_detector(work, refine=True)),
        made(
            "map stored, compressed",
            "search_compressed with the maps kept",
            lambda: search_compressed(packed, basis, kappa, theta, tau, False, maps),
        ),
        made("sample statistics", "power and clipping per antenna", lambda: sample_statistics(real_view(y), *statistics)),
    ]
