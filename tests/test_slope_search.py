"""The slope from whole maps: its likelihood against EM's own with turned kappa, and slopes found over a wide window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks import OfdmRadar, Scene, kappa_error
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import Compressed, delay_basis
from isacblocks.kernels.expectation import em_step
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.simulation import draw_scene
from isacblocks.kernels.slope_search import search_slope, slope_likelihood

RADAR, SCENE = OfdmRadar(antennas=16, subcarriers=64), Scene()


def drawn(count: int, seed: int) -> tuple[Any, ...]:
    truth = draw_scene(seed, 0, count, RADAR, SCENE)
    kappa = draw_impairments("full-circle", 16, seed)
    basis = delay_basis(RADAR, *SCENE.delay_window(RADAR))
    return simulate_compressed(truth, kappa, basis, seed=seed), basis, truth, kappa


def test_the_likelihood_is_em_s_with_turned_kappa() -> None:
    """EM's mean over a fine grid of angles, frame by frame, kappa turned by b: the sector moves instead of kappa."""
    frames, basis, truth, kappa = drawn(60, 1)
    tau = np.linspace(basis.window[0], basis.window[1], 50)
    slopes = np.array([-0.5, -0.21, -0.05, -0.013, 0.0, 0.02, 0.08, 0.5])
    theta = truth.theta_min[:, None] + (truth.theta_max - truth.theta_min)[:, None] * (np.arange(1500) + 0.5) / 1500
    brute = np.empty((slopes.size, 60))
    for k, b in enumerate(slopes):
        turned = kappa * np.exp(1j * b * np.arange(16))
        brute[k] = em_step(frames, basis, turned, theta, tau[None, :], SCENE.snr, 0.5).likelihood
    found = np.empty_like(brute)
    for f in range(60):
        one = Compressed(frames.g[f : f + 1], frames.energy[f : f + 1], frames.symbol_energy[f : f + 1])
        sector = truth.theta_min[f : f + 1], truth.theta_max[f : f + 1]
        found[:, f] = slope_likelihood(one, basis, kappa, *sector, tau, slopes, SCENE.snr, 0.5, step=2e-4)
    assert np.abs(found - brute).max() < 5e-3  # both are sums over cells, of different sizes at the edges
    assert np.ptp(brute.sum(axis=1)) > 50
    whole = slope_likelihood(frames, basis, kappa, truth.theta_min, truth.theta_max, tau, slopes, SCENE.snr, 0.5, step=2e-4)
    np.testing.assert_allclose(whole, found.sum(axis=1), rtol=1e-9)
    usual = slope_likelihood(frames, basis, kappa, truth.theta_min, truth.theta_max, tau, slopes, SCENE.snr, 0.5)
    drop = whole.max() - whole
    assert (np.abs(usual - whole) < 0.05 + 0.06 * drop).all()  # at the usual step, a twenty-fifth of a beam


@pytest.mark.parametrize("slope", [-0.45, -0.02, 0.0, 0.3])
def test_slopes_are_found_over_a_wide_window(slope: float) -> None:
    frames, basis, truth, kappa = drawn(800, 2)
    n = np.arange(16)
    tau = np.linspace(basis.window[0], basis.window[1], 60)
    sector = truth.theta_min, truth.theta_max
    found, deviation = search_slope(frames, basis, kappa * np.exp(-1j * slope * n), *sector, tau, SCENE.snr, 0.5)
    assert 0.002 < deviation < 0.012
    assert found == pytest.approx(slope, abs=4 * deviation)
    turned = kappa * np.exp(1j * (found - slope) * n)
    assert kappa_error(turned, kappa, RADAR).slope_deg == pytest.approx(math.degrees((found - slope) / math.pi), abs=1e-3)


def test_a_narrow_window_keeps_to_itself() -> None:
    frames, basis, truth, kappa = drawn(200, 3)
    tau = np.linspace(basis.window[0], basis.window[1], 60)
    far = kappa * np.exp(-0.3j * np.arange(16))
    found, _ = search_slope(frames, basis, far, truth.theta_min, truth.theta_max, tau, SCENE.snr, 0.5, reach=0.1)
    assert abs(found) <= 0.1


def test_what_has_no_slope_is_refused() -> None:
    frames, basis, truth, kappa = drawn(4, 3)
    tau = np.linspace(basis.window[0], basis.window[1], 20)
    slopes = np.linspace(-0.1, 0.1, 5)
    planar = OfdmRadar(antennas=16, subcarriers=64, element_positions=tuple((0.0, 0.5 * k, 0.0) for k in range(16)))
    other = delay_basis(planar, *basis.window)
    with pytest.raises(ValueError, match="basis: only a uniform linear array"):
        slope_likelihood(frames, other, kappa, truth.theta_min, truth.theta_max, tau, slopes, 30.0, 0.5)
    with pytest.raises(ValueError, match="theta_min, theta_max: expected sectors"):
        slope_likelihood(frames, basis, kappa, truth.theta_max, truth.theta_min, tau, slopes, 30.0, 0.5)
    with pytest.raises(ValueError, match="prior: expected"):
        slope_likelihood(frames, basis, kappa, truth.theta_min, truth.theta_max, tau, slopes, 30.0, 0.0)
