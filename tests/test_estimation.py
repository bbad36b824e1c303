"""SNR, P(t = 1) and N0 from the stream: the law of the largest level, its sums, and what is estimated from them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.detection import evidence, excursions
from isacblocks.kernels.estimation import (
    add_log_mixture,
    fold_likelihood,
    mixture_estimate,
    mixture_grid,
    mixture_sums,
    nothing_pending,
    search_law,
    search_laws,
)

EXTENTS = 11.0, 24.5  # Table I: a sector of 15 degrees, all delays


def noise_law(level: Any, extents: tuple[float, float]) -> Any:
    """F_0 on an array of levels."""
    return np.exp(-np.array([excursions(float(h), *extents) for h in level]))


@pytest.mark.parametrize("snr_db", [0.0, 5.0, 15.0, 25.0])
@pytest.mark.parametrize("extents", [EXTENTS, (4.0, 6.0)])
def test_the_ratio_turns_one_density_into_another(snr_db: float, extents: tuple[float, float]) -> None:
    """The integral of f_0 (f_1 / f_0) is one, and its distribution is F_0 F_t."""
    snr = 10 ** (snr_db / 10)
    h = np.concatenate([np.linspace(1.6, 60, 15_000), np.geomspace(60, 200 * (1 + snr), 5_000)[1:]])
    ratio = np.exp([min(search_law(x, *extents, snr), 600) for x in h])
    log_law = -np.array([excursions(float(x), *extents) for x in h])  # log F_0
    below = np.exp(log_law)
    middle = (ratio[1:] + ratio[:-1]) / 2
    # where F_0 is one in double precision the density is that of the tail, 1 - F_0
    tail = -np.expm1(log_law)
    mass = np.where(below[1:] < 0.5, np.diff(below), -np.diff(tail)) * middle
    keep = np.isfinite(mass)
    c, m = 1.0, 1 + snr
    target = 1 - (m * np.exp(-h / m) - c * np.exp(-h / c)) / (m - c)
    wanted = below * target
    found = wanted[0] + np.cumsum(np.where(keep, mass, 0.0))
    inside = h[1:] < 30
    np.testing.assert_allclose(found[inside], wanted[1:][inside], atol=0.015)


def test_the_law_is_that_of_a_searched_map() -> None:
    """The largest level of a literal map, N = 16 and S = 32, with and without a target, against F_0 and F_0 F_t."""
    rng = np.random.default_rng(3)
    elements, carriers, snr, frames = 16, 32, 10.0, 1500
    psi, omega = np.linspace(-0.8, 0.8, 61), np.linspace(0.3, 1.9, 101)
    a = np.exp(1j * np.outer(psi, np.arange(elements)))
    b = np.exp(1j * np.outer(np.arange(carriers), omega))
    l_1, l_2 = (elements**2 - 1) / 12, (carriers**2 - 1) / 12
    extents = math.sqrt(l_1) * 1.6, math.sqrt(l_2) * 1.6
    for target in (False, True):
        top = np.empty(frames)
        for f in range(frames):
            y: Any = rng.standard_normal((2, elements, carriers)) / math.sqrt(2)
            y = y[0] + 1j * y[1]
            if target:
                size = math.sqrt(snr / (2 * elements * carriers))
                gamma = size * complex(rng.standard_normal(), rng.standard_normal())
                place = np.exp(-1j * rng.uniform(-0.8, 0.8) * np.arange(elements))
                y = y + gamma * np.outer(place, np.exp(-1j * rng.uniform(0.3, 1.9) * np.arange(carriers)))
            top[f] = np.max(np.abs(a @ y @ b) ** 2) / (elements * carriers)
        top = np.sort(top)
        law = noise_law(top, extents)
        if target:
            m = 1 + snr
            law = law * (1 - (m * np.exp(-top / m) - np.exp(-top)) / (m - 1))
        distance = np.max(np.abs(law - (np.arange(frames) + 0.5) / frames))
        assert distance < 1.63 / math.sqrt(frames) + 0.015  # Kolmogorov at 1 %, and the grid's own loss


def test_the_ratio_agrees_with_the_evidence_and_does_not_overflow() -> None:
    for level in (20.0, 60.0, 300.0):
        # Laplace's is the law's leading term: the area's part of the count, L1 L2 h / pi, without its edges and corrections
        area = EXTENTS[0] * EXTENTS[1] * level / math.pi
        edges = sum(EXTENTS) * (math.sqrt(level / math.pi) - 0.5 / math.sqrt(math.pi * level))
        whole = 1 + edges + EXTENTS[0] * EXTENTS[1] * (2 * level - 3) / (2 * math.pi)
        laplace = evidence(level, *EXTENTS, 31.6) - math.log(whole / area)
        assert search_law(level, *EXTENTS, 31.6) == pytest.approx(laplace, abs=3e-4)
    assert search_law(1e6, *EXTENTS, 1e4) == pytest.approx(1e6 * 1e4 / 10001, rel=1e-3)
    assert math.isfinite(search_law(1e-9, 0.0, 0.0, 0.1))
    for ratio in (1e5, 41.0, 39.0, 0.0, -1e5):
        out = np.ones(2)
        add_log_mixture(ratio, np.array([0.25, 0.5]), out)
        np.testing.assert_allclose(out, 1 + np.logaddexp(np.log([0.75, 0.5]), ratio + np.log([0.25, 0.5])))


@pytest.mark.parametrize("extents", [EXTENTS, (0.0, 0.0), (0.3, 6.0)])
def test_the_laws_of_all_ratios_at_once_are_those_one_by_one(extents: tuple[float, float]) -> None:
    grid = mixture_grid()[0]
    scale, none, ratio, room = np.empty((4, grid.size))
    for level in (1e-9, 0.01, 0.8, 5.0, 39.0, 60.0, 800.0, 1e5):
        search_laws(level, *extents, grid, scale, none, ratio, room)
        for i, snr in enumerate(grid):
            wanted, found = np.full(2, 0.0), np.log(none[i] + np.array([0.01, 0.9]) * (ratio[i] - none[i])) + scale[i]
            add_log_mixture(search_law(level, *extents, float(snr)), np.array([0.01, 0.9]), wanted)
            # the literal law leaves F_t out from forty nats on, and cannot tell levels near zero from zero
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def draw_levels(snr: float, prior: float, frames: int, rng: np.random.Generator) -> Any:
    """Levels by the law itself: the larger of the noise's (inverse of F_0) and of a lobe's."""
    h = np.linspace(1.6, 40, 4000)
    noise = np.interp(rng.random(frames), noise_law(h, EXTENTS), h)
    lobe = rng.exponential(1 + snr, frames) + rng.exponential(1.0, frames)
    return np.where(rng.random(frames) < prior, np.maximum(noise, lobe), noise)


def follow(levels: Any, n0: float = 1.0, portions: int = 8, memory: float = 4000.0) -> dict[str, Any]:
    """The estimator over frames whose snapshots have these levels; updates of 8 frames in portions of `portions`.

    What goes in is frozen, as a stream's items are: for others the kernel would be compiled once more.
    """
    elements, energy, cells = 4, 32.0, 4 * 256
    grid = mixture_grid()
    likelihood, pending = np.zeros((grid[0].size, grid[1].size)), nothing_pending(grid[0].size, grid[1].size)
    noise, snr, prior = np.zeros(2), 10.0, 0.5
    kappa = np.exp(1j * np.arange(elements))
    probability = []
    for first in range(0, len(levels), 8):
        for k in range(first, first + 8, portions):
            part = levels[k : k + portions]
            u = np.sqrt(part * energy * n0 / elements)[:, None] * kappa
            ones = np.ones(len(part))
            p = np.empty(len(part))
            rest = n0 * ones * (cells - part) / (cells - 1)
            extents, one = (frozen(EXTENTS[0] * ones), frozen(EXTENTS[1] * ones)), frozen(ones)
            mixture_sums(
                *(frozen(u), frozen(energy * ones), frozen(rest), *extents, one, frozen(kappa), float(cells), memory),
                *(snr, prior, *grid, noise, p, pending),
            )
            probability.append(p)
        fold_likelihood(likelihood, pending, first, 8, memory)
        snr, prior = mixture_estimate(likelihood)
    return {"snr": snr, "prior": prior, "noise": noise, "likelihood": likelihood, "p": np.concatenate(probability)}


@pytest.mark.parametrize(("snr_db", "prior"), [(10.0, 0.5), (15.0, 0.2), (15.0, 0.8), (20.0, 0.5)])
def test_the_estimates_are_right(snr_db: float, prior: float) -> None:
    """Mean over eight streams of 2000 frames; a stream's own spread is up to 0.4 dB and 0.035."""
    found = []
    for seed in range(8):
        out = follow(draw_levels(10 ** (snr_db / 10), prior, 2000, np.random.default_rng(seed)))
        found.append((10 * math.log10(out["snr"]), out["prior"]))
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
    assert abs(mean[0] - snr_db) < 0.1 + 3 * spread[0] / math.sqrt(8)
    assert abs(mean[1] - prior) < 0.01 + 3 * spread[1] / math.sqrt(8)
    assert spread[0] < 0.6
    assert spread[1] < 0.06


