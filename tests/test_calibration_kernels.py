"""The one-pass calibrator and the slope, kernel by kernel, on snapshots whose law is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks.kernels.calibration import (
    best_slope,
    online_sums,
    rotate,
    slope_deviation,
    slope_likelihood_ula,
)
from isacblocks.kernels.detection import evidence
from isacblocks.kernels.impairments import draw_impairments

ELEMENTS, CARRIERS, SNR = 32, 128, 10**1.5


def snapshots(kappa: Any, frames: int, seed: int, present: float = 0.5) -> tuple[Any, Any]:
    """u = gamma ||x||^2 kappa + noise of variance N0 ||x||^2, as at a target's true place; and which frames have one."""
    rng = np.random.default_rng(seed)
    there = rng.random(frames) < present
    gamma = math.sqrt(SNR / (2 * ELEMENTS * CARRIERS)) * (rng.standard_normal(frames) + 1j * rng.standard_normal(frames))
    noise = rng.standard_normal((frames, ELEMENTS)) + 1j * rng.standard_normal((frames, ELEMENTS))
    return (there * gamma)[:, None] * CARRIERS * kappa + noise * math.sqrt(CARRIERS / 2), there


def sums(u: Any, kappa: Any, noise_power: float = 1.0) -> tuple[Any, Any]:
    frames = len(u)
    total, probability = np.zeros(ELEMENTS, complex), np.empty(frames)
    extents = np.full(frames, 10.0), np.full(frames, 20.0)
    energy = np.full(frames, float(CARRIERS))
    nothing_searched = np.zeros(frames), *extents, np.zeros((ELEMENTS, 3))  # one place: no angle is better than another
    online_sums(u, energy, *nothing_searched, kappa, SNR, 0.5, noise_power, total, probability)
    return total, probability


def test_the_sum_is_what_its_docstring_says() -> None:
    kappa = draw_impairments("table1", ELEMENTS, 1)
    u, _ = snapshots(draw_impairments("table1", ELEMENTS, 2), 50, 3)
    total, probability = sums(u, kappa)
    expected = np.zeros(ELEMENTS, complex)
    for f in range(50):
        s = np.vdot(kappa, u[f])
        level = abs(s) ** 2 / (ELEMENTS * CARRIERS)
        p = 1 / (1 + math.exp(-evidence(level, 10.0, 20.0, SNR)))
        assert probability[f] == pytest.approx(p, rel=1e-9)
        expected += p * (u[f] * np.conj(s) - CARRIERS * kappa)
    np.testing.assert_allclose(total, expected, rtol=1e-9)


def test_noise_alone_does_not_pull_towards_the_present_estimate() -> None:
    """With every frame counted fully, the mean of u conj(s) over noise is N0 ||x||^2 kappa: taken out, nothing is left."""
    kappa = draw_impairments("table1", ELEMENTS, 1)
    rng = np.random.default_rng(4)
    frames = 40_000
    u = (rng.standard_normal((frames, ELEMENTS)) + 1j * rng.standard_normal((frames, ELEMENTS))) * math.sqrt(CARRIERS / 2)
    s = u @ kappa.conj()
    pull = (u * s.conj()[:, None]).mean(axis=0)
    assert np.vdot(kappa, pull).real / ELEMENTS == pytest.approx(CARRIERS, rel=0.02)
    left = pull - CARRIERS * kappa
    assert np.linalg.norm(left) < 5 * CARRIERS * ELEMENTS / math.sqrt(frames)


@pytest.mark.parametrize("start", ["truth", "near"])
def test_the_sum_points_to_the_true_kappa(start: str) -> None:
    truth = draw_impairments("table1", ELEMENTS, 5)
    kappa = truth if start == "truth" else truth * np.exp(1j * np.random.default_rng(1).normal(0, 0.4, ELEMENTS))
    u, there = snapshots(truth, 20_000, 6)
    total, probability = sums(u, kappa)
    correlation = abs(np.vdot(truth, total)) / np.linalg.norm(truth) / np.linalg.norm(total)
    used = there.sum() * 0.8  # a fifth of the targets is too weak to count
    assert -20 * math.log10(correlation) < 1.5 * 4.34 * ELEMENTS * (1 + SNR) / (SNR**2 * used)
    assert probability[there].mean() > 0.6
    assert probability[~there].mean() < 0.1


def slope_profile(kappa: Any, truth: Any, frames: int, seed: int, slopes: Any) -> Any:
    """LL(b) from snapshots of targets anywhere in random sectors, taken where the map under kappa peaks in the sector."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(-0.9, 0.6, frames)
    high = low + rng.uniform(0.17, 0.35, frames)
    theta = rng.uniform(low, high)
    u, _ = snapshots(truth, frames, seed, present=1.0)
    n = np.arange(ELEMENTS)
    seen = np.empty(frames)
    for f in range(frames):
        field = u[f] * np.exp(-1j * np.pi * n * math.sin(theta[f]))  # at the antennas
        grid = np.linspace(low[f], high[f], 100)
        steer = np.exp(1j * np.pi * np.outer(np.sin(grid), n))
        seen[f] = grid[np.argmax(np.abs(steer @ (kappa.conj() * field)))]
        u[f] = field * np.exp(1j * np.pi * n * math.sin(seen[f]))
    out = np.zeros(len(slopes))
    ones = np.ones(frames)
    slope_likelihood_ula(u, CARRIERS * ones, seen, low, high, 20 * ones, ones, kappa, 0.5, SNR, 0.5, 1.0, slopes, out)
    return out


@pytest.mark.parametrize("slope", [-0.03, 0.0, 0.02])
def test_the_slope_is_seen_through_the_sectors(slope: float) -> None:
    truth = draw_impairments("table1", ELEMENTS, 7)
    kappa = truth * np.exp(-1j * slope * np.arange(ELEMENTS))
    slopes = np.linspace(-0.06, 0.06, 121)
    likelihood = slope_profile(kappa, truth, 1500, 8, slopes)
    found = best_slope(slopes, likelihood, 1.0)
    assert found == pytest.approx(slope, abs=0.006)


def test_frames_without_a_target_say_nothing_about_the_slope() -> None:
    slopes = np.linspace(-0.1, 0.1, 21)
    out = np.zeros(21)
    u = np.ones((3, ELEMENTS), complex)
    three = np.ones(3)
    slope_likelihood_ula(
        u,
        three,
        0 * three,
        -three / 10,
        three / 10,
        three,
        0 * three,
        np.ones(ELEMENTS, complex),
        0.5,
        30.0,
        0.5,
        1.0,
        slopes,
        out,
    )
    np.testing.assert_array_equal(out, 0)


def test_rotate_and_the_prior() -> None:
    values = np.ones(5, complex)
    rotate(values, 0.3)
    np.testing.assert_allclose(values, np.exp(0.3j * np.arange(5)), atol=1e-15)
    assert slope_deviation(math.pi / math.sqrt(12), 64) == pytest.approx(0.0061, abs=5e-5)
    rng = np.random.default_rng(9)
    n = np.arange(64) - 31.5
    fits = rng.uniform(-np.pi / 2, np.pi / 2, (20_000, 64)) @ n / (n @ n)
    assert fits.std() == pytest.approx(slope_deviation(math.pi / math.sqrt(12), 64), rel=0.02)
    grid = np.linspace(-1, 1, 41)
    assert best_slope(grid, -((grid - 0.313) ** 2) * 50, 1e9) == pytest.approx(0.313, abs=1e-9)
    assert best_slope(grid, -((grid - 0.313) ** 2) * 50, 0.1) == pytest.approx(0.1565, abs=1e-9)  # equal weights
