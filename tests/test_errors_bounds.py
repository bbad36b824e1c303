"""The three error figures of kappa, and the bounds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import ncx2, norm

from isacblocks import OfdmRadar, kappa_error
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.bounds import (
    EDGE,
    angle_bound,
    boresight_bound,
    delay_bound,
    detected_inverse_rho,
    detected_position_bound,
    detection_probability,
    kappa_bound,
    loss_bound_db,
    position_bound,
    slope_bound,
    slope_information,
    slope_worth,
)
from isacblocks.kernels.calibration import slope_information_sums
from isacblocks.kernels.errors import _near_peak, best_ramp
from isacblocks.radar import SPEED_OF_LIGHT

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


@pytest.mark.parametrize("elements", [2, 3, 7, 16, 64])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.2, 0.3])
def test_a_peak_near_zero_is_that_of_the_whole_transform(elements: int, spread: float) -> None:
    rng = np.random.default_rng(elements)
    length, near = 1 << math.ceil(math.log2(16 * elements)), 0
    for _ in range(200):
        slope = rng.uniform(-4, 4) / elements
        noise = rng.standard_normal((2, elements)) * spread
        z = np.exp(1j * slope * np.arange(elements)) * rng.uniform(0.5, 1.5, elements) + noise[0] + 1j * noise[1]
        peak = _near_peak(frozen(z), length)
        if peak != length:
            near += 1
            assert peak % length == np.argmax(np.abs(np.fft.fft(z, length)))
    assert 0 < near < 200


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


def information(theta: float, tau: float, gamma: complex, radar: OfdmRadar) -> NDArray[np.float64]:
    """Fisher's matrix of (Re gamma, Im gamma, theta, tau) from the mean of the frame, by central differences; N0 = 1."""
    n, s = np.arange(radar.antennas), np.arange(radar.subcarriers)

    def mean(p: NDArray[np.float64]) -> NDArray[np.complex128]:
        a = np.exp(-2j * np.pi * radar.element_spacing * n * np.sin(p[2]))
        b = np.exp(-2j * np.pi * s * radar.subcarrier_spacing * p[3])
        return np.asarray(complex(p[0], p[1]) * np.outer(a, b).ravel())

    at, steps = np.array([gamma.real, gamma.imag, theta, tau]), np.array([1e-4, 1e-4, 1e-6, 1e-12])
    columns = [(mean(at + d) - mean(at - d)) / (2 * step) for d, step in zip(np.diag(steps), steps, strict=True)]
    jacobian = np.stack(columns, axis=1)
    return np.asarray(2 * (jacobian.conj().T @ jacobian).real)


@pytest.mark.parametrize("theta", [-0.9, 0.0, 0.4])
def test_angle_delay_and_position_bounds_invert_the_numerical_information(theta: float) -> None:
    radar, tau, gamma = OfdmRadar(antennas=9, subcarriers=20, element_spacing=0.45), 1.7e-7, 0.6 - 0.3j
    scale = np.array([1, 1, 1, 1e-8])
    matrix = np.linalg.inv(information(theta, tau, gamma, radar) * np.outer(scale, scale)) * np.outer(scale, scale)
    rho = abs(gamma) ** 2 * 9 * 20
    assert angle_bound(rho, theta, radar) == pytest.approx(math.sqrt(matrix[2, 2]), rel=1e-6)
    assert delay_bound(rho, radar) == pytest.approx(math.sqrt(matrix[3, 3]), rel=1e-6)
    half = SPEED_OF_LIGHT / 2
    place = np.array([  # d (x, y) / d (theta, tau)
        [-half * tau * math.sin(theta), half * math.cos(theta)],
        [half * tau * math.cos(theta), half * math.sin(theta)],
    ])  # fmt: skip
    square = np.trace(place @ matrix[2:, 2:] @ place.T)
    assert position_bound(rho, theta, tau, radar) == pytest.approx(math.sqrt(square), rel=1e-6)
    several = position_bound(np.array([rho, 4 * rho]), theta, tau, radar)
    assert several[0] == pytest.approx(2 * several[1])