def test_the_estimates_follow_a_change() -> None:
    rng = np.random.default_rng(5)
    levels = np.concatenate([draw_levels(100.0, 0.8, 2000, rng), draw_levels(10.0, 0.3, 3000, rng)])
    out = follow(levels, memory=500.0)
    assert 10 * math.log10(out["snr"]) == pytest.approx(10, abs=1.5)
    assert out["prior"] == pytest.approx(0.3, abs=0.12)


def test_the_noise_power_is_found_whatever_its_unit() -> None:
    levels = draw_levels(31.6, 0.5, 800, np.random.default_rng(2))
    one, other = follow(levels), follow(levels, n0=3e-13)
    assert other["noise"][0] == pytest.approx(3e-13, rel=0.01)
    assert one["snr"] == pytest.approx(other["snr"], rel=1e-6)
    assert one["prior"] == pytest.approx(other["prior"], rel=1e-6)


def test_the_sums_are_what_the_docstring_says() -> None:
    levels = draw_levels(31.6, 0.5, 8, np.random.default_rng(1))
    elements, energy, cells, n0 = 4, 32.0, 1024.0, 1.0
    snr_grid, prior_grid = np.array([3.0, 30.0]), np.array([0.2, 0.5, 0.7])
    kappa = np.exp(1j * np.arange(elements))
    u = np.sqrt(levels * energy / elements)[:, None] * kappa * np.exp(0.3j)
    ones = np.ones(8)
    noise, probability, pending = np.array([1.1, 20.0]), np.empty(8), nothing_pending(2, 3)
    rest = ones * 0.98
    mixture_sums(
        *(frozen(u), frozen(energy * ones), frozen(rest), frozen(11.0 * ones), frozen(24.5 * ones), frozen(1.01 * ones)),
        *(frozen(kappa), cells, 25.0, 10.0, 0.4),
        *(frozen(snr_grid), frozen(prior_grid), noise, probability, pending),
    )
    expected, mean, count = np.zeros((2, 3)), 1.1, 20.0
    for f in range(8):
        level = abs(np.vdot(kappa, u[f])) ** 2 / (elements * energy) / mean * 1.01
        odds = math.exp(evidence(level, 11.0, 24.5, 10.0)) * 0.4 / 0.6
        p = odds / (1 + odds)
        assert probability[f] == pytest.approx(p, rel=1e-9)
        count = min(count + 1, 25.0)
        mean += ((0.98 * (cells - 1) + (1 - p) * levels[f] * n0) / (cells - 2 * p) - mean) / count
        for i, snr in enumerate(snr_grid):
            expected[i] += np.log(1 - prior_grid + prior_grid * math.exp(search_law(level, 11.0, 24.5, snr)))
    assert (pending[0] >= 1).all()
    assert (pending[0] < 2).all()
    np.testing.assert_allclose(np.log(pending[0]) + pending[1], expected, rtol=1e-9)
    np.testing.assert_allclose(noise, [mean, count], rtol=1e-12)


