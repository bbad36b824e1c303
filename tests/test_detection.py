"""The threshold in closed form against simulated noise, the target probability against numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from reference import model
from scipy.integrate import quad
from scipy.special import gammaln
from scipy.stats import gamma

from isacblocks import OfdmRadar, Scene, detection_threshold, false_alarm_probability, find_peak, simulate_frames
from isacblocks.blocks.angle_delay_map import sector_grid
from isacblocks.kernels.detection import (
    angle_extent,
    delay_extent,
    evidence,
    excursions,
    logistic,
    target_probabilities,
    window_thresholds,
)
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.simulation import draw_scene, draw_symbols


def noise_levels(frames: int, radar: OfdmRadar, refine: bool, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T of frames without a target over random sectors, and their grids, whatever kappa is assumed."""
    scene = Scene(target_probability=0.0)
    drawn = draw_scene(seed, 0, frames, radar, scene)
    x = draw_symbols(seed, 0, frames, radar)
    y = simulate_frames(x, drawn.gamma, np.ones(radar.antennas), drawn.theta, drawn.tau, radar, seed=seed)
    theta = sector_grid(drawn.theta_min, drawn.theta_max, 100)
    tau = np.linspace(*scene.delay_window(radar), 100)
    kappa = draw_impairments("table1", radar.antennas, seed)
    peaks = find_peak(y, x, kappa, theta, tau, radar, refine=refine)
    return peaks.statistic / (radar.antennas * radar.subcarriers), theta, tau


@pytest.mark.slow
@pytest.mark.parametrize("refine", [False, True])
def test_false_alarms_come_as_often_as_promised(refine: bool) -> None:
    """2e4 frames of noise at Table I. The nominal value lies inside the 99.9 % interval of what was counted."""
    radar = OfdmRadar()
    levels, alarms = [], {1e-1: 0, 1e-2: 0}
    frames = 0
    for seed in range(20):
        level, theta, tau = noise_levels(1000, radar, refine, seed)
        frames += len(level)
        levels.append(level)
        for p_fa in alarms:
            alarms[p_fa] += int((level > detection_threshold(p_fa, radar, theta, tau, refine)).sum())
    for p_fa, count in alarms.items():
        deviation = math.sqrt(frames * p_fa * (1 - p_fa))
        assert abs(count - frames * p_fa) < 3.3 * deviation, (p_fa, count)
        # the issue's own words: within 10 % of nominal, here with the counting error of 200 events on top
        assert abs(count / (frames * p_fa) - 1) < 0.10 + 2 * deviation / (frames * p_fa)


def test_probability_and_threshold_are_inverse_to_each_other() -> None:
    radar = OfdmRadar()
    theta, tau = np.linspace(-0.1, 0.1, 100), np.linspace(7e-8, 2.9e-7, 100)
    for p_fa in (0.2, 1e-1, 1e-2, 1e-3, 1e-6, 1e-9):
        for refine in (False, True):
            level = detection_threshold(p_fa, radar, theta, tau, refine)
            assert false_alarm_probability(level, radar, theta, tau, refine) == pytest.approx(p_fa, rel=1e-8)
    levels = np.array([9.0, 12.0, 15.0])
    assert (np.diff(false_alarm_probability(levels, radar, theta, tau)) < 0).all()
    assert detection_threshold(1e-2, radar, theta, tau, True) > detection_threshold(1e-2, radar, theta, tau)


@pytest.mark.parametrize("samples", [11, 63, 1023])
@pytest.mark.parametrize("extents", [(0.0, 0.0), (4.0, 0.0), (5.0, 9.0)])
def test_the_energy_of_the_frame_averaged_out_gives_back_the_known_noise(samples: int, extents: tuple[float, float]) -> None:
    """White noise is a direction and an energy independent of it, so P(h) for known N0 is the mean over the energy Q ~
    Gamma(M + 1) of what holds for a direction: T_est = M V / (1 - V) with V = h / Q."""
    for h in (4.0, 8.0):

        def given(energy: float, h: float = h) -> float:
            share = h / energy
            return float(excursions(samples * share / (1 - share), *extents, samples) * gamma.pdf(energy, samples + 1))

        low, high = gamma.ppf([1e-13, 1 - 1e-13], samples + 1)
        mean, _ = quad(given, max(low, h * (1 + 1e-9)), max(high, 2 * h), limit=400, epsrel=1e-9)
        assert mean == pytest.approx(excursions(h, *extents), rel=2e-5)


