"""The start from nothing, and whether it knows when it failed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks import OfdmRadar, Scene, kappa_error
from isacblocks.kernels.acceptance import LEAST_GAIN, Trial, try_estimate
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import Compressed, delay_basis
from isacblocks.kernels.expectation import em_step
from isacblocks.kernels.impairments import draw_impairments, retract
from isacblocks.kernels.simulation import draw_scene
from isacblocks.kernels.start import Law, Sample, Start, expect, full_circle_start, noise_outside

RADAR = OfdmRadar(antennas=24, subcarriers=64)


def drawn(count: int, seed: int, scene: Scene, noise_power: float = 1.0, radar: OfdmRadar = RADAR) -> tuple[Any, ...]:
    truth = draw_scene(seed, 0, count, radar, scene)
    scaled = truth.__class__(**(vars(truth) | {"gamma": truth.gamma * math.sqrt(noise_power)}))
    kappa = draw_impairments("full-circle", radar.antennas, seed)
    basis = delay_basis(radar, *scene.delay_window(radar))
    return simulate_compressed(scaled, kappa, basis, noise_power=noise_power, seed=seed), basis, truth, kappa


def started(count: int, seed: int, scene: Scene, noise_power: float = 1.0) -> tuple[Start, Any]:
    frames, basis, truth, kappa = drawn(count, seed, scene, noise_power)
    return full_circle_start(frames, basis, truth.theta_min, truth.theta_max), kappa


@pytest.mark.parametrize("seed", range(4))
def test_phases_over_the_whole_circle_are_found(seed: int) -> None:
    scene, noise = Scene(snr_db=15), 2.5
    start, kappa = started(160, seed, scene, noise)
    error = kappa_error(start.kappa, kappa, RADAR)
    assert error.loss_db < 0.15  # the bound with gains is 0.05 dB; single seeds spread
    assert abs(error.slope_deg) < 1.5
    assert start.stands
    assert start.law.noise_power == pytest.approx(noise, rel=0.01)
    assert 10 * math.log10(start.law.snr) == pytest.approx(15, abs=2)
    assert start.law.prior == pytest.approx(0.5, abs=0.15)
    assert np.linalg.norm(start.kappa) ** 2 == pytest.approx(24)
    assert start.targets == pytest.approx(160 * start.law.prior, rel=0.05)


def test_the_same_frames_give_the_same_bits() -> None:
    first, second = started(64, 1, Scene())[0], started(64, 1, Scene())[0]
    np.testing.assert_array_equal(first.kappa, second.kappa)
    np.testing.assert_array_equal(first.total, second.total)


def test_the_total_is_what_the_one_pass_would_have_gathered() -> None:
    """v = sum p w (u conj(s) - N0 ||x||^2 kappa): along kappa, its length that of so many targets."""
    scene = Scene(snr_db=15)
    frames, basis, truth, _ = drawn(160, 2, scene)
    start = full_circle_start(frames, basis, truth.theta_min, truth.theta_max)
    assert abs(np.vdot(start.total, start.kappa)) / np.linalg.norm(start.total) / math.sqrt(24) > 0.98
    length = float(np.linalg.norm(start.total)) / math.sqrt(24)
    assert length == pytest.approx(start.targets * start.law.snr * RADAR.subcarriers * start.law.noise_power, rel=0.1)
    sample = Sample(frames, basis, truth.theta_min, truth.theta_max)
    made = expect(sample, retract(start.total), start.law)
    assert made.log_likelihood == pytest.approx(start.log_likelihood, rel=0.02)


def test_what_is_told_is_kept() -> None:
    frames, basis, truth, _ = drawn(64, 3, Scene())
    start = full_circle_start(frames, basis, truth.theta_min, truth.theta_max, snr=40.0, prior=0.6, noise_power=1.1)
    assert (start.law.snr, start.law.prior, start.law.noise_power) == (40.0, 0.6, 1.1)


@pytest.mark.parametrize(("snr_db", "present", "count"), [(0.0, 0.5, 100), (15.0, 0.0, 100), (3.0, 0.5, 200)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_start_that_failed_says_so(snr_db: float, present: float, count: int, seed: int) -> None:
    """Targets that single frames hardly show, and none at all."""
    start, kappa = started(count, seed, Scene(snr_db=snr_db, target_probability=present))
    assert kappa_error(start.kappa, kappa, RADAR).loss_db > 1
    assert not start.stands


def test_frames_tell_a_good_kappa_from_a_bad_one() -> None:
    scene = Scene(snr_db=15)
    frames, basis, truth, kappa = drawn(200, 5, scene)
    theta = truth.theta_min[:, None] + (truth.theta_max - truth.theta_min)[:, None] * np.linspace(0, 1, 50)
    tau = np.linspace(basis.window[0], basis.window[1], 50)[None, :]

    def trial(guess: Any) -> Trial:
        return try_estimate(frames, basis, guess, theta, tau, scene.snr, 0.5)

    good = trial(kappa)
    assert good.stands
    assert good.gain > 200
    assert abs(good.loss) < 4 * good.loss_error
    assert good.loss_error < 0.05
    rng = np.random.default_rng(1)
    for deviation in (0.5, 0.7):  # the loss is measured, not only felt
        guess = kappa * np.exp(1j * rng.normal(0, deviation, 24))
        found = trial(guess)
        lost = 1 - (abs(np.vdot(guess, kappa)) / 24) ** 2
        assert found.loss == pytest.approx(lost, abs=0.07)
        assert found.loss_db == pytest.approx(-10 * math.log10(1 - found.loss))
        assert found.gain < good.gain
    for seed in range(5):
        worthless = trial(draw_impairments("full-circle", 24, 100 + seed))
        assert worthless.gain < LEAST_GAIN
        assert not worthless.stands


def test_worthless_estimates_pass_as_seldom_as_promised() -> None:
    """Markov's bound on the gain: kappa is another one in every frame, and the likelihood ratio's mean at most one."""
    scene = Scene(snr_db=12)
    frames, basis, truth, _ = drawn(4000, 6, scene)
    turns = np.exp(1j * np.random.default_rng(2).uniform(-np.pi, np.pi, (4000, 24, 1)))
    mixed = Compressed((frames.g * turns).astype(np.complex64), frames.energy, frames.symbol_energy)
    theta = truth.theta_min[:, None] + (truth.theta_max - truth.theta_min)[:, None] * np.linspace(0, 1, 40)
    tau = np.linspace(basis.window[0], basis.window[1], 40)[None, :]
    gains = []
    for first in range(0, 4000, 20):
        cut = slice(first, first + 20)
        part = Compressed(mixed.g[cut], mixed.energy[cut], mixed.symbol_energy[cut])
        gains.append(try_estimate(part, basis, np.ones(24, complex), theta[cut], tau, scene.snr, 0.5).gain)
    assert np.mean(np.array(gains) > 2.0) < math.exp(-2.0)
    assert max(gains) < LEAST_GAIN


def test_any_planar_array_starts_too() -> None:
    """No slope to straighten, no use of equal spacing."""
    positions = tuple((0.05 * (k % 2), 0.45 * k + 0.02 * (k % 3), 0.0) for k in range(24))
    radar = OfdmRadar(antennas=24, subcarriers=64, element_positions=positions)
    frames, basis, truth, kappa = drawn(200, 1, Scene(), radar=radar)
    start = full_circle_start(frames, basis, truth.theta_min, truth.theta_max)
    assert math.isnan(start.slope_deviation)
    assert start.stands
    n = np.arange(24)
    ramps = np.exp(1j * np.outer(np.linspace(-0.1, 0.1, 401), n))  # a turned array is nearly a ramp here as well
    assert np.abs(ramps @ (start.kappa * kappa.conj())).max() / 24 > 0.97


def test_bad_arguments_are_refused() -> None:
    frames, basis, truth, _ = drawn(7, 1, Scene())
    with pytest.raises(ValueError, match="frames: expected at least 8, got 7"):
        full_circle_start(frames, basis, truth.theta_min, truth.theta_max)
    frames, basis, truth, _ = drawn(12, 1, Scene())
    for told, name in (({"snr": -1.0}, "snr"), ({"prior": 1.0}, "prior"), ({"noise_power": 0.0}, "noise_power")):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            full_circle_start(frames, basis, truth.theta_min, truth.theta_max, **told)
    whole = delay_basis(RADAR, 0.0, 1 / RADAR.subcarrier_spacing)
    full = Compressed(np.ones((12, 24, 64), np.complex64), np.ones(12), np.ones(12))
    with pytest.raises(ValueError, match="noise_power: all 64 subcarriers"):
        noise_outside(full, whole)
    law = Law(3.0, 0.5, 1.0, (False, True)).learn(-2.0, 0.9, 10)
    assert law.snr > 0
    assert law.prior == 0.5
    with pytest.raises(ValueError, match="snr: expected"):
        em_step(frames, basis, np.ones(24), np.zeros((1, 3)), np.full((1, 2), 1e-7), 0.0, 0.5)
