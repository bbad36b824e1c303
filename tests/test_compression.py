"""Delay compression: the basis, what is lost in it, maps from it, frames drawn in it, and the blocks that carry it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from reference import model

from isacblocks import OfdmRadar, Scene, find_peak
from isacblocks.blocks import AngleDelayMap, DelayCompressor, ImpairedChannel, OfdmSource
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.compression import compress
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.delay_series import chebyshev_series, delay_terms
from isacblocks.kernels.folding import fold_frame, fold_scratch, folded_basis
from isacblocks.kernels.prolate import prolate_sequences
from isacblocks.kernels.search import search_compressed
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.stream import jig

SPACING = 240e3
RADAR, SCENE = OfdmRadar(antennas=8, subcarriers=32), Scene()
WINDOW = SCENE.delay_window(RADAR)
Fields = dict[str, Any]


def window_of(product: float, carriers: int) -> tuple[float, float]:
    """A delay window as wide as `product` resolution cells, 1 / (S Delta_f) each, from a delay of a tenth of a symbol."""
    return 0.1 / SPACING, 0.1 / SPACING + product / (carriers * SPACING)


def left_over(vectors: Any, tau: Any, centre: float) -> Any:
    """||(I - V V^T) conj(r) . conj(b(tau))|| / sqrt(S) by brute force: the vector without its projection."""
    carriers = len(vectors)
    s = np.arange(carriers)
    b = np.exp(2j * np.pi * SPACING * np.outer(tau - centre, s))
    rest = b - (b @ vectors) @ vectors.T
    return np.linalg.norm(rest - (rest @ vectors) @ vectors.T, axis=1) / math.sqrt(carriers)


# The basis


@pytest.mark.parametrize("carriers", [2, 3, 4, 5, 8, 17, 64, 101])
@pytest.mark.parametrize("half_width", [1e-6, 0.03, 0.2, 0.45])
def test_the_sequences_are_the_eigenvectors_of_the_band_s_projection(carriers: int, half_width: float) -> None:
    """Slepian's dense matrix sin(2 pi W (s - t)) / (pi (s - t)): its large eigenvalues' subspace, and each single vector
    where its eigenvalue stands alone.
    """
    lag = np.arange(carriers)[:, None] - np.arange(carriers)
    matrix = 2 * half_width * np.sinc(2 * half_width * lag)
    values, dense = np.linalg.eigh(matrix)
    values, dense = values[::-1], dense[:, ::-1]
    made = prolate_sequences(carriers, half_width)
    np.testing.assert_allclose(made.T @ made, np.eye(made.shape[1]), atol=1e-12)
    for d in range(made.shape[1]):
        mirrored = made[::-1, d] * (-1 if d % 2 else 1)
        np.testing.assert_array_equal(made[:, d], mirrored)
        gap = min(abs(values[d] - values[k]) for k in (d - 1, d + 1) if 0 <= k < carriers)
        if gap > 1e-8:
            assert abs(made[:, d] @ dense[:, d]) == pytest.approx(1, abs=1e-12 / gap**2)
        residual = matrix @ made[:, d] - values[d] * made[:, d]
        assert np.linalg.norm(residual) < 1e-13 * carriers


@pytest.mark.parametrize(
    ("carriers", "product"),
    [(c, p) for c in (2, 3, 16, 61, 200) for p in (1e-3, 0.7, 13.8, 100.0, 1e9)]
    + [(c, p) for c in (1024, 4096) for p in (1e-3, 0.7, 13.8)],  # full ones of that size take minutes
)
@pytest.mark.parametrize("error", [1e-3, 1e-6, 1e-10])
def test_the_stated_error_is_the_largest_of_the_window(carriers: int, product: float, error: float) -> None:
    radar = OfdmRadar(antennas=2, subcarriers=carriers, cyclic_prefix=1.0)
    window = window_of(product, carriers)
    basis = delay_basis(radar, *window, error)
    assert basis.error <= error
    assert 1 <= basis.rank <= carriers
    # Inverse iteration leaves 1e-16 of the matrix's largest eigenvalue, S^2 / 4, over the distance to the next one.
    rounding = 1e-12 + 2e-17 * carriers**2
    np.testing.assert_allclose(basis.vectors.T @ basis.vectors, np.eye(basis.rank), atol=rounding)
    assert not basis.vectors.flags.writeable
    tau = np.linspace(*window, 41) if carriers > 300 else np.linspace(*window, 401)
    found = left_over(basis.vectors, tau, basis.centre).max()
    assert found <= 1.02 * basis.error + rounding  # its own table of the window is finite
    if basis.rank < carriers and error < 1e-3:  # the edges, where the error is largest, are points of both
        assert found >= 0.98 * basis.error - rounding
    if product > carriers:
        assert basis.rank == carriers


def test_no_basis_of_the_same_size_is_much_better() -> None:
    """Table I: the least mean error belongs to the singular vectors; a vector less than ours and they miss the aim."""
    radar = OfdmRadar()
    window = Scene().delay_window(radar)
    basis = delay_basis(radar, *window)
    assert basis.rank == 26
    tau = np.linspace(*window, 1200)
    b = np.exp(2j * np.pi * SPACING * np.outer(tau, np.arange(radar.subcarriers)))
    singular = np.linalg.svd(b, compute_uv=False)
    for rank in (20, 24, 26):
        assert (
            singular[rank:] @ singular[rank:] / (256 * 1200)
            <= left_over(basis.vectors[:, :rank], tau, basis.centre).max() ** 2
        )
    mean = math.sqrt(singular[basis.rank - 2 :] @ singular[basis.rank - 2 :] / (256 * 1200))
    assert mean > 0.02 * basis.error


def test_a_basis_is_made_once() -> None:
    assert delay_basis(RADAR, *WINDOW) is delay_basis(RADAR, *WINDOW)


def test_bad_windows_are_refused() -> None:
    for low, high in ((1e-7, 1e-7), (2e-7, 1e-7), (math.nan, 1e-7), (0.0, math.inf)):
        with pytest.raises(ValueError, match="tau_min, tau_max"):
            delay_basis(RADAR, low, high)
    for error in (0.0, -1e-6, 2.0, math.nan):
        with pytest.raises(ValueError, match="error"):
            delay_basis(RADAR, *WINDOW, error)
    basis = delay_basis(RADAR, *WINDOW)
    with pytest.raises(ValueError, match=r"tau: expected delays inside the basis's window .* make a basis"):
        basis.coefficients([WINDOW[1] + 1e-8])
    with pytest.raises(ValueError, match="tau"):
        basis.coefficients([math.nan])


@pytest.mark.parametrize(("carriers", "product"), [(c, p) for c in (2, 3, 16, 61, 256) for p in (1e-3, 0.7, 13.8, 60.0)])
@pytest.mark.parametrize("error", [1e-3, 1e-6])
def test_the_series_gives_the_coefficients(carriers: int, product: float, error: float) -> None:
    """Chebyshev's terms against the sum over the subcarriers, at the edges, the middle, and between."""
    radar = OfdmRadar(antennas=2, subcarriers=carriers, cyclic_prefix=1.0)
    basis = delay_basis(radar, *window_of(product, carriers), error)
    series = chebyshev_series(basis)
    half = 0.5 * (basis.window[1] - basis.window[0])
    scratch, terms = np.empty((2, 2 * series.shape[1])), np.empty((2, series.shape[2]))
    for x in (-1.0, -0.999, -0.3, 0.0, 0.123, 0.7, 1.0):
        expected = basis.coefficients([basis.centre + x * half])[0]
        delay_terms(series, x, scratch, terms)
        found = np.where(np.arange(basis.rank) % 2, 1j, 1) * terms.T.reshape(-1)[: basis.rank]
        found *= np.exp(1j * math.pi * (carriers - 1) * SPACING * x * half)
        np.testing.assert_allclose(found, expected, atol=2e-10 * math.sqrt(carriers))