def test_portions_give_the_same_bits() -> None:
    levels = draw_levels(31.6, 0.5, 160, np.random.default_rng(8))
    whole, single = follow(levels), follow(levels, portions=1)
    for name in whole:
        np.testing.assert_array_equal(whole[name], single[name])


def test_early_frames_are_soon_forgotten_and_the_memory_is_kept() -> None:
    one = np.ones((1, 1))
    total = np.zeros((1, 1))
    for k in range(100):
        fold_likelihood(total, np.stack([one, one * (k == 0)]), 8 * k, 8, 4000.0)
    assert total[0, 0] == pytest.approx(8 / 800)  # weight proportional to its place
    pending = np.stack([1.5 * one, 0.5 * one])
    fold_likelihood(one, pending, 10**6, 8, 4000.0)
    assert one[0, 0] == pytest.approx(math.exp(-8 / 4000) + math.log(1.5) + 0.5)
    np.testing.assert_array_equal(pending, nothing_pending(1, 1))


def test_the_top_of_a_quadratic_is_found_between_the_points() -> None:
    snr, prior = mixture_grid()
    decibels, turn = 10 * np.log10(snr), np.arcsin(np.sqrt(prior))
    flat = -0.5 * np.square((decibels - 12) / 10)[:, None] + np.log(np.sin(2 * turn))
    x, y = np.meshgrid(decibels - 17.3, (turn - 0.71) * 20, indexing="ij")
    found = mixture_estimate(-30 * (x * x + y * y + 0.8 * x * y) - flat)
    assert 10 * math.log10(found[0]) == pytest.approx(17.3, abs=1e-6)
    assert found[1] == pytest.approx(math.sin(0.71) ** 2, abs=1e-6)
    with pytest.raises(ValueError, match="likelihood: expected shape"):
        mixture_estimate(np.zeros((3, 3)))
    assert 10 * math.log10(mixture_estimate(np.zeros((snr.size, prior.size)))[0]) == pytest.approx(12.0)
