"""The refined peak against a search of the continuous map by brute force, and its derivatives against differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from isacblocks import OfdmRadar, find_peak
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.refinement import box_step, concave, log_power_derivatives, moment_table, moments
from isacblocks.kernels.steering import pitch_of

N, S = 12, 24
UNIFORM = OfdmRadar(antennas=N, subcarriers=S)
CIRCLE = OfdmRadar(
    antennas=N,
    subcarriers=S,
    element_positions=tuple((math.cos(2 * math.pi * k / N), 0.9 * math.sin(2 * math.pi * k / N), 0.0) for k in range(N)),
)
ARRAYS = pytest.mark.parametrize("radar", [UNIFORM, CIRCLE], ids=["uniform", "circle"])
Array = NDArray[Any]


def field(y: Array, x: Array, kappa: Array, theta: Any, tau: Any, radar: OfdmRadar) -> Array:
    """|s|^2 by eq. (9) as it stands, for every angle (rows) and delay (columns)."""
    place, theta, tau = radar.positions, np.atleast_1d(theta)[:, None], np.atleast_1d(tau)[:, None]
    a = np.exp(-2j * np.pi * (place[:, 0] * np.cos(theta) + place[:, 1] * np.sin(theta)))
    b = np.exp(-2j * np.pi * np.arange(S) * radar.subcarrier_spacing * tau)
    return np.asarray(np.abs((kappa * a).conj() @ y @ (b * x).conj().T) ** 2)


def highest(y: Array, x: Array, kappa: Array, box: tuple[float, float, float, float], radar: OfdmRadar) -> tuple[Any, ...]:
    """The largest value in the box and its place, by grids of 41 x 41 points that shrink around it."""
    low_1, high_1, low_2, high_2 = box
    for _ in range(7):
        theta, tau = np.linspace(low_1, high_1, 41), np.linspace(low_2, high_2, 41)
        value = field(y, x, kappa, theta, tau, radar)
        i, j = np.unravel_index(int(value.argmax()), value.shape)
        half_1, half_2 = (high_1 - low_1) / 20, (high_2 - low_2) / 20
        low_1, high_1 = max(theta[i] - half_1, box[0]), min(theta[i] + half_1, box[1])
        low_2, high_2 = max(tau[j] - half_2, box[2]), min(tau[j] + half_2, box[3])
    return float(value[i, j]), float(theta[i]), float(tau[j])


def drawn(
    seed: int, strength: float, place: tuple[float, float] = (0.0, 4e-7), radar: OfdmRadar = UNIFORM
) -> tuple[Array, Array, Array]:
    """A frame of noise with an echo of T about `strength`^2, symbols, and kappa."""
    rng = np.random.default_rng(seed)
    x = (rng.choice([-1, 1], S) + 1j * rng.choice([-1, 1], S)) / math.sqrt(2)
    kappa = rng.uniform(0.95, 1.05, N) * np.exp(1j * rng.uniform(-1.5, 1.5, N))
    kappa *= math.sqrt(N) / np.linalg.norm(kappa)
    (theta, tau), at = place, radar.positions
    a = np.exp(-2j * np.pi * (at[:, 0] * np.cos(theta) + at[:, 1] * np.sin(theta)))
    b = np.exp(-2j * np.pi * np.arange(S) * radar.subcarrier_spacing * tau)
    noise = (rng.standard_normal((N, S)) + 1j * rng.standard_normal((N, S))) / math.sqrt(2)
    return noise + strength / math.sqrt(N * S) * np.outer(kappa * a, b * x), x, kappa


THETA, TAU = np.linspace(-0.3, 0.3, 41), np.linspace(1e-7, 7e-7, 41)  # steps of 0.16 and 0.16 in the unit of the field


@ARRAYS
@pytest.mark.parametrize("strength", [0.0, 6.0])
def test_the_refined_peak_is_the_highest_point_of_its_cell(radar: OfdmRadar, strength: float) -> None:
    edges, lost = 0, []
    for seed in range(150):
        y, x, kappa = drawn(seed, strength, radar=radar)
        grid = find_peak(y[None], x[None], kappa, THETA, TAU, radar)
        fine = find_peak(y[None], x[None], kappa, THETA, TAU, radar, refine=True)
        i, j = grid.index[0]
        box = (
            THETA[max(i - 1, 0)],
            THETA[min(i + 1, 40)],
            TAU[max(j - 1, 0)],
            TAU[min(j + 1, 40)],
        )
        best, theta, tau = highest(y, x, kappa, box, radar)
        np.testing.assert_array_equal(fine.index, grid.index)
        assert fine.statistic[0] == pytest.approx(
            float(field(y, x, kappa, fine.theta[0], fine.tau[0], radar)[0, 0]), rel=1e-10
        )
        assert grid.statistic[0] <= fine.statistic[0] <= best * (1 + 1e-9)
        lost.append((best - fine.statistic[0]) / (N * S))
        edges += i in (0, 40) or j in (0, 40)
        if strength:
            assert abs(fine.theta[0] - theta) < 0.05 * (THETA[1] - THETA[0])
            assert abs(fine.tau[0] - tau) < 0.05 * (TAU[1] - TAU[0])
    # T itself is 8 and more: what one step leaves is nothing, inside and at the edges, of which there were enough
    assert max(lost) < 0.02
    assert np.mean(lost) < 5e-4
    if strength == 0.0:
        assert edges > 20


def test_an_echo_beside_the_window_is_refined_along_its_edge() -> None:
    """Beyond the largest angle: the angle stays at the edge, the delay goes to the best one there."""
    found = 0
    for seed in range(30):
        y, x, kappa = drawn(seed, 12.0, (THETA[-1] + 0.02, 3.33e-7))
        fine = find_peak(y[None], x[None], kappa, THETA, TAU, UNIFORM, refine=True)
        if fine.theta[0] != THETA[-1]:
            continue
        found += 1
        j = fine.index[0, 1]
        _, _, tau = highest(y, x, kappa, (THETA[-1], THETA[-1], TAU[j - 1], TAU[j + 1]), UNIFORM)
        assert abs(fine.tau[0] - tau) < 0.05 * (TAU[1] - TAU[0])
    assert found > 10


def test_an_echo_between_an_edge_and_its_neighbour_is_found_there() -> None:
    step = THETA[1] - THETA[0]
    y, x, kappa = drawn(3, 1000.0, (THETA[0] + 0.35 * step, TAU[-1] - 0.3 * (TAU[1] - TAU[0])))
    fine = find_peak(y[None], x[None], kappa, THETA, TAU, UNIFORM, refine=True)
    assert tuple(fine.index[0]) == (0, 40)
    assert fine.theta[0] == pytest.approx(THETA[0] + 0.35 * step, abs=0.01 * step)
    assert fine.tau[0] == pytest.approx(TAU[-1] - 0.3 * (TAU[1] - TAU[0]), abs=0.01 * (TAU[1] - TAU[0]))


@pytest.mark.parametrize(("n_theta", "n_tau"), [(1, 1), (1, 30), (30, 1), (2, 2), (4, 3), (7, 5)])
def test_any_grid_will_do(n_theta: int, n_tau: int) -> None:
    """Also grids that are single points, or far too coarse: never lower than the grid's own peak, never outside its cell."""
    theta, tau = np.linspace(-0.5, 0.5, n_theta), np.linspace(1e-7, 2e-6, n_tau)
    for seed in range(40):
        y, x, kappa = drawn(seed, 0.0)
        grid = find_peak(y[None], x[None], kappa, theta, tau, UNIFORM)
        fine = find_peak(y[None], x[None], kappa, theta, tau, UNIFORM, refine=True)
        i, j = grid.index[0]
        assert fine.statistic[0] >= grid.statistic[0]
        assert theta[max(i - 1, 0)] <= fine.theta[0] <= theta[min(i + 1, n_theta - 1)]
        assert tau[max(j - 1, 0)] <= fine.tau[0] <= tau[min(j + 1, n_tau - 1)]
        falling = find_peak(y[None], x[None], kappa, theta[::-1], tau[::-1], UNIFORM, refine=True)
        assert falling.theta[0] == pytest.approx(fine.theta[0], abs=1e-12)
        assert falling.tau[0] == pytest.approx(fine.tau[0], abs=1e-18)