# Frames in the basis


def frames_of(radar: OfdmRadar, count: int, seed: int, order: int = 4, dtype: Any = np.complex64) -> tuple[Any, Any, Any]:
    scene = draw_scene(seed, 0, count, radar, Scene(snr_db=20))
    x = draw_symbols(seed, 0, count, radar, order).astype(dtype)
    kappa = np.exp(0.3j * np.arange(radar.antennas) ** 2)
    return simulate_frames(x, scene.gamma, kappa, scene.theta, scene.tau, radar, seed=seed), x, scene


@pytest.mark.parametrize("radar", [OfdmRadar(antennas=3, subcarriers=5), OfdmRadar(antennas=4, subcarriers=50), RADAR])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.complex64, 3e-6), (np.complex128, 1e-9)])
@pytest.mark.parametrize("order", [4, 16])
def test_correlations_come_back_from_the_compressed_frame(
    radar: OfdmRadar, dtype: Any, tolerance: float, order: int
) -> None:
    """p_n(tau) = sum_s Y_ns conj(x_s b_s(tau)), term by term."""
    y, x, _ = frames_of(radar, 4, 5, order, dtype)
    window = SCENE.delay_window(radar)
    basis = delay_basis(radar, *window, 1e-10)
    made = compress(y, x, basis)
    assert made.g.dtype == dtype
    tau = np.linspace(*window, 23)
    p = np.einsum("fnd,jd->fnj", made.g, basis.coefficients(tau))
    s = np.arange(radar.subcarriers)
    b = np.exp(-2j * np.pi * SPACING * np.outer(s, tau))
    expected = np.einsum("fns,fs,sj->fnj", y.astype(complex), x.astype(complex).conj(), b.conj())
    np.testing.assert_allclose(p, expected, atol=tolerance * np.abs(expected).max())
    sums = 1e-6 if dtype == np.complex64 else 1e-12  # of squares in the precision of the frames
    np.testing.assert_allclose(made.energy, np.sum(np.abs(y.astype(complex)) ** 2, axis=(1, 2)), rtol=sums)
    np.testing.assert_allclose(made.symbol_energy, np.sum(np.abs(x.astype(complex)) ** 2, axis=1), rtol=sums)