def test_the_bound_of_kappa_inverts_the_numerical_information() -> None:
    """tr(C^-1 dC C^-1 dC) of the snapshot's covariance, over what is left when scale, phase and slope are taken out."""
    antennas, snr = 7, 12.0
    true = kappa(4)[:antennas]
    true = true * math.sqrt(antennas) / np.linalg.norm(true)

    def covariance(v: NDArray[np.float64]) -> NDArray[np.complex128]:
        k = v[:antennas] + 1j * v[antennas:]
        return np.asarray(np.eye(antennas) + snr / antennas * np.outer(k, k.conj()))

    def stacked(v: NDArray[np.complex128]) -> NDArray[np.float64]:
        return np.concatenate([v.real, v.imag])

    at, inverse, h = stacked(true), np.linalg.inv(covariance(stacked(true))), 1e-5
    moved = [(covariance(at + d) - covariance(at - d)) / (2 * h) for d in h * np.eye(2 * antennas)]
    fisher = np.array([[np.trace(inverse @ a @ inverse @ b).real for b in moved] for a in moved])
    unseen = np.stack([stacked(true), stacked(1j * true), stacked(1j * np.arange(antennas) * true)], axis=1)
    basis = np.linalg.svd(unseen)[0][:, 3:]
    nmse = np.trace(np.linalg.inv(basis.T @ fisher @ basis)) / antennas
    assert kappa_bound(1, antennas, snr, 1.0) == pytest.approx(nmse, rel=1e-6)


@pytest.mark.parametrize("snr", [2.0, 10**1.5, 1000.0])
@pytest.mark.parametrize("h", [5.0, 12.0])
def test_detection_over_the_fading_is_its_integral(h: float, snr: float) -> None:
    """Q_2 as the tail of a chi-square variable of four degrees, not central, over an exponential rho."""
    alone = (1 + h) * math.exp(-h)

    def seen(rho: float) -> float:
        return float(ncx2.sf(2 * h, 4, 2 * rho))

    def integral(f: Callable[[float], float]) -> float:
        parts = [(0.0, 2.0), (2.0, h), (h, 4 * h + 40), (4 * h + 40, 45 * snr + 400)]
        return math.fsum(quad(lambda r: f(r) * math.exp(-r / snr) / snr, a, b, epsabs=1e-14, limit=200)[0] for a, b in parts)

    assert detection_probability(h, snr) == pytest.approx(integral(seen), rel=1e-6)
    mean = integral(lambda rho: (seen(rho) - alone) / max(rho, 1e-12)) / (float(detection_probability(h, snr)) - alone)
    assert detected_inverse_rho(h, snr) == pytest.approx(mean, rel=1e-6)


def test_the_fading_s_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="threshold"):
        detected_inverse_rho(0.0, 30.0)
    with pytest.raises(ValueError, match="snr"):
        detected_inverse_rho(3.0, -1.0)


def test_the_position_bound_over_detected_frames_is_the_mean_of_those_of_the_frames() -> None:
    rng = np.random.default_rng(8)
    frames, snr, h = 200_000, 10**1.5, 11.5
    theta, tau = rng.uniform(-1, 1, frames), rng.uniform(0.7e-7, 2.9e-7, frames)
    rho = rng.exponential(snr, frames)
    noise = rng.standard_normal((2, frames))
    level = (np.sqrt(2 * rho) + noise[0]) ** 2 / 2 + noise[1] ** 2 / 2 + rng.exponential(1, frames)
    seen = (level >= h) & (rho > 0.1)  # what is weaker was noise's own doing, and has no part in the closed form
    counted = math.sqrt(np.mean(np.square(position_bound(rho[seen], theta[seen], tau[seen], RADAR))))
    closed = detected_position_bound(np.full(frames, h), snr, theta, tau, RADAR)
    assert closed == pytest.approx(counted, rel=0.005)
    assert closed == pytest.approx(detected_position_bound(h, snr, theta, tau, RADAR))


def box(x: NDArray[np.float64], low: float, high: float, sigma: float) -> NDArray[np.float64]:
    """Density of psi_hat for theta uniform in a sector, psi = pi sin theta, smeared by normal noise: by midpoints."""
    theta = low + (high - low) * (np.arange(300) + 0.5) / 300
    return np.asarray(norm.pdf(x[:, None], np.pi * np.sin(theta), sigma).mean(axis=1))