def test_single_precision_refines_to_the_same_place() -> None:
    for seed in range(50):
        y, x, kappa = drawn(seed, 5.0)
        fine = find_peak(y[None], x[None], kappa, THETA, TAU, UNIFORM, refine=True)
        single = find_peak(
            y[None].astype(np.complex64), x[None].astype(np.complex64), kappa, THETA, TAU, UNIFORM, refine=True
        )
        assert single.theta[0] == pytest.approx(fine.theta[0], abs=1e-6)
        assert single.tau[0] == pytest.approx(fine.tau[0], abs=1e-12)
        assert single.statistic[0] == pytest.approx(fine.statistic[0], rel=1e-5)


def test_silence_stays_where_it_is() -> None:
    fine = find_peak(np.zeros((1, N, S), complex), np.ones((1, S), complex), np.ones(N), THETA, TAU, UNIFORM, refine=True)
    assert (fine.theta[0], fine.tau[0], fine.statistic[0]) == (THETA[0], TAU[0], 0.0)


@ARRAYS
def test_derivatives_are_those_of_the_field(radar: OfdmRadar) -> None:
    y, x, kappa = drawn(11, 3.0)
    z = y * x.conj()
    theta, tau = 0.21, 3.3e-7
    table, m, found = np.zeros((2, 3, S)), np.empty((3, N), np.complex128), np.empty(5)
    moment_table(radar.subcarrier_spacing, tau, S, table[0], table[1])
    moments(frozen(z.real), frozen(z.imag), table[0], table[1], m)
    arguments = frozen(kappa), frozen(radar.positions), pitch_of(radar), radar.subcarrier_spacing, theta
    log_power_derivatives(*arguments, m, found)

    def f(i: float, j: float) -> float:
        return math.log(field(y, x, kappa, theta + i * step[0], tau + j * step[1], radar)[0, 0])

    step = 1e-4, 1e-11
    expected = [
        (f(1, 0) - f(-1, 0)) / (2 * step[0]),
        (f(0, 1) - f(0, -1)) / (2 * step[1]),
        (f(1, 0) - 2 * f(0, 0) + f(-1, 0)) / step[0] ** 2,
        (f(1, 1) - f(1, -1) - f(-1, 1) + f(-1, -1)) / (4 * step[0] * step[1]),
        (f(0, 1) - 2 * f(0, 0) + f(0, -1)) / step[1] ** 2,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@ARRAYS
def test_where_the_map_is_not_concave_the_curvature_of_an_echo_stands_in(radar: OfdmRadar) -> None:
    """It is that of an echo without noise at its own place."""
    kappa = drawn(0, 0.0)[2]
    theta, tau = 0.2, 3e-7
    place = radar.positions
    a = np.exp(-2j * np.pi * (place[:, 0] * np.cos(theta) + place[:, 1] * np.sin(theta)))
    y = np.outer(kappa / np.abs(kappa) * a, np.exp(-2j * np.pi * np.arange(S) * radar.subcarrier_spacing * tau))
    table, m, echo = np.zeros((2, 3, S)), np.empty((3, N), np.complex128), np.empty(5)
    moment_table(radar.subcarrier_spacing, tau, S, table[0], table[1])
    moments(frozen(y.real), frozen(y.imag), table[0], table[1], m)
    pure = frozen(kappa / np.abs(kappa))
    log_power_derivatives(pure, frozen(place), pitch_of(radar), radar.subcarrier_spacing, theta, m, echo)
    indefinite = np.array([1.0, 2.0, 1.0, 0.0, -1.0])
    concave(frozen(place), radar.subcarrier_spacing, S, theta, indefinite)
    np.testing.assert_allclose(indefinite[[2, 4]], echo[[2, 4]], rtol=1e-9)
    np.testing.assert_allclose(indefinite[[0, 1, 3]], [1.0, 2.0, 0.0])
    kept = echo.copy()
    concave(frozen(place), radar.subcarrier_spacing, S, theta, kept)
    np.testing.assert_array_equal(kept, echo)


def test_the_step_is_the_maximum_over_the_box() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        root = rng.standard_normal((2, 2))
        h, g = -(root @ root.T) - 0.1 * np.eye(2), 2 * rng.standard_normal(2)
        low, high = -rng.uniform(0, 1, 2), rng.uniform(0, 1, 2)
        d = np.array([g[0], g[1], h[0, 0], h[0, 1], h[1, 1]])
        step = np.array(box_step(d, low, high))
        assert (low <= step).all()
        assert (step <= high).all()
        best = minimize(
            lambda v, g=g, h=h: -(g @ v + 0.5 * v @ h @ v),
            (low + high) / 2,
            jac=lambda v, g=g, h=h: -(g + h @ v),
            bounds=list(zip(low, high, strict=True)),
            options={"ftol": 1e-14, "gtol": 1e-10},
        )
        assert g @ step + 0.5 * step @ h @ step >= -best.fun - 1e-8