def test_frames_that_do_not_fit_are_refused() -> None:
    y, x, _ = frames_of(RADAR, 3, 1)
    basis = delay_basis(RADAR, *WINDOW)
    with pytest.raises(ValueError, match=r"y: expected shape"):
        compress(y[:, :-1], x, basis)
    with pytest.raises(ValueError, match=r"x: expected shape"):
        compress(y, x[:2], basis)
    with pytest.raises(ValueError, match="y: must not be empty"):
        compress(y[:0], x[:0], basis)
    broken = y.copy()
    broken[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"y: all values must be finite.*\(1, 2, 3\)"):
        compress(broken, x, basis)


PLANAR = tuple((0.1 * (k % 3), 0.45 * k, 0.0) for k in range(9))
RADARS = {
    "table1": OfdmRadar(),
    "small": OfdmRadar(antennas=7, subcarriers=33),
    "planar": OfdmRadar(antennas=9, subcarriers=64, element_positions=PLANAR),
}


@pytest.mark.parametrize("name", RADARS)
@pytest.mark.parametrize(("dtype", "error", "tolerance"), [(np.complex64, 1e-6, 2e-5), (np.complex128, 1e-12, 1e-9)])
@pytest.mark.parametrize("refine", [False, True])
def test_the_search_finds_what_the_search_in_whole_frames_finds(
    name: str, dtype: Any, error: float, tolerance: float, refine: bool
) -> None:
    radar = RADARS[name]
    y, x, scene = frames_of(radar, 12, 7, 4, dtype)
    kappa = np.exp(0.2j * np.arange(radar.antennas) ** 2)
    window = SCENE.delay_window(radar)
    theta = scene.theta_min[:, None] + (scene.theta_max - scene.theta_min)[:, None] * np.linspace(0, 1, 40)
    tau = np.linspace(*window, 45)
    whole = find_peak(y, x, kappa, theta, tau, radar, refine)
    basis = delay_basis(radar, *window, error)
    maps = np.empty((12, 40, 45), np.float32 if dtype == np.complex64 else np.float64)
    found = search_compressed(compress(y, x, basis), basis, kappa, theta, tau[None, :], refine, maps)
    np.testing.assert_array_equal(found.index, whole.index)
    np.testing.assert_allclose(found.statistic, whole.statistic, rtol=tolerance)
    np.testing.assert_allclose(found.theta, whole.theta, atol=1e-5 if dtype == np.complex64 else 1e-9)
    np.testing.assert_allclose(found.snapshot, whole.snapshot, atol=tolerance * np.abs(whole.snapshot).max())
    np.testing.assert_allclose(found.energy, whole.energy, rtol=1e-6 if dtype == np.complex64 else 1e-12)
    if radar.uniform_linear:
        setup = model.Setup(radar.antennas, radar.subcarriers)
        literal = model.angle_delay_map(y[3], x[3], kappa, theta[3], tau, setup)
        np.testing.assert_allclose(maps[3], literal, atol=tolerance * literal.max())