@pytest.mark.parametrize(("low", "high"), [(-0.1, 0.2), (0.75, 1.05), (-1.2, -0.95)])
def test_slope_information_is_that_of_the_smeared_sector(low: float, high: float) -> None:
    """The integral of f'^2 / f over psi_hat, and over the fading by Gauss and Laguerre, against the closed form."""
    snr, total = 10**1.5, 0.0
    for node, weight in zip(*np.polynomial.laguerre.laggauss(12), strict=True):
        sigma = math.sqrt(6 / (snr * node * (64**2 - 1)))
        edges = np.pi * np.sin([low, high])
        x = np.linspace(edges[0] - 7 * sigma, edges[1] + 7 * sigma, 1501)
        h = 0.01 * sigma
        slope = (box(x + h, low, high, sigma) - box(x - h, low, high, sigma)) / (2 * h)
        total += weight * float(np.trapezoid(slope**2 / np.maximum(box(x, low, high, sigma), 1e-300), x))
    assert slope_information(low, high, snr, RADAR) == pytest.approx(total, rel=0.05)


def test_the_edge_constant() -> None:
    value, _ = quad(lambda z: math.exp(2 * norm.logpdf(z) - norm.logcdf(z)), -35, 12, epsabs=1e-12, limit=200)
    assert pytest.approx(value, rel=1e-7) == EDGE


def test_the_slope_of_the_reduced_model_is_estimated_at_its_bound() -> None:
    """Angles seen through noise in known sectors, all turned by b: the likelihood's maximum over 300 runs of 500 targets."""
    rng = np.random.default_rng(2)
    snr, targets, runs, prior = 10**1.5, 500, 300, 0.0061
    slopes = np.linspace(-0.03, 0.03, 241)
    errors = []
    for _ in range(runs):
        centre, half = rng.uniform(-1.05, 1.05, targets), rng.uniform(0.087, 0.175, targets)
        rho, true = rng.exponential(snr, targets), rng.normal(0, prior)
        sigma = np.sqrt(6 / (rho * (64**2 - 1)))
        seen = np.pi * np.sin(rng.uniform(centre - half, centre + half)) + true + sigma * rng.standard_normal(targets)
        low, high = np.pi * np.sin(centre - half), np.pi * np.sin(centre + half)
        below = (seen - low)[:, None] - slopes, (seen - high)[:, None] - slopes
        inside = norm.cdf(below[0] / sigma[:, None]) - norm.cdf(below[1] / sigma[:, None])
        density = np.maximum(inside, 1e-12) / np.sqrt(np.maximum(1 - ((seen[:, None] - slopes) / np.pi) ** 2, 0.05))
        posterior = np.log(density).sum(axis=0) - slopes**2 / (2 * prior**2)
        weight = np.exp(posterior - posterior.max())
        errors.append(float(weight @ slopes / weight.sum()) - true)
    centre, half = rng.uniform(-1.05, 1.05, 4000), rng.uniform(0.087, 0.175, 4000)
    bound = slope_bound(targets, centre - half, centre + half, snr, 1.0, RADAR, prior)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(float(bound), rel=3 / math.sqrt(2 * runs) + 0.03)
    half_frames = slope_bound(2 * targets, centre - half, centre + half, snr, 0.5, RADAR, prior)
    assert half_frames == pytest.approx(float(bound))


def test_the_slope_bound_begins_with_the_prior_and_falls_like_a_root() -> None:
    low, high = np.array([-0.2, 0.5]), np.array([0.1, 0.7])
    frames = np.array([0, 10_000, 40_000])
    bound = slope_bound(frames, low, high, 30.0, 0.5, RADAR, 0.0061)
    assert bound[0] == pytest.approx(0.0061)
    assert bound[2] == pytest.approx(bound[1] / 2, rel=0.02)
    assert boresight_bound(bound, RADAR) == pytest.approx(np.arcsin(bound / np.pi))


def test_slope_information_is_summed_over_the_frames() -> None:
    low = np.random.default_rng(1).uniform(-0.9, 0.6, 20)
    high, sums = low + 0.25, np.zeros(2)
    slope_information_sums(frozen(low), frozen(high), slope_worth(30.0, RADAR), sums)
    assert sums[0] == pytest.approx(float(slope_information(low, high, 30.0, RADAR).sum()), rel=1e-12)
    assert sums[1] == 20
