"""Expectation maximisation: its sums, its likelihood and its gradient, against the literal model in double precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from reference import model

from isacblocks import OfdmRadar, Scene, steering_vectors
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.compression import compress
from isacblocks.kernels.delay_basis import Compressed, delay_basis
from isacblocks.kernels.expectation import em_step
from isacblocks.kernels.exponentials import exponentials, logarithms
from isacblocks.kernels.gains import gain_variance, shrink_gains
from isacblocks.kernels.impairments import draw_impairments, retract
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames

SNR, PRIOR, NOISE = 10**1.5, 0.4, 1.7
PLANAR = tuple((0.2 * (k % 2), 0.4 * k, 0.0) for k in range(5))
RADARS = {
    "linear": OfdmRadar(antennas=5, subcarriers=11, cyclic_prefix=0.3),
    "planar": OfdmRadar(antennas=5, subcarriers=11, cyclic_prefix=0.3, element_positions=PLANAR),
}
COUNT = 6


def case(radar: OfdmRadar, dtype: Any) -> dict[str, Any]:
    """Frames of 16-QAM symbols (||x||^2 differs), compressed without loss, kappa that is not the truth, two grids."""
    scene = Scene(target_probability=0.7, range_max=40.0)
    truth = draw_scene(3, 0, COUNT, radar, scene)
    x = draw_symbols(3, 0, COUNT, radar, 16).astype(dtype)
    gamma = truth.gamma * math.sqrt(NOISE)
    kappa = draw_impairments("table1", radar.antennas, 1)
    y = simulate_frames(x, gamma, kappa, truth.theta, truth.tau, radar, noise_power=NOISE, seed=3)
    window = scene.delay_window(radar)
    basis = delay_basis(radar, *window, 1e-12)
    theta = truth.theta_min[:, None] + (truth.theta_max - truth.theta_min)[:, None] * np.linspace(0, 1, 9)
    guess = draw_impairments("table1", radar.antennas, 2)
    return {
        "radar": radar,
        "y": y.astype(complex),
        "x": x.astype(complex),
        "frames": compress(y, x, basis),
        "basis": basis,
        "kappa": guess,
        "theta": theta,
        "tau": np.linspace(*window, 7)[None, :],
    }


def literal(made: dict[str, Any], kappa: Any, beta: float = 1.0) -> dict[str, Any]:
    """Every formula as it stands, one place after the other."""
    radar = made["radar"]
    rho = SNR / (1 + SNR)
    out: dict[str, Any] = {"total": np.zeros(radar.antennas, complex), "pull": 0.0}
    rows: dict[str, list[Any]] = {"probability": [], "level": [], "likelihood": [], "delay": []}
    setup = model.Setup(radar.antennas, radar.subcarriers)
    for y, x, theta in zip(made["y"], made["x"], made["theta"], strict=True):
        energy = np.sum(np.abs(x) ** 2)
        u = np.empty((len(theta), made["tau"].size, radar.antennas), complex)
        for j, tau in enumerate(made["tau"][0]):
            p = y @ (model.b(tau, setup) * x).conj()
            u[:, j] = steering_vectors(theta, radar).conj() * p
        s = u @ kappa.conj()
        level = np.abs(s) ** 2 / (radar.antennas * energy * NOISE)
        ratio = np.exp(beta * rho * level) / (1 + SNR) ** beta
        mean = ratio.mean()
        p = PRIOR * mean / (PRIOR * mean + 1 - PRIOR)
        w = ratio / ratio.sum()
        out["total"] += p * np.einsum("ij,ijn,ij->n", w, u, s.conj())
        out["pull"] += p * NOISE * energy
        rows["probability"].append(p)
        rows["level"].append(np.sum(w * level))
        rows["likelihood"].append(math.log(1 - PRIOR + PRIOR * mean))
        rows["delay"].append(w.sum(axis=0))
    return out | {name: np.array(values) for name, values in rows.items()}


@pytest.mark.parametrize("name", RADARS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.complex64, 2e-5), (np.complex128, 1e-7)])
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_the_sums_are_those_of_the_literal_model(name: str, dtype: Any, tolerance: float, beta: float) -> None:
    made = case(RADARS[name], dtype)
    grids = made["theta"], made["tau"]
    found = em_step(made["frames"], made["basis"], made["kappa"], *grids, SNR, PRIOR, NOISE, beta)
    expected = literal(made, made["kappa"], beta)
    np.testing.assert_allclose(found.total, expected["total"], atol=tolerance * np.abs(expected["total"]).max())
    for field in ("probability", "level", "likelihood", "delay", "pull"):
        np.testing.assert_allclose(getattr(found, field), expected[field], rtol=tolerance, atol=tolerance)
    assert found.log_likelihood == pytest.approx(expected["likelihood"].sum(), rel=tolerance)
    assert found.prior == pytest.approx(expected["probability"].mean(), rel=tolerance)
    weighted = expected["probability"] @ expected["level"] / expected["probability"].sum()
    assert found.snr == pytest.approx(weighted - 1, rel=10 * tolerance)
    v = expected["total"] - expected["pull"] * made["kappa"]
    np.testing.assert_allclose(found.direction(made["kappa"]), v, atol=2 * tolerance * np.abs(expected["total"]).max())


@pytest.mark.parametrize("name", RADARS)
def test_the_total_is_the_gradient_of_the_likelihood(name: str) -> None:
    """dLL/dRe + j dLL/dIm = 2 rho / (N X N0) sum p w u conj(s), by central differences; X the same in every frame."""
    made = case(RADARS[name], np.complex128)
    x = made["x"] / np.abs(made["x"])
    frames = compress(made["y"], x, made["basis"])
    grids = made["theta"], made["tau"]

    def log_likelihood(kappa: Any) -> float:
        return em_step(frames, made["basis"], kappa, *grids, SNR, PRIOR, NOISE).log_likelihood

    elements, carriers = made["radar"].antennas, made["radar"].subcarriers
    found = em_step(frames, made["basis"], made["kappa"], *grids, SNR, PRIOR, NOISE).total
    gradient = 2 * SNR / (1 + SNR) / (elements * carriers * NOISE) * found
    step = 1e-5
    for n in range(elements):
        for part, value in ((1.0, gradient[n].real), (1j, gradient[n].imag)):
            move = np.zeros(elements, complex)
            move[n] = part * step
            slope = (log_likelihood(made["kappa"] + move) - log_likelihood(made["kappa"] - move)) / (2 * step)
            assert slope == pytest.approx(value, rel=1e-5, abs=1e-5 * np.abs(gradient).max())


def test_a_frame_s_figures_do_not_depend_on_its_neighbours() -> None:
    made = case(RADARS["linear"], np.complex64)
    frames, basis, theta, tau = made["frames"], made["basis"], made["theta"], made["tau"]
    whole = em_step(frames, basis, made["kappa"], theta, tau, SNR, PRIOR, NOISE)
    for f in range(COUNT):
        one = Compressed(frames.g[f : f + 1], frames.energy[f : f + 1], frames.symbol_energy[f : f + 1])
        single = em_step(one, basis, made["kappa"], theta[f : f + 1], tau, SNR, PRIOR, NOISE)
        for field in ("probability", "level", "likelihood", "delay"):
            np.testing.assert_array_equal(getattr(single, field)[0], getattr(whole, field)[f])


MIDDLE = OfdmRadar(antennas=16, subcarriers=64)
SCENE = Scene()


def drawn(count: int, seed: int, law: str = "table1") -> tuple[Any, ...]:
    """Frames of a middle-sized array with their grids, and the true kappa."""
    truth = draw_scene(seed, 0, count, MIDDLE, SCENE)
    kappa = draw_impairments(law, 16, seed)
    basis = delay_basis(MIDDLE, *SCENE.delay_window(MIDDLE))
    theta = truth.theta_min[:, None] + (truth.theta_max - truth.theta_min)[:, None] * np.linspace(0, 1, 40)
    return (
        simulate_compressed(truth, kappa, basis, seed=seed),
        basis,
        theta,
        np.linspace(basis.window[0], basis.window[1], 60)[None, :],
        kappa,
    )


def test_no_step_lowers_the_likelihood() -> None:
    frames, basis, theta, tau, _ = drawn(150, 1)
    kappa, before = np.ones(16, complex), -math.inf
    for _ in range(12):
        made = em_step(frames, basis, kappa, theta, tau, SCENE.snr, 0.5)
        assert made.log_likelihood >= before - 1e-6 * abs(made.log_likelihood)
        before, kappa = made.log_likelihood, retract(made.total)


def test_both_directions_have_the_same_fixed_point_and_one_gets_there_sooner() -> None:
    frames, basis, theta, tau, _ = drawn(150, 1)
    ends, paths = [], []
    for pulled in (True, False):
        kappa, path = np.ones(16, complex), []
        for _ in range(120):
            made = em_step(frames, basis, kappa, theta, tau, SCENE.snr, 0.5)
            kappa = retract(made.total if pulled else made.direction(kappa))
            path.append(kappa)
        ends.append(kappa)
        paths.append(path)
    assert 1 - abs(np.vdot(*ends)) / 16 < 1e-6
    errors = [1 - abs(np.vdot(path[3], ends[1])) / 16 for path in paths]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_likelihood_exceeds_the_truth_s_by_half_a_chi_square(seed: int) -> None:
    """2 (LL(kappa_hat) - LL(kappa)) has about 2 N - 2 degrees of freedom: for N = 16 half of 30 +- 7.7."""
    frames, basis, theta, tau, truth = drawn(400, seed)
    kappa = truth
    for _ in range(30):
        made = em_step(frames, basis, kappa, theta, tau, SCENE.snr, 0.5)
        kappa = retract(made.direction(kappa))
    best = em_step(frames, basis, kappa, theta, tau, SCENE.snr, 0.5).log_likelihood
    true = em_step(frames, basis, truth, theta, tau, SCENE.snr, 0.5).log_likelihood
    assert 5 < best - true < 28


def test_snr_and_prior_follow_from_the_same_sums() -> None:
    """EM for the two at the true kappa, from far off."""
    frames, basis, theta, tau, truth = drawn(1500, 6)
    snr, prior = 3.0, 0.9
    for _ in range(25):
        made = em_step(frames, basis, truth, theta, tau, snr, prior)
        snr, prior = made.snr, made.prior
    assert snr == pytest.approx(SCENE.snr, rel=0.15)  # 1500 frames: 4 % of it is the targets' own spread
    assert prior == pytest.approx(0.5, abs=0.05)


def test_bad_numbers_are_refused() -> None:
    made = case(RADARS["linear"], np.complex64)
    arguments = made["frames"], made["basis"], made["kappa"], made["theta"], made["tau"]
    for snr, prior, noise, beta, name in (
        (0.0, 0.5, 1.0, 1.0, "snr"),
        (math.nan, 0.5, 1.0, 1.0, "snr"),
        (1.0, 0.0, 1.0, 1.0, "prior"),
        (1.0, 1.0, 1.0, 1.0, "prior"),
        (1.0, 0.5, -1.0, 1.0, "noise_power"),
        (1.0, 0.5, 1.0, 0.0, "beta"),
        (1.0, 0.5, 1.0, 1.5, "beta"),
    ):
        with pytest.raises(ValueError, match=f"{name}: expected"):
            em_step(*arguments, snr, prior, noise, beta)


def test_exponentials() -> None:
    values = np.concatenate([-np.random.default_rng(1).uniform(0, 700, 20_001), [0.0, -1e-300, -700.0]])
    found = values.copy()
    exponentials(found)
    np.testing.assert_allclose(found, np.exp(values), rtol=5e-16)
    low = np.array([-701.0, -1e6, -np.inf])
    exponentials(low)
    assert (low < 1e-303).all()
    assert (low >= 0).all()


def test_logarithms() -> None:
    rng = np.random.default_rng(2)
    near = 1 + rng.uniform(-0.5, 0.5, 10_001)
    values = np.concatenate(
        [np.exp(rng.uniform(-690, 700, 10_001)), near, [1.0, 2.0, 0.5, math.sqrt(0.5), math.sqrt(2), 1e-307]]
    )
    found = values.copy()
    logarithms(found, np.empty_like(found))
    assert np.max(np.abs(found - np.log(values)) / np.maximum(np.abs(np.log(values)), 0.5)) < 5e-16
    assert found[20_002] == 0


def test_gains_are_shrunk_by_what_their_errors_explain() -> None:
    rng = np.random.default_rng(5)
    truth = retract(rng.uniform(0.7, 1.3, 4000) * np.exp(1j * rng.uniform(-3, 3, 4000)))
    for deviation in (0.02, 0.2, 0.5):
        error = deviation * (rng.standard_normal(4000) + 1j * rng.standard_normal(4000)) / math.sqrt(2)
        raw = truth + error
        shrunk = shrink_gains(3.0 * raw, deviation**2 / 2)
        assert np.linalg.norm(shrunk) ** 2 == pytest.approx(4000)
        np.testing.assert_allclose(np.angle(shrunk * raw.conj()), 0, atol=1e-9)
        assert abs(np.vdot(truth, shrunk)) >= abs(np.vdot(truth, retract(raw))) * (1 - 1e-6)
    np.testing.assert_allclose(np.abs(shrink_gains(truth, 10.0)), 1, rtol=1e-12)  # nothing but error: phases only
    np.testing.assert_allclose(shrink_gains(truth, 0.0), truth, rtol=1e-12)
    assert gain_variance(SCENE.snr, 64, 500) == pytest.approx(64 * (1 + SCENE.snr) / (2 * SCENE.snr**2 * 500))


def test_one_unknown_gain_does_not_stop_the_others_from_being_believed() -> None:
    """An antenna that starts anew: its error says nothing about the spread of the gains, nor about the others."""
    truth = draw_impairments("table1", 64, 4)
    error = 0.01 * np.random.default_rng(2).standard_normal(64)
    measured = truth * (1 + error)
    measured[5] *= 1.5
    variance = np.full(64, 1e-4)
    whole = shrink_gains(measured, variance)
    variance[5] = 0.5
    others = np.arange(64) != 5
    made = shrink_gains(measured, variance)
    scale = np.abs(made[others]).mean() / np.abs(truth[others]).mean()
    assert np.abs(np.abs(made[others]) / scale - np.abs(truth[others])).max() < 0.04
    assert np.ptp(np.abs(made[others])) > 0.8 * np.ptp(np.abs(whole[others]))
    assert abs(np.abs(made[5]) / np.abs(made).mean() - 1) < 0.02  # the mean is the best guess