# Frames drawn in the basis


def test_drawn_frames_follow_the_law_of_compressed_ones() -> None:
    """Mean, covariance (white), and the energy outside the subspace: mean and variance of a Gamma variable."""
    radar = OfdmRadar(antennas=3, subcarriers=24)
    basis = delay_basis(radar, *SCENE.delay_window(radar))
    count, noise = 20_000, 2.5
    truth = draw_scene(1, 0, count, radar, Scene(target_probability=0))
    drawn = simulate_compressed(truth, np.ones(3), basis, noise_power=noise, seed=4)
    flat = drawn.g.reshape(count, -1).astype(complex)
    size = flat.shape[1]
    assert np.abs(flat.mean(axis=0)).max() < 5 * math.sqrt(noise / count)
    covariance = flat.T @ flat.conj() / count
    assert np.abs(covariance - noise * np.eye(size)).max() < 6 * noise / math.sqrt(count)
    assert np.abs(flat.T @ flat / count).max() < 6 * noise / math.sqrt(count)  # circular
    outside = drawn.energy - np.sum(np.abs(flat) ** 2, axis=1)
    cells = 3 * (24 - basis.rank)
    assert outside.mean() == pytest.approx(noise * cells, abs=5 * noise * math.sqrt(cells / count))
    assert outside.var() == pytest.approx(noise**2 * cells, rel=0.06)
    inside = np.sum(np.abs(flat) ** 2, axis=1)
    assert abs(np.corrcoef(inside, outside)[0, 1]) < 5 / math.sqrt(count)
    np.testing.assert_array_equal(drawn.symbol_energy, 24.0)


def test_noise_compressed_from_whole_frames_has_the_same_law() -> None:
    radar = OfdmRadar(antennas=2, subcarriers=24)
    basis = delay_basis(radar, *SCENE.delay_window(radar))
    count = 8000
    zero = np.zeros(count)
    x = draw_symbols(3, 0, count, radar)
    made = compress(simulate_frames(x, zero, np.ones(2), zero, zero, radar, seed=3), x, basis)
    flat = made.g.reshape(count, -1).astype(complex)
    assert np.abs(flat.T @ flat.conj() / count - np.eye(flat.shape[1])).max() < 6 / math.sqrt(count)
    outside = made.energy - np.sum(np.abs(flat) ** 2, axis=1)
    cells = 2 * (24 - basis.rank)
    assert outside.mean() == pytest.approx(cells, abs=5 * math.sqrt(cells / count))
    assert outside.var() == pytest.approx(cells, rel=0.08)


