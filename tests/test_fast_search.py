"""The fast search against the literal sums in double precision: every size, sector, grid and constellation it may meet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import model
from search_figures import agreement

from isacblocks import OfdmRadar, angle_delay_map, find_peak
from isacblocks.kernels import delay_grid, fast_search
from isacblocks.kernels import search as paths
from isacblocks.kernels.angle_basis import HALF_WIDTHS, angle_bases, width_of
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.compressed_peak import search_compressed_literally
from isacblocks.kernels.compression import compress
from isacblocks.kernels.delay_basis import Compressed, delay_basis
from isacblocks.kernels.losses import max_gradient, reconstruction_gradient
from isacblocks.kernels.peak import Peaks, search_literally
from isacblocks.kernels.search import search, search_basis, search_compressed

Array = NDArray[Any]
RATIO = 30.0  # N0 / sigma_gamma^2


def drawn(radar: OfdmRadar, count: int, theta: Array, tau: Array, seed: int, order: int = 4) -> tuple[Array, Array, Array]:
    """Frames of noise of power one, half of them with an echo inside the grids; symbols; kappa with gains."""
    rng = np.random.default_rng(seed)
    antennas, carriers = radar.antennas, radar.subcarriers
    levels = np.array([-3, -1, 1, 3]) / math.sqrt(10) if order == 16 else np.array([-1, 1]) / math.sqrt(2)
    x = rng.choice(levels, (count, carriers)) + 1j * rng.choice(levels, (count, carriers))
    kappa = rng.uniform(0.7, 1.3, antennas) * np.exp(1j * rng.uniform(-np.pi, np.pi, antennas))
    kappa *= math.sqrt(antennas) / np.linalg.norm(kappa)
    y = rng.standard_normal((count, antennas, carriers, 2)) @ np.array([1, 1j]) / math.sqrt(2)
    setup = model.Setup(antennas, carriers, radar.subcarrier_spacing, radar.element_spacing)
    for f in range(0, count, 2):
        gain = rng.choice([3.0, 6.0, 100.0]) / math.sqrt(antennas * carriers) * np.exp(2j * np.pi * rng.random())
        # Off the grid, but not so far that a coarse one sees its side lobes only: errors are relative to what is there
        angles = theta[f] if theta.ndim > 1 else theta
        angle = rng.choice(angles) + rng.uniform(-0.2, 0.2) / antennas
        delay = rng.choice(tau.ravel()) + rng.uniform(-0.2, 0.2) / radar.bandwidth
        y[f] += model.frame(x[f], gain, kappa, angle, delay, setup)
    guess = kappa * np.exp(1j * rng.normal(0, 0.4, antennas))
    return y.astype(np.complex64), x.astype(np.complex64), guess


def gradients(peaks: Peaks, kappa: Array, f: int) -> tuple[list[Array], float]:
    """Of both losses for frame f, and r^2 of (15)."""
    found, loss = [np.zeros(kappa.size, complex), np.zeros(kappa.size, complex)], np.zeros(1)
    part = slice(f, f + 1)
    max_gradient(frozen(peaks.snapshot[part]), frozen(kappa), np.zeros(1), found[0])
    energies = frozen(peaks.energy[part].copy()), frozen(peaks.symbol_energy[part].copy())
    reconstruction_gradient(frozen(peaks.snapshot[part]), *energies, frozen(kappa), RATIO, loss, found[1])
    return found, float(loss[0]) ** 2


def assert_same_place(fast: Peaks, exact: Peaks) -> None:
    for name in ("index", "theta", "tau"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(exact, name))


def assert_agrees(fast: Peaks, maps: Array, exact: Peaks, exact_maps: Array, kappa: Array, carriers: int) -> None:
    """What the fast search promises, of results in double precision: 1e-6 of the largest up to 1024 subcarriers. Beyond, the
    rounding of sums of so many terms shows, which grows with the root of their number."""
    small = 1e-6 * max(1.0, math.sqrt(carriers / 1024))
    top = exact_maps.max(axis=(1, 2))
    assert (np.abs(maps - exact_maps).max(axis=(1, 2)) <= 2 * small * top).all()
    largest = np.abs(exact.snapshot).max(axis=1)
    assert (np.abs(fast.snapshot - exact.snapshot).max(axis=1) <= small * largest).all()
    np.testing.assert_allclose(fast.statistic, exact.statistic, rtol=2 * small)
    np.testing.assert_allclose(fast.energy, exact.energy, rtol=1e-6)
    np.testing.assert_allclose(fast.symbol_energy, exact.symbol_energy, rtol=1e-6)
    for f in range(top.size):
        found, _ = gradients(fast, kappa, f)
        expected, rest = gradients(exact, kappa, f)
        assert np.abs(found[0] - expected[0]).max() <= small * np.abs(expected[0]).max()
        # (15) has r = sqrt(||Y||^2 - |s|^2 ...) in its denominator: of a strong echo little is left, and known as badly.
        # It is the sum of a part along u and one along kappa, which for two antennas are nearly opposite.
        part = 2 * largest[f] * math.sqrt(exact.statistic[f] / rest) / (kappa.size * exact.symbol_energy[f] + RATIO)
        assert np.abs(found[1] - expected[1]).max() <= small * max(1.0, exact.energy[f] / rest) * part


def assert_same(without: Peaks, fast: Peaks) -> None:
    """Maps that are not stored are made with fewer functions; nobody can tell from what is found."""
    assert_same_place(without, fast)
    np.testing.assert_array_equal(without.snapshot, fast.snapshot)


def compared(
    radar: OfdmRadar, theta: Array, tau: Array, count: int = 4, seed: int = 0, order: int = 4, wider: float = 0.3
) -> None:
    """Whole frames, and compressed ones whose basis's window is wider than the grid, against double precision."""
    y, x, kappa = drawn(radar, count, theta, tau, seed, order)
    exact_maps, maps = (np.full((count, theta.shape[-1], tau.size), np.nan, kind) for kind in (np.float64, np.float32))
    angles, delays = np.atleast_2d(theta), tau[None]
    if tau.size > 1:
        assert search_basis(radar, y.dtype, delays) is not None
    exact = search_literally(y.astype(complex), x.astype(complex), kappa, angles, delays, radar, False, exact_maps)
    fast = search(y, x, kappa, angles, delays, radar, maps=maps)
    assert_same_place(fast, exact)
    assert_agrees(fast, maps, exact, exact_maps, kappa, radar.subcarriers)
    assert_same(search(y, x, kappa, angles, delays, radar), fast)
    step = max(float(np.ptp(tau)), 0.05 / radar.subcarrier_spacing)
    basis = delay_basis(radar, float(tau.min()) - wider * step, float(tau.max()) + 0.1 * step, 5e-7)
    maps[...] = np.nan
    g = compress(y, x, basis)
    fast = search_compressed(g, basis, kappa, angles, delays, maps=maps)
    assert_same(search_compressed(g, basis, kappa, angles, delays), fast)
    # Compression rounds too: which of two nearly equal points is the larger one is what g says
    doubled = Compressed(g.g.astype(np.complex128), g.energy, g.symbol_energy)
    assert_same_place(fast, search_compressed_literally(doubled, basis, kappa, angles, delays))
    if (fast.index == exact.index).all():
        assert_agrees(fast, maps, exact, exact_maps, kappa, radar.subcarriers)


