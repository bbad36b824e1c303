"""Symbols, scenes, frames by eq. (8) and the long way by eqs. (1)-(5), the laws of the impairments, drift."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from reference import model

from isacblocks import OfdmRadar, Scene, delay_vectors, simulate_frames, steering_vectors
from isacblocks.kernels.impairments import LAWS, draw_impairments, drift_phases, retract
from isacblocks.kernels.normals import normals
from isacblocks.kernels.random import STREAM_NOISE
from isacblocks.kernels.simulation import QAM_ORDERS, draw_scene, draw_symbols, qam_constellation, time_domain_frame


@pytest.mark.parametrize("order", QAM_ORDERS)
def test_constellations_have_unit_energy_and_their_symbols_are_uniform(order: int) -> None:
    points = qam_constellation(order)
    assert len(set(points.round(9))) == order
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1)
    radar = OfdmRadar(antennas=2, subcarriers=250)
    x = draw_symbols(3, 0, 400, radar, order)
    assert x.dtype == np.complex64
    index = np.argmin(np.abs(x.reshape(-1, 1) - points.astype(np.complex64)), axis=1)
    counts = np.bincount(index, minlength=order)
    expected = x.size / order
    assert ((counts - expected) ** 2 / expected).sum() < order + 5 * math.sqrt(2 * order)  # chi-square


def test_qpsk_is_what_it_should_be() -> None:
    assert {complex(p) for p in (qam_constellation(4) * math.sqrt(2)).round(9)} == {1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j}
    with pytest.raises(ValueError, match="order"):
        qam_constellation(8)


def test_items_do_not_depend_on_the_portion_they_are_drawn_in() -> None:
    radar, scene = OfdmRadar(antennas=4, subcarriers=16), Scene()
    whole_x, whole = draw_symbols(7, 0, 20, radar), draw_scene(7, 0, 20, radar, scene)
    kappa = np.ones(4)
    y = simulate_frames(whole_x, whole.gamma, kappa, whole.theta, whole.tau, radar, seed=7)
    for first in (0, 3, 17):
        np.testing.assert_array_equal(draw_symbols(7, first, 3, radar), whole_x[first : first + 3])
        part = draw_scene(7, first, 3, radar, scene)
        np.testing.assert_array_equal(part.gamma, whole.gamma[first : first + 3])
        np.testing.assert_array_equal(part.theta, whole.theta[first : first + 3])
        again = simulate_frames(
            whole_x[first : first + 3], part.gamma, kappa, part.theta, part.tau, radar, seed=7, first=first
        )
        np.testing.assert_array_equal(again, y[first : first + 3])


def test_the_scene_follows_table_1() -> None:
    radar, scene = OfdmRadar(), Scene()
    drawn = draw_scene(1, 0, 20_000, radar, scene)
    present = drawn.present != 0
    assert present.mean() == pytest.approx(0.5, abs=0.02)
    assert (drawn.gamma[~present] == 0).all()
    power = np.abs(drawn.gamma[present]) ** 2
    assert power.mean() == pytest.approx(10**1.5 / (64 * 256), rel=0.04)
    assert np.median(power) / power.mean() == pytest.approx(math.log(2), rel=0.05)  # exponential
    assert abs(np.mean(drawn.gamma[present] ** 2)) < 0.05 * power.mean()  # circular
    width = np.degrees(drawn.theta_max - drawn.theta_min)
    centre = np.degrees(drawn.theta_max + drawn.theta_min) / 2
    assert 10 <= width.min() < 10.1
    assert 19.9 < width.max() <= 20
    assert -60 <= centre.min() < -59.8
    assert 59.8 < centre.max() <= 60
    place = (drawn.theta - drawn.theta_min) / (drawn.theta_max - drawn.theta_min)
    assert place.min() >= 0
    assert place.max() <= 1
    assert place.std() == pytest.approx(math.sqrt(1 / 12), rel=0.03)
    low, high = scene.delay_window(radar)
    assert low == pytest.approx(2 * 10 / 299_792_458)
    assert high == pytest.approx(0.07 / 240e3)
    assert drawn.tau.min() >= low
    assert drawn.tau.max() <= high


def test_frames_are_eq_8_and_their_noise_is_white() -> None:
    radar, setup = OfdmRadar(antennas=6, subcarriers=20), model.Setup(6, 20)
    rng = np.random.default_rng(3)
    x = (rng.choice([-1, 1], (5, 20)) + 1j * rng.choice([-1, 1], (5, 20))) / math.sqrt(2)
    gamma = rng.standard_normal(5) + 1j * rng.standard_normal(5)
    kappa = rng.standard_normal((5, 6)) + 1j * rng.standard_normal((5, 6))
    theta, tau = rng.uniform(-1, 1, 5), rng.uniform(0, 2e-7, 5)
    y = simulate_frames(x, gamma, kappa, theta, tau, radar, noise_power=0)
    assert y.dtype == np.complex128
    for f in range(5):
        np.testing.assert_allclose(y[f], model.frame(x[f], gamma[f], kappa[f], theta[f], tau[f], setup), atol=1e-12)
    single = simulate_frames(x.astype(np.complex64), gamma, kappa[0], theta, tau, radar, noise_power=0)
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single[0], y[0], atol=1e-5)
    quiet = np.zeros(2000)
    noise = simulate_frames(np.ones((2000, 20)), quiet, np.ones(6), quiet, quiet, radar, noise_power=4.0, seed=5)
    flat = noise.reshape(2000, -1)
    assert np.mean(np.abs(flat) ** 2) == pytest.approx(4.0, rel=0.01)
    covariance = flat.T @ flat.conj() / 2000
    assert np.abs(covariance - 4 * np.eye(120)).max() < 4 * 6 / math.sqrt(2000)
    assert np.abs(flat.T @ flat / 2000).max() < 4 * 6 / math.sqrt(2000)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize(("antennas", "subcarriers"), [(5, 21), (2, 256), (3, 300)])
def test_a_frame_is_its_items_normals_and_the_echo(antennas: int, subcarriers: int, dtype: Any) -> None:
    """Noise made row by row between echoes is that of the item as a whole, whatever the width of a row."""
    radar = OfdmRadar(antennas=antennas, subcarriers=subcarriers)
    truth, x = draw_scene(1, 40, 6, radar, Scene(snr_db=10)), draw_symbols(1, 40, 6, radar).astype(dtype)
    assert 0 < truth.present.sum() < 6
    place = x, truth.gamma, np.exp(1j * np.arange(antennas)), truth.theta, truth.tau, radar
    y = simulate_frames(*place, noise_power=3.0, seed=9, first=40)
    echo = simulate_frames(*place, noise_power=0.0)
    noise = np.empty((6, antennas, 2 * subcarriers), np.float32)
    for f in range(6):
        normals(np.uint64(9), STREAM_NOISE, np.uint64(40 + f), math.sqrt(1.5), noise[f].reshape(-1))
    np.testing.assert_allclose(y, noise.view(np.complex64) + echo, rtol=0, atol=1e-6 if dtype == np.complex64 else 1e-14)
    np.testing.assert_array_equal(y[truth.present == 0], noise.view(np.complex64)[truth.present == 0])


def test_frames_are_left_where_they_are_wanted() -> None:
    radar = OfdmRadar(antennas=4, subcarriers=8)
    truth, x = draw_scene(1, 0, 3, radar, Scene()), draw_symbols(1, 0, 3, radar)
    place = x, truth.gamma, np.ones(4), truth.theta, truth.tau, radar
    out = np.full((3, 4, 8), np.nan, np.complex64)
    assert simulate_frames(*place, out=out) is out
    np.testing.assert_array_equal(out, simulate_frames(*place))
    fixed = np.empty((3, 4, 8), np.complex64)
    fixed.flags.writeable = False
    for bad in (out[:2], out.astype(complex), np.empty((3, 8, 4), np.complex64).transpose(0, 2, 1), fixed):
        with pytest.raises(ValueError, match=r"out: expected a writeable, C-contiguous array of shape \(3, 4, 8\)"):
            simulate_frames(*place, out=bad)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_time_domain_gives_the_same_frame(share: float) -> None:
    radar = OfdmRadar(antennas=5, subcarriers=64)
    rng = np.random.default_rng(8)
    x = draw_symbols(2, 0, 1, radar)[0].astype(np.complex128)
    kappa = rng.standard_normal(5) + 1j * rng.standard_normal(5)
    tau = share * radar.prefix_duration
    long_way = time_domain_frame(x, 1.5 - 0.5j, kappa, 0.4, tau, radar)
    eq_8 = simulate_frames(x[None], [1.5 - 0.5j], kappa, [0.4], [tau], radar, noise_power=0)[0]
    np.testing.assert_allclose(long_way, eq_8, atol=1e-9)


def test_an_echo_beyond_the_prefix_is_refused_and_would_not_obey_eq_5() -> None:
    radar = OfdmRadar(antennas=2, subcarriers=64)
    x = np.ones(64, complex)
    with pytest.raises(ValueError, match="prefix"):
        time_domain_frame(x, 1.0, np.ones(2), 0.1, 1.01 * radar.prefix_duration, radar)
    with pytest.raises(ValueError, match="prefix"):
        time_domain_frame(x, 1.0, np.ones(2), 0.1, -1e-9, radar)


def test_simulate_frames_refuses_bad_input() -> None:
    radar = OfdmRadar(antennas=4, subcarriers=8)
    two = np.zeros(2)
    good: dict[str, Any] = {
        "x": np.ones((2, 8)),
        "gamma": two,
        "kappa": np.ones(4),
        "theta": two,
        "tau": two,
        "radar": radar,
    }
    simulate_frames(**good)
    for name, bad in (
        ("x", np.ones((2, 7))),
        ("gamma", np.ones(3)),
        ("kappa", np.ones((3, 4))),
        ("theta", np.full(2, np.nan)),
        ("tau", np.zeros(1)),
    ):
        with pytest.raises(ValueError, match=name):
            simulate_frames(**(good | {name: bad}))
    with pytest.raises(ValueError, match="noise_power"):
        simulate_frames(**good, noise_power=-1.0)


@pytest.mark.parametrize("law", LAWS)
def test_laws_of_the_impairments(law: str) -> None:
    kappas = np.stack([draw_impairments(law, 64, seed) for seed in range(200)])
    np.testing.assert_allclose(np.sum(np.abs(kappas) ** 2, axis=1), 64)
    np.testing.assert_array_equal(draw_impairments(law, 64, 5), kappas[5])
    size, phase = np.abs(kappas), np.angle(kappas)
    if law == "none":
        np.testing.assert_array_equal(kappas, 1)
    elif law == "published":
        spread = 20 * np.log10(size.max(axis=1) / size.min(axis=1))
        assert 24 < np.median(spread) < 29  # exp(pi) is 27.3 dB
    else:
        assert size.min() > 0.94
        assert size.max() < 1.06
        widest = math.pi / 2 if law == "table1" else math.pi
        assert widest * 0.99 < phase.max() <= widest
        assert phase.std() == pytest.approx(widest / math.sqrt(3), rel=0.03)


def test_impairments_refuse_what_is_unknown() -> None:
    with pytest.raises(ValueError, match="expected one of none, table1"):
        draw_impairments("gaussian", 4, 1)
    with pytest.raises(ValueError, match="norm"):
        retract(np.zeros(3, complex))


def test_drift_is_a_random_walk_that_continues() -> None:
    start = np.zeros(8)
    whole = drift_phases(3, 0, 4000, 8, start, 0.01)
    first = drift_phases(3, 0, 1500, 8, start, 0.01)
    second = drift_phases(3, 1500, 2500, 8, first[-1], 0.01)
    np.testing.assert_array_equal(np.vstack([first, second]), whole)
    steps = np.diff(whole, axis=0)
    assert steps.std() == pytest.approx(0.01, rel=0.02)
    assert abs(np.corrcoef(steps[:-1, 0], steps[1:, 0])[0, 1]) < 0.08


def test_steering_and_delay_vectors() -> None:
    radar, setup = OfdmRadar(antennas=7, subcarriers=9), model.Setup(7, 9)
    theta, tau = np.linspace(-1.4, 1.4, 5), np.linspace(0, 4e-6, 6)
    np.testing.assert_allclose(steering_vectors(theta, radar), [model.a(t, setup) for t in theta], atol=1e-13)
    np.testing.assert_allclose(delay_vectors(tau, radar), [model.b(t, setup) for t in tau], atol=1e-13)
    long = OfdmRadar(antennas=2, subcarriers=4096, cyclic_prefix=0.5)  # doubling adds no error that recurrence would not
    exact = np.exp(-2j * np.pi * np.arange(4096) * long.subcarrier_spacing * 1.9e-6)
    np.testing.assert_allclose(delay_vectors([1.9e-6], long)[0], exact, atol=4096 * 2.3e-16)
    # the same array given by its positions goes the general way
    places = tuple((0.0, 0.5 * n, 0.0) for n in range(7))
    by_position = OfdmRadar(antennas=7, subcarriers=9, element_positions=places)
    np.testing.assert_allclose(steering_vectors(theta, by_position), steering_vectors(theta, radar), atol=1e-13)


def test_a_circular_array_is_steered_by_its_positions() -> None:
    angles = 2 * np.pi * np.arange(6) / 6
    places = tuple((float(np.cos(p)), float(np.sin(p)), 0.0) for p in angles)
    radar = OfdmRadar(antennas=6, subcarriers=8, element_positions=places)
    expected = np.exp(-2j * np.pi * np.cos(angles - 0.3))
    np.testing.assert_allclose(steering_vectors([0.3], radar)[0], expected, atol=1e-13)


def test_scene_and_radar_refuse_what_cannot_be() -> None:
    radar = OfdmRadar()
    for arguments, word in (
        ({"snr_db": math.nan}, "snr_db"),
        ({"target_probability": 1.5}, "target_probability"),
        ({"sector_width_min": 0.5, "sector_width_max": 0.4}, "widths"),
        ({"sector_centre_max": 1.55}, "sector_centre_max"),
        ({"range_min": -1.0}, "range_min"),
        ({"range_min": 20.0, "range_max": 10.0}, "range_max"),
    ):
        with pytest.raises(ValueError, match=word):
            Scene(**arguments)
    with pytest.raises(ValueError, match="later than the cyclic prefix"):
        Scene(range_max=60.0).delay_window(radar)
    with pytest.raises(ValueError, match="beyond the farthest"):
        Scene(range_min=50.0).delay_window(radar)
    with pytest.raises(ValueError, match="element_positions"):
        OfdmRadar(antennas=3, element_positions=((0.0, 0.0, 0.0),))