def test_echoes_are_drawn_as_they_are_compressed() -> None:
    """Almost without noise: gamma kappa_n a_n conj(c_d), the same as the long way round."""
    scene = Scene(target_probability=1)
    truth = draw_scene(2, 0, 6, RADAR, scene)
    kappa = np.exp(0.7j * np.arange(8) ** 2) * np.linspace(0.8, 1.2, 8)
    basis = delay_basis(RADAR, *WINDOW)
    drawn = simulate_compressed(truth, kappa, basis, noise_power=1e-20, seed=2)
    x = draw_symbols(2, 0, 6, RADAR)
    y = simulate_frames(x, truth.gamma, kappa, truth.theta, truth.tau, RADAR, noise_power=0.0)
    made = compress(y, x, basis)
    np.testing.assert_allclose(drawn.g, made.g, atol=3e-6 * np.abs(made.g).max())
    np.testing.assert_allclose(drawn.energy, made.energy, rtol=1e-5)


def test_targets_outside_the_window_and_wrong_outputs_are_refused() -> None:
    truth = draw_scene(2, 0, 9, RADAR, SCENE)
    narrow = delay_basis(RADAR, WINDOW[0], 0.5 * (WINDOW[0] + WINDOW[1]))
    with pytest.raises(ValueError, match=r"truth: expected delays inside the basis's window .* make a basis"):
        simulate_compressed(truth, np.ones(8), narrow)
    basis = delay_basis(RADAR, *WINDOW)
    out = np.empty((9, 8, basis.rank), np.complex64)
    assert simulate_compressed(truth, np.ones(8), basis, out=out).g is out
    with pytest.raises(ValueError, match="out: expected a writeable"):
        simulate_compressed(truth, np.ones(8), basis, out=out[:, :, :-1])


def test_drawn_frames_do_not_depend_on_the_portion() -> None:
    basis = delay_basis(RADAR, *WINDOW)
    truth = draw_scene(2, 0, 9, RADAR, SCENE)
    whole = simulate_compressed(truth, np.ones(8), basis, seed=6)
    part = simulate_compressed(draw_scene(2, 5, 3, RADAR, SCENE), np.ones((3, 8)), basis, seed=6, first=5)
    np.testing.assert_array_equal(part.g, whole.g[5:8])
    np.testing.assert_array_equal(part.energy, whole.energy[5:8])


# The blocks


@pytest.fixture(scope="module")
def frame() -> Fields:
    symbols = jig.run(OfdmSource(RADAR, seed=3), items=40)[0]["symbols"]
    made: Fields = jig.run(ImpairedChannel(RADAR, SCENE, seed=3), {"symbols": symbols})[0]["frame"]
    return made


def test_the_compressor_in_the_jig(frame: Fields) -> None:
    outputs, _ = jig.check(lambda: DelayCompressor(RADAR, SCENE), {"frame": frame})
    made = compress(frame["y"], frame["x"], delay_basis(RADAR, *WINDOW))
    np.testing.assert_array_equal(outputs["compressed"]["g"], made.g)
    np.testing.assert_array_equal(outputs["compressed"]["energy"], made.energy)
    assert outputs["compressed"]["valid"].all()


def test_frames_that_cannot_be_compressed_are_marked(frame: Fields) -> None:
    """Marked invalid before, a search outside the window, no symbols. One broken antenna leaves its frame valid."""
    spoiled = {name: array.copy() for name, array in frame.items()}
    spoiled["valid"][2] = 0
    spoiled["y"][4, 1, 7] = np.inf
    spoiled["y"][5, 0, 0] = np.nan
    spoiled["tau_max"][6] *= 1.5
    spoiled["x"][7] = 0
    made = jig.run(DelayCompressor(RADAR, SCENE), {"frame": spoiled})[0]["compressed"]
    assert np.flatnonzero(made["valid"] == 0).tolist() == [2, 6, 7]
    assert np.isfinite(made["g"]).all()
    assert not made["g"][[2, 6, 7]].any()
    assert not made["g"][4, 1].any()
    assert not made["g"][5, 0].any()
    good = [k for k in np.flatnonzero(made["valid"]) if k not in (4, 5)]
    clean = jig.run(DelayCompressor(RADAR, SCENE), {"frame": frame})[0]["compressed"]
    np.testing.assert_array_equal(made["g"][good], clean["g"][good])