def grids(radar: OfdmRadar, n_theta: int, n_tau: int, half: float = 0.15, cells: float = 5.0) -> tuple[Array, Array]:
    """Angles about 0.1 rad; delays over so many resolution cells, 1 / (S Delta_f), from 0.013 / Delta_f on."""
    low, width = 0.013 / radar.subcarrier_spacing, cells / (radar.subcarriers * radar.subcarrier_spacing)
    return np.linspace(0.1 - half, 0.1 + half, n_theta), np.linspace(low, low + width, n_tau)


@pytest.mark.parametrize("order", [4, 16])
@pytest.mark.parametrize(
    ("antennas", "carriers"),
    [(8, 32), (2, 64), (3, 49), (5, 33), (16, 65), (17, 128), (31, 255), (64, 256), (33, 257), (100, 300), (128, 1023)],
)
def test_sizes(antennas: int, carriers: int, order: int) -> None:
    radar = OfdmRadar(antennas, carriers)
    theta, tau = grids(radar, 31, 37, cells=min(6.0, 0.5 * carriers - 13))
    compared(radar, theta, tau, seed=antennas, order=order)


@pytest.mark.slow
@pytest.mark.parametrize(("antennas", "carriers"), [(256, 4096), (255, 4095), (256, 256), (2, 4096)])
def test_large_sizes(antennas: int, carriers: int) -> None:
    radar = OfdmRadar(antennas, carriers)
    for cells in (8.0, 100.0 if carriers > 1000 else 30.0):
        theta, tau = grids(radar, 60, 60, cells=cells)
        compared(radar, theta, tau, count=2, seed=carriers)