def test_the_factor_of_the_edges() -> None:
    for samples in (2, 5, 40, 1000):
        exact = math.exp(gammaln(samples + 1) - gammaln(samples + 0.5)) / math.sqrt(samples)
        point, edge = (excursions(3.0, extent, 0.0, samples) for extent in (0.0, 1.0))
        assert (edge / point - 1) / math.sqrt(3.0 / math.pi) == pytest.approx(exact, rel=1e-4 if samples < 5 else 4e-6)


def test_thresholds_for_estimated_noise() -> None:
    """Inverse to the probability, above the known noise's and down to it for many samples; a point's is elementary."""
    radar = OfdmRadar(antennas=8, subcarriers=16)
    theta, tau = np.linspace(-0.3, 0.3, 30), np.linspace(0, 1e-6, 30)
    for refine in (False, True):
        known = detection_threshold(1e-2, radar, theta, tau, refine)
        before = math.inf
        for samples in (2, 8, 127, 1e4, 1e9):
            level = detection_threshold(1e-2, radar, theta, tau, refine, noise_samples=samples)
            assert known < level < before
            before = float(level)
            back = false_alarm_probability(level, radar, theta, tau, refine, noise_samples=samples)
            assert back == pytest.approx(1e-2, rel=1e-8)
        assert before == pytest.approx(known, rel=1e-7)
    for samples in (3, 127):
        level = detection_threshold(1e-3, radar, [0.1], [1e-7], noise_samples=samples)
        assert (1 + level / samples) ** -samples == pytest.approx(-math.log1p(-1e-3), rel=1e-9)
    several = window_thresholds(1e-2, np.array([3.0, 6.0]), np.array([5.0, 5.0]), 20, 20, 127)
    assert several[0] < several[1]


@pytest.mark.parametrize("samples", [1, 0, -5, math.nan, "127", True])
def test_noise_samples_are_checked(samples: object) -> None:
    radar = OfdmRadar(antennas=8, subcarriers=16)
    grids = np.linspace(-0.3, 0.3, 30), np.linspace(0, 1e-6, 30)
    with pytest.raises(ValueError, match="noise_samples: expected None or a number of at least 2"):
        detection_threshold(1e-2, radar, *grids, noise_samples=samples)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="noise_samples"):
        false_alarm_probability(9.0, radar, *grids, noise_samples=samples)  # type: ignore[arg-type]


@pytest.mark.parametrize("refine", [False, True])
def test_the_false_alarm_rate_is_constant_whatever_the_noise(refine: bool) -> None:
    """4e4 frames of noise of any power on an array so small that the estimate matters: M = 63. Treating the estimate as the
    truth would give 1.35 and 1.84 times nominal; the counts lie in 99.9 % intervals, 3 % added for the formula."""
    radar, frames = OfdmRadar(antennas=4, subcarriers=16), 40_000
    rng = np.random.default_rng(17 + refine)
    y = rng.standard_normal((frames, 4, 16)) + 1j * rng.standard_normal((frames, 4, 16))
    y *= 10 ** rng.uniform(-6, 6, frames)[:, None, None]
    theta, tau = np.linspace(-0.5, 0.5, 24), np.linspace(0, 1.2e-6, 40)
    kappa = draw_impairments("table1", 4, 5)
    peaks = find_peak(y, np.ones((frames, 16)), kappa, theta, tau, radar, refine)
    samples = 4 * 16 - 1
    level = peaks.statistic / 64
    seen = level / ((peaks.energy - level) / samples)
    for p_fa in (1e-1, 1e-2):
        count = int((seen > detection_threshold(p_fa, radar, theta, tau, refine, noise_samples=samples)).sum())
        assert abs(count - frames * p_fa) < 3.3 * math.sqrt(frames * p_fa * (1 - p_fa)) + 0.03 * frames * p_fa
        naive = int((seen > detection_threshold(p_fa, radar, theta, tau, refine)).sum())
        assert naive > 1.3 * frames * p_fa