@pytest.mark.parametrize("refine", [False, True])
def test_the_map_finds_the_same_either_way(frame: Fields, refine: bool) -> None:
    compressed = jig.run(DelayCompressor(RADAR, SCENE), {"frame": frame})[0]["compressed"]

    def image() -> AngleDelayMap:
        return AngleDelayMap(RADAR, 30, 30, refine=refine, scene=SCENE)

    whole = jig.run(image(), {"frame": frame})[0]
    found, _ = jig.check(image, {"compressed": compressed})
    for name in ("theta", "tau"):
        np.testing.assert_allclose(found["peak"][name], whole["peak"][name], rtol=1e-5)
    for name in ("statistic", "energy", "symbol_energy", "noise_power"):
        np.testing.assert_allclose(found["peak"][name], whole["peak"][name], rtol=2e-5)
    top = np.abs(whole["peak"]["snapshot"]).max()
    np.testing.assert_allclose(found["peak"]["snapshot"], whole["peak"]["snapshot"], atol=2e-5 * top)
    np.testing.assert_allclose(found["map"]["map"], whole["map"]["map"], atol=2e-5 * whole["map"]["map"].max())
    assert found["peak"]["valid"].all()


def test_the_channel_draws_compressed_frames_for_modulus_one_only() -> None:
    symbols = jig.run(OfdmSource(RADAR, seed=3), items=10)[0]["symbols"]
    outputs, _ = jig.check(lambda: ImpairedChannel(RADAR, SCENE, seed=3), {"symbols": symbols})
    truth = draw_scene(3, 0, 10, RADAR, SCENE)
    channel = ImpairedChannel(RADAR, SCENE, seed=3)
    drawn = simulate_compressed(truth, channel.kappa, channel.basis, seed=3)
    np.testing.assert_array_equal(outputs["compressed"]["g"], drawn.g)
    np.testing.assert_array_equal(outputs["compressed"]["energy"], drawn.energy)
    other = jig.run(OfdmSource(RADAR, order=16, seed=3), items=10)[0]["symbols"]
    with pytest.raises(ValueError, match=r"symbols: .*modulus one only.*send QPSK"):
        jig.run(ImpairedChannel(RADAR, SCENE, seed=3), {"symbols": other})


@pytest.mark.parametrize("rank", [33, 65])
def test_padding_is_zero_whatever_scratch_held(rank: int) -> None:
    """With one even function more than whole vectors of odd ones nothing is computed for some of the padding's columns."""
    radar = OfdmRadar(antennas=5, subcarriers=192)
    windows = (window_of(0.5 * k, 192) for k in range(20, 200))
    basis = next(b for b in (delay_basis(radar, *window, 5e-7) for window in windows) if b.rank == rank)
    form, rng = folded_basis(basis), np.random.default_rng(1)
    y, x = rng.standard_normal((5, 2 * 192), np.float32), np.ones(2 * 192, np.float32)
    scratch = fold_scratch(form.parts)
    for room in scratch:
        room[:] = np.nan
    for kept in (1, 2, 6):
        scratch[kept][:] = 0.0  # as fold_scratch leaves them
    g = np.full((5, (2 * rank + 15) // 16 * 16), np.nan, np.float32)
    fold_frame(y, x, form.parts, scratch, g, np.empty(2))
    assert np.isfinite(g).all()
    assert not g[:, 2 * rank :].any()