POINTS = [1, 2, 7, 50, 101, 400]


@pytest.mark.parametrize("n_tau", POINTS)
@pytest.mark.parametrize("n_theta", POINTS)
def test_grids_of_all_sizes(n_theta: int, n_tau: int) -> None:
    """One delay is a grid without a window: whole frames go the literal way, compressed ones do not."""
    radar = OfdmRadar(9, 70)
    compared(radar, *grids(radar, n_theta, n_tau), count=3, seed=n_theta + n_tau)


@pytest.mark.parametrize("wider", [0.0, 0.1, 0.7])
def test_grids_that_fall_or_are_uneven(wider: float) -> None:
    """A grid is mirrored about the middle of the basis's window or it is not (0.1: it is); uneven grids never are."""
    radar = OfdmRadar(12, 80)
    theta, tau = grids(radar, 23, 41)
    uneven = tau[0] + (tau[-1] - tau[0]) * np.linspace(0, 1, 41) ** 2
    for angles in (theta, theta[::-1].copy()):
        for delays in (tau, tau[::-1].copy(), uneven, uneven[::-1].copy()):
            compared(radar, angles, delays, wider=wider, seed=3)


@pytest.mark.parametrize("spacing", [0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("antennas", [2, 7, 16, 64])
def test_sectors_of_all_widths(antennas: int, spacing: float) -> None:
    """Every basis of the array and none, sectors anywhere: also a single angle, across the end, the whole half plane."""
    radar = OfdmRadar(antennas, 64, element_spacing=spacing)
    _, tau = grids(radar, 1, 20)
    half_widths = [
        0.0,
        1e-9,
        *(0.999 * w for w in HALF_WIDTHS),
        *(1.001 * w for w in HALF_WIDTHS),
        0.7,
        0.97,
    ]  # no two angles of a grid are one to the array
    used = set()
    for half in half_widths:
        for centre in (0.0, -0.5, 0.9):
            if abs(centre) + half <= 1.0:
                theta = np.arcsin(np.linspace(centre - half, centre + half, 21))
                used.add(width_of(half, angle_bases(antennas, spacing).extent))
                compared(radar, theta, tau, count=2, seed=int(1000 * half))
    for theta in (np.linspace(-np.pi / 2, 1.56, 33), np.linspace(1.2, 2.0, 33), np.linspace(-4.0, 4.0, 33)):
        compared(radar, theta, tau, count=2, seed=5)
    assert used == {-1, *range(angle_bases(antennas, spacing).extent.shape[0])}


def test_a_sector_for_every_frame() -> None:
    radar = OfdmRadar(64, 256)
    rng = np.random.default_rng(2)
    centre, half = rng.uniform(-1.0, 1.0, (40, 1)), rng.uniform(0.0, 0.6, (40, 1))
    theta, (_, tau) = centre + half * np.linspace(-1, 1, 50), grids(radar, 1, 50)
    compared(radar, theta, tau, count=40, seed=4)


@pytest.mark.parametrize(("antennas", "carriers"), [(8, 64), (15, 95)])
def test_against_the_reference(antennas: int, carriers: int) -> None:
    """Equations (9)-(13) as they are printed."""
    radar = OfdmRadar(antennas, carriers)
    theta, tau = grids(radar, 21, 22)
    y, x, kappa = drawn(radar, 6, theta, tau, 1)
    peaks, maps = find_peak(y, x, kappa, theta, tau, radar), angle_delay_map(y, x, kappa, theta, tau, radar)
    setup = model.Setup(antennas, carriers, radar.subcarrier_spacing, radar.element_spacing)
    for f in range(6):
        given = y[f].astype(complex), x[f].astype(complex), kappa, theta, tau, setup
        exact, peak = model.angle_delay_map(*given), model.find_peak(*given)
        assert np.abs(maps[f] - exact).max() <= 2e-6 * exact.max()
        assert tuple(peaks.index[f]) == peak.index
        assert np.abs(peaks.snapshot[f] - peak.snapshot).max() <= 1e-6 * np.abs(peak.snapshot).max()


def test_refined_like_double_precision() -> None:
    """Places to 3e-5 of a resolution cell, also at the edges, for grids that fall, single angles, and compressed frames."""
    for radar, points in ((OfdmRadar(64, 256), (60, 50)), (OfdmRadar(7, 75, element_spacing=0.7), (1, 9))):
        for falling in (1, -1):
            theta, tau = (g[::falling].copy() for g in grids(radar, *points))
            y, x, kappa = drawn(radar, 60, theta, tau, 6)
            exact = search_literally(y.astype(complex), x.astype(complex), kappa, theta[None], tau[None], radar, True)
            basis = delay_basis(radar, tau.min() - 1e-7, tau.max() + 2e-7, 5e-7)
            for fast in (
                search(y, x, kappa, theta[None], tau[None], radar, True),
                search_compressed(compress(y, x, basis), basis, kappa, theta[None], tau[None], True),
            ):
                np.testing.assert_array_equal(fast.index, exact.index)
                assert np.abs(fast.theta - exact.theta).max() < 3e-5 / radar.antennas
                assert np.abs(fast.tau - exact.tau).max() < 3e-5 / radar.bandwidth
                np.testing.assert_allclose(
                    fast.statistic, exact.statistic, rtol=4e-6
                )  # noise alone, T about 3, is among them
                largest = np.abs(exact.snapshot).max(axis=1)
                assert (
                    np.abs(fast.snapshot - exact.snapshot).max(axis=1) <= 1e-4 * largest
                ).all()  # turned by the place's difference
            edge = (exact.index == 0) | (exact.index == np.array(points) - 1)
            assert edge.any()
            moved = exact.tau != tau[exact.index[:, 1]]
            assert moved.mean() > 0.7


# Broken, extreme and tied frames


def odd_frames(radar: OfdmRadar) -> tuple[Array, Array, Array, Array, Array]:
    theta, tau = grids(radar, 20, 21)
    y, x, kappa = drawn(radar, 8, theta, tau, 7)
    y[0] = 0
    y[1, 2, 5] = np.nan
    y[2, 0, 0] = np.inf
    y[3, -1, -1] = complex(0, -np.inf)
    y[4] *= np.float32(1e18)
    y[5] *= np.float32(1e-18)
    return y, x, kappa, theta, tau


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("antennas", [8, 64])
def test_broken_frames_do_no_harm(antennas: int, refine: bool) -> None:
    radar = OfdmRadar(antennas, 80)
    y, x, kappa, theta, tau = odd_frames(radar)
    with np.errstate(all="ignore"):
        literal = search_literally(y, x, kappa, theta[None], tau[None], radar, refine)
        basis = delay_basis(radar, tau[0], tau[-1], 5e-7)
        g = compress(np.where(np.isfinite(y), y, 0), x, basis)
        g.g[1], g.g[2], g.g[3] = np.nan, np.inf, -np.inf
        for fast in (
            search(y, x, kappa, theta[None], tau[None], radar, refine),
            search_compressed(g, basis, kappa, theta[None], tau[None], refine),
        ):
            for f in range(5):
                assert tuple(fast.index[f]) in (tuple(literal.index[f]), (0, 0))
            np.testing.assert_array_equal(fast.index[5:], literal.index[5:])
            np.testing.assert_allclose(fast.statistic[5:], literal.statistic[5:], rtol=2e-6)
            assert (fast.statistic[0], tuple(fast.index[0])) == (0.0, (0, 0))
        fast = search(y, x, kappa, theta[None], tau[None], radar, refine)
        assert not np.isfinite(fast.energy[1:4]).any()
        clean = search(y[5:], x[5:], kappa, theta[None], tau[None], radar, refine)
        np.testing.assert_array_equal(clean.snapshot, fast.snapshot[5:])


def test_public_functions_name_what_is_not_finite() -> None:
    """The check comes from the energy; finite samples whose squares overflow go through."""
    radar = OfdmRadar(8, 80)
    y, x, kappa, theta, tau = odd_frames(radar)
    for function in (find_peak, angle_delay_map):
        with pytest.raises(ValueError, match=r"y: all values must be finite, 3 of 5120 .* index \(1, 2, 5\)"):
            function(y, x, kappa, theta, tau, radar)
        for precision in (np.complex64, np.complex128):
            for value in (np.nan, np.inf):
                broken = y[5:].astype(precision)
                broken[1, 0, 3] = value
                with pytest.raises(ValueError, match=r"y: all values must be finite, 1 of .* index \(1, 0, 3\)"):
                    function(broken, x[5:], kappa, theta, tau, radar)
        symbols = x.copy()
        symbols[0, 0] = np.nan
        with pytest.raises(ValueError, match="x: all values must be finite"):
            function(y[5:], symbols[:3], kappa, theta, tau, radar)
    with np.errstate(all="ignore"):
        loud = find_peak(y[6:7] * np.float32(1e19), x[6:7], kappa, theta, tau, radar)
    assert np.isinf(loud.energy[0])


def test_exact_ties_go_to_the_first_point() -> None:
    """One antenna alone knows no angle; frames and grids that are symmetric give every value twice or more."""
    for antennas, carriers in ((8, 64), (9, 65), (64, 256)):
        radar = OfdmRadar(antennas, carriers)
        tau = grids(radar, 1, 30)[1]
        theta = np.linspace(-0.3, 0.3, 30)
        x = np.ones((1, carriers), np.complex64)
        y = np.zeros((1, antennas, carriers), np.complex64)
        delay = np.exp(-2j * np.pi * np.arange(carriers) * radar.subcarrier_spacing * tau[11])
        y[0, 0] = delay
        found = find_peak(y, x, np.ones(antennas), theta, tau, radar)
        exact = find_peak(y.astype(complex), x, np.ones(antennas), theta, tau, radar)
        assert found.index[0, 1] == exact.index[0, 1] == 11
        single = np.zeros(antennas)
        single[0] = 1.0
        found = find_peak(y, x, single, theta, tau, radar)  # antenna 0 has a = 1 at every angle: exactly equal
        assert tuple(found.index[0]) == (0, 11)
        y[0] = delay  # from broadside: the map is even in the angle, and two angles are nearest to it
        literal = search_literally(y, x, np.ones(antennas, complex), theta[None], tau[None], radar, False)
        found = find_peak(y, x, np.ones(antennas), theta, tau, radar)
        np.testing.assert_array_equal(found.index, literal.index)
        assert found.index[0, 0] in (14, 15)


# Maps of few functions


@pytest.fixture
def rougher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Functions so few that the largest point of their map is often another one."""
    monkeypatch.setattr(delay_grid, "ROUGH", 0.06)
    monkeypatch.setattr(fast_search, "ROUGH", 0.06)
    fast_search._tables.cache_clear()
    yield
    fast_search._tables.cache_clear()


@pytest.mark.usefixtures("rougher")
def test_a_rough_map_misleads_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak echoes, noise, and loud ones from outside the window that fill what the few functions leave out."""
    radar = OfdmRadar(64, 256)
    theta, tau = grids(radar, 90, 90)
    y, x, kappa = drawn(radar, 150, theta, tau, 9)
    setup = model.Setup(64, 256, radar.subcarrier_spacing, radar.element_spacing)
    for f in range(1, 150, 4):
        y[f] += model.frame(x[f].astype(complex), 30.0, kappa, 0.1, tau[-1] + 0.9 / radar.bandwidth, setup)
    given = y, x, kappa, theta[None], tau[None], radar
    maps = np.empty((150, 90, 90), np.float32)
    exact = search(*given, maps=maps)
    assert_same(search(*given), exact)
    basis = search_basis(radar, y.dtype, tau[None])
    assert basis is not None
    assert_same(search_compressed(compress(y, x, basis), basis, kappa, theta[None], tau[None]), exact)

    monkeypatch.setattr(fast_search, "_MARGIN", 0.0)  # without the bound
    monkeypatch.setattr(delay_grid.DelayGrid, "rest", property(lambda _grid: 0.0, lambda _grid, _value: None), raising=False)
    fast_search._tables.cache_clear()
    misled = (search(*given).index != exact.index).any(axis=1)
    assert misled.sum() > 20


# Maps that are made at every second angle and delay first


def test_a_coarse_map_misleads_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grids from many points per resolution cell to fewer than one, where what lies between says nothing of a point; and few
    angles with many delays, where what the delays bend is nothing beside what the angles do.
    """
    radar = OfdmRadar(32, 256)
    even, dense = [(points, points + 1, 8.0) for points in (9, 16, 31, 64, 150)], [(9, 150, 3.0), (31, 200, 3.0)]
    misled = 0
    for angles, delays, cells in even + dense:
        theta, tau = grids(radar, angles, delays, cells=cells)
        y, x, kappa = drawn(radar, 100, theta, tau, angles)
        given = y, x, kappa, theta[None], tau[None], radar
        exact = search(*given, maps=np.empty((100, angles, delays), np.float32))
        assert_same(search(*given), exact)
        with monkeypatch.context() as without_the_bound:
            bend = property(lambda _grid: 0.0, lambda _grid, _value: None)
            without_the_bound.setattr(delay_grid.DelayGrid, "bend", bend, raising=False)
            fast_search._tables.cache_clear()
            misled += int((search(*given).index != exact.index).any(axis=1).sum())
        fast_search._tables.cache_clear()
    assert misled > 20


# Which path


def test_frame_by_frame_is_all_at_once() -> None:
    radar = OfdmRadar(17, 101)
    theta, tau = grids(radar, 25, 33)
    y, x, kappa = drawn(radar, 11, theta, tau, 8)
    sectors = theta + np.linspace(-0.4, 0.4, 11)[:, None]
    basis = delay_basis(radar, tau[0], tau[-1])
    g = compress(y, x, basis)
    for refine in (False, True):
        maps = np.empty((11, 25, 33), np.float32)
        whole = search(y, x, kappa, sectors, tau[None], radar, refine, maps)
        pressed = search_compressed(g, basis, kappa, sectors, tau[None], refine)
        for first, stop in ((0, 1), (1, 4), (4, 11), (10, 11)):
            part = slice(first, stop)
            some = np.empty((stop - first, 25, 33), np.float32)
            np.testing.assert_array_equal(compress(y[part], x[part], basis).g, g.g[part])
            pieces = (
                (whole, search(y[part], x[part], kappa, sectors[part], tau[None], radar, refine, some)),
                (
                    pressed,
                    search_compressed(
                        Compressed(g.g[part], g.energy[part], g.symbol_energy[part]),
                        basis, kappa, sectors[part], tau[None], refine,
                    ),
                ),
            )  # fmt: skip
            np.testing.assert_array_equal(some, maps[part])
            for all_of_them, alone in pieces:
                for name, value in vars(alone).items():
                    np.testing.assert_array_equal(value, getattr(all_of_them, name)[part], err_msg=name)


def test_what_the_fast_search_refuses_goes_the_literal_way(monkeypatch: pytest.MonkeyPatch) -> None:
    went: list[str] = []
    for name in ("fast_search", "search_literally", "fast_search_compressed", "search_compressed_literally"):
        original = getattr(paths, name)

        def noted(*arguments: Any, _name: str = name, _original: Any = original, **named: Any) -> Any:
            went.append(_name)
            return _original(*arguments, **named)

        monkeypatch.setattr(paths, name, noted)
    line = OfdmRadar(8, 64)
    circle = OfdmRadar(8, 64, element_positions=tuple((math.cos(k), math.sin(k), 0.0) for k in range(8)))
    theta, tau = grids(line, 7, 9)

    def way(radar: OfdmRadar, tau: Array, kind: type = np.complex64) -> tuple[str, str]:
        y, x, kappa = drawn(radar, 2, theta, tau, 9)
        exact = find_peak(y.astype(complex), x.astype(complex), kappa, theta, tau, radar)
        found = find_peak(y.astype(kind), x.astype(kind), kappa, theta, tau, radar)
        whole = went[-1]
        np.testing.assert_array_equal(found.index, exact.index)
        basis = delay_basis(radar, float(tau.min()) - 1e-8, float(tau.max()) + 1e-8, 1e-7)
        found = search_compressed(
            compress(y.astype(kind), x.astype(kind), basis), basis, kappa, theta[None], np.atleast_2d(tau)
        )
        np.testing.assert_array_equal(found.index, exact.index)
        return whole, went[-1]

    fast, literal = ("fast_search", "fast_search_compressed"), ("search_literally", "search_compressed_literally")
    assert way(line, tau) == fast
    assert way(OfdmRadar(2, 64), tau) == fast
    assert way(circle, tau) == literal
    assert way(line, tau, np.complex128) == literal
    assert way(line, np.stack([tau, tau + 1e-8])) == literal
    assert way(line, tau[:1]) == (literal[0], fast[1])  # no window to make a basis of; a given one may serve
    assert way(line, np.linspace(0.01, 0.6, 9) / line.subcarrier_spacing) == (literal[0], fast[1])  # wide: no work saved
    assert way(OfdmRadar(8, 24), grids(OfdmRadar(8, 24), 1, 9, cells=2.0)[1]) == (literal[0], fast[1])  # few subcarriers


def test_the_literal_compressed_search_agrees() -> None:
    """What other windows, arrays and double precision take."""
    radar = OfdmRadar(9, 70)
    theta, tau = grids(radar, 19, 23)
    y, x, kappa = drawn(radar, 4, theta, tau, 10)
    basis = delay_basis(radar, tau[0], tau[-1], 1e-9)
    exact = search_literally(y.astype(complex), x.astype(complex), kappa, theta[None], tau[None], radar, False)
    for kind, tolerance in ((np.complex64, 1e-6), (np.complex128, 1e-8)):
        g = compress(y.astype(kind), x.astype(kind), basis)
        found = search_compressed_literally(g, basis, kappa, theta[None], tau[None])
        np.testing.assert_array_equal(found.index, exact.index)
        assert np.abs(found.snapshot - exact.snapshot).max() <= tolerance * np.abs(exact.snapshot).max()


@pytest.mark.slow
def test_the_same_place_as_in_double_precision_in_many_frames() -> None:
    """Table I; tools/search_figures.py has the figure for 1e5 and more."""
    for compressed in (False, True):
        found = agreement(20_000, 1, compressed)
        assert found.other_places == 0
        assert found.near_ties > 0
        assert found.map_error < 2e-6