def test_a_point_needs_the_threshold_of_an_exponential() -> None:
    radar = OfdmRadar()
    for p_fa in (1e-2, 1e-4):
        level = detection_threshold(p_fa, radar, [0.1], [1e-7])
        assert level == pytest.approx(-math.log(p_fa), rel=2e-3)
    with pytest.raises(ValueError, match="too high"):
        detection_threshold(0.9, radar, [0.1], [1e-7])


def test_thresholds_per_frame() -> None:
    radar = OfdmRadar(antennas=16, subcarriers=32)
    theta = np.stack([np.linspace(-0.1, 0.1, 20), np.linspace(0.2, 0.9, 20)])
    tau = np.linspace(0, 1e-6, 30)
    both = detection_threshold(1e-3, radar, theta, tau)
    assert isinstance(both, np.ndarray)
    for f in range(2):
        assert both[f] == detection_threshold(1e-3, radar, theta[f], tau)
    np.testing.assert_allclose(false_alarm_probability(both, radar, theta, tau), 1e-3, rtol=1e-9)
    with pytest.raises(ValueError, match="threshold: expected one value or 2"):
        false_alarm_probability(np.ones(3), radar, theta, tau)


def test_the_extent_of_any_array_is_that_of_the_uniform_one_where_they_are_the_same() -> None:
    uniform = OfdmRadar(antennas=9, subcarriers=16)
    places = tuple((0.0, 0.5 * n, 0.0) for n in range(9))
    general = OfdmRadar(antennas=9, subcarriers=16, element_positions=places)
    low, high = np.array([-0.9, 0.1]), np.array([-0.6, 0.5])
    np.testing.assert_allclose(angle_extent(low, high, general), angle_extent(low, high, uniform), rtol=1e-7)


@pytest.mark.parametrize("gain", [4.0, 6.0, 9.0])
def test_evidence_is_the_likelihood_ratio_averaged_over_the_window(gain: float) -> None:
    """A lone echo of known strength: Laplace's mean over the window against a fine numerical one."""
    radar, setup = OfdmRadar(antennas=16, subcarriers=64), model.Setup(16, 64)
    snr = 30.0
    rho = snr / (1 + snr)
    theta, tau = np.linspace(-0.35, 0.35, 801), np.linspace(0.2e-6, 0.9e-6, 801)
    x = np.ones(64, complex)
    y = model.frame(x, gain / 32, np.ones(16, complex), 0.02, 0.5e-6, setup)
    level = model.angle_delay_map(y, x, np.ones(16, complex), theta, tau, setup) / (16 * 64)
    psi = np.pi * np.sin(theta)
    mean = np.trapezoid(np.exp(rho * level).mean(axis=1), psi) / (psi[-1] - psi[0]) / (1 + snr)
    top = float(level.max())
    extents = (
        float(angle_extent(theta[:1], theta[-1:], radar)[0]),
        float(delay_extent(tau[:1], tau[-1:], radar)[0]),
    )
    # beside the peak the ratio is about one, which Laplace's formula leaves out; for a clear peak it does not matter
    assert evidence(top, *extents, snr) == pytest.approx(math.log(mean), abs=0.35 if gain < 5 else 0.12)


def test_target_probabilities() -> None:
    level = np.array([0.0, 8.0, 12.0, 40.0, 1e6])
    extents = np.full(5, 12.0), np.full(5, 25.0)
    out = np.empty(5)
    target_probabilities(level, *extents, 30.0, 0.5, out)
    assert (np.diff(out) >= 0).all()
    assert out[0] < 0.1
    assert out[-1] == 1.0
    assert logistic(-800.0) == 0.0
    assert logistic(0.0) == 0.5
