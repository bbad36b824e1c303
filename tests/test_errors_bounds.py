"""The three error figures of kappa, and the bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from isacblocks import OfdmRadar, kappa_error
from isacblocks.kernels.bounds import angle_bound, delay_bound, kappa_bound, loss_bound_db
from isacblocks.kernels.errors import best_ramp

RADAR = OfdmRadar()


def kappa(seed: int = 1) -> NDArray[np.complex128]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.uniform(0.95, 1.05, 64) * np.exp(1j * rng.uniform(-np.pi, np.pi, 64)))


def test_an_exact_estimate_has_no_error_whatever_its_phase_and_scale() -> None:
    error = kappa_error(3.0 * np.exp(2j) * kappa(), kappa(), RADAR)
    assert error.phase_db < -130
    assert error.ramp_db < -130
    assert error.loss_db == pytest.approx(0, abs=1e-12)
    assert error.slope_deg == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("slope", [-2.9, -0.3, -1e-4, 0.0, 0.002, 0.05, 1.0, 3.0])
def test_a_slope_is_found_and_removed(slope: float) -> None:
    turned = kappa() * np.exp(1j * slope * np.arange(64))
    error = kappa_error(turned, kappa(), RADAR)
    assert error.slope_deg == pytest.approx(math.degrees(math.asin(slope / math.pi)), abs=1e-6)
    assert error.ramp_db < -120
    if abs(slope) > 0.04:
        assert error.phase_db > -6


def test_random_errors_have_the_size_they_were_given() -> None:
    rng = np.random.default_rng(3)
    deviation = 0.1
    errors = []
    for _ in range(400):
        noise = deviation * (rng.standard_normal(64) + 1j * rng.standard_normal(64)) / math.sqrt(2)
        errors.append(kappa_error(kappa() * (1 + noise), kappa(), RADAR))
    nmse = np.mean([10 ** (e.ramp_db / 10) for e in errors])
    # of the 2 N real errors per element the best phase, the best slope and the scale take one each
    assert nmse == pytest.approx(deviation**2 * (2 * 64 - 3) / (2 * 64), rel=0.03)
    loss = np.mean([e.loss_db for e in errors])
    assert loss == pytest.approx(10 / math.log(10) * nmse, rel=0.02)


def test_best_ramp_finds_the_largest_correlation() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        product = rng.standard_normal(17) + 1j * rng.standard_normal(17)
        slope, height = best_ramp(product)
        grid = np.linspace(-np.pi, np.pi, 20001)
        values = np.abs(np.exp(-1j * np.outer(grid, np.arange(17))) @ product)
        assert height >= values.max() * (1 - 1e-9)
        assert abs((product * np.exp(-1j * slope * np.arange(17))).sum()) == pytest.approx(height)


def test_an_array_that_is_not_uniform_has_no_ramp_to_remove() -> None:
    places = tuple((0.0, 0.5 * n + 0.1 * (n % 2), 0.0) for n in range(64))
    radar = OfdmRadar(element_positions=places)
    error = kappa_error(kappa() * np.exp(0.05j * np.arange(64)), kappa(), radar)
    assert error.ramp_db == error.phase_db
    assert error.slope_deg == 0


def test_errors_refuse_bad_input() -> None:
    with pytest.raises(ValueError, match="estimate"):
        kappa_error(np.ones(3), np.ones(64), RADAR)
    with pytest.raises(ValueError, match="truth"):
        kappa_error(np.ones(64), np.full(64, np.nan), RADAR)
    with pytest.raises(ValueError, match="all-zero"):
        kappa_error(np.zeros(64), np.ones(64), RADAR)


def test_the_bound_of_kappa_is_the_one_that_was_derived() -> None:
    assert kappa_bound(1, 64, 10**1.5, 0.5) == pytest.approx(4.08, abs=0.01)
    assert loss_bound_db(355, 64, 10**1.5, 0.5) == pytest.approx(0.05, rel=0.01)
    several = kappa_bound(np.array([100, 200]), 64, 10**1.5, 0.5)
    assert several[0] == pytest.approx(2 * several[1])


@pytest.mark.slow
def test_angle_and_delay_of_a_strong_echo_reach_their_bounds() -> None:
    """The refined peak of a known target: unbiased, and no better than the bound, on a fine grid."""
    from isacblocks import find_peak, simulate_frames

    radar = OfdmRadar(antennas=16, subcarriers=32)
    rho, theta, tau = 400.0, 0.3, 0.8e-6
    frames = 800
    gamma = np.full(frames, math.sqrt(rho / (16 * 32)))
    x = np.ones((frames, 32), np.complex64)
    each = np.ones(frames)
    y = simulate_frames(x, gamma, np.ones(16), theta * each, tau * each, radar, seed=2)
    spread = float(angle_bound(rho, theta, radar)), float(delay_bound(rho, radar))
    grids = np.linspace(-6, 6, 61)
    peaks = find_peak(y, x, np.ones(16), theta + grids * spread[0], tau + grids * spread[1], radar, refine=True)
    for found, true, bound in ((peaks.theta, theta, spread[0]), (peaks.tau, tau, spread[1])):
        assert abs(found.mean() - true) < 4 * bound / math.sqrt(frames)
        assert np.std(found) == pytest.approx(bound, rel=4 / math.sqrt(2 * frames) + 0.02)
