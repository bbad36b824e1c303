"""What frames say without kappa: energies, evidence and SNR; and the spectral start, against literal sums and integrals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from reference import model
from scipy.integrate import quad
from scipy.special import gammaln, hyp0f1

from isacblocks import OfdmRadar, Scene, kappa_error, steering_vectors
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.compression import compress
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.kernels.spectral import (
    Noncoherent,
    frame_energies,
    noncoherent,
    noncoherent_law,
    spectral_matrix,
    spectral_phases,
)

PLANAR = tuple((0.2 * (k % 2), 0.4 * k, 0.0) for k in range(5))
RADARS = {
    "linear": OfdmRadar(antennas=5, subcarriers=11, cyclic_prefix=0.3),
    "planar": OfdmRadar(antennas=5, subcarriers=11, cyclic_prefix=0.3, element_positions=PLANAR),
}
SCENE = Scene()


@pytest.mark.parametrize("elements", [2, 5, 64])
@pytest.mark.parametrize("snr", [0.5, 31.6])
@pytest.mark.parametrize("energy", [0.0, 3.0, 60.0, 130.0, 600.0])
def test_the_evidence_is_the_mean_over_all_kappa(elements: int, snr: float, energy: float) -> None:
    """Two integrals: exp(rho T)/(1 + SNR) over kappa on the sphere, T / E ~ Beta(1, N - 1); and over the target's energy c,
    where a random direction gives the factor e^-c 0F1(N; c E), which has E[c] beside it.
    """
    rho = snr / (1 + snr)
    shift = rho * energy
    mean, _ = quad(
        lambda b: math.exp(rho * energy * b - shift) * (elements - 1) * (1 - b) ** (elements - 2),
        0,
        1,
        epsabs=0,
        epsrel=1e-11,
        limit=400,
    )
    log_ratio, gain = noncoherent(energy, elements, snr)
    assert log_ratio == pytest.approx(math.log(mean) + shift - math.log1p(snr), abs=1e-8)

    def joint(c: float, power: int) -> float:
        return float(c**power * math.exp(-c * (1 + 1 / snr)) * hyp0f1(elements, c * energy) / snr)

    if energy < 500:  # hyp0f1 overflows beyond
        top = 60 + 3 * energy
        nodes = [rho * energy / 2, rho * energy + 1]
        zeroth, first = (quad(joint, 0, top, args=(k,), epsabs=0, epsrel=1e-10, limit=500, points=nodes)[0] for k in (0, 1))
        assert log_ratio == pytest.approx(math.log(zeroth), abs=1e-6)
        assert gain == pytest.approx(first / zeroth, rel=1e-6)


def test_the_evidence_of_very_large_energies_does_not_overflow() -> None:
    """1F1(1; N; x) -> (N - 1)! e^x x^(1 - N)."""
    log_ratio, gain = noncoherent(40_000.0, 64, 30.0)
    x = 40_000 * 30 / 31
    assert log_ratio == pytest.approx(gammaln(64) + x - 63 * math.log(x) - math.log(31), abs=1e-6)
    assert gain == pytest.approx(30 / 31 * (x - 62), rel=1e-3)


def case(radar: OfdmRadar) -> dict[str, Any]:
    truth = draw_scene(3, 0, 5, radar, Scene(target_probability=0.8, range_max=40.0))
    x = draw_symbols(3, 0, 5, radar, 16).astype(complex)
    y = simulate_frames(x, truth.gamma, draw_impairments("full-circle", 5, 1), truth.theta, truth.tau, radar, seed=3)
    basis = delay_basis(radar, *SCENE.delay_window(radar), 1e-12)
    return {"x": x, "y": y, "frames": compress(y, x, basis), "basis": basis, "truth": truth}


@pytest.mark.parametrize("name", RADARS)
def test_energies_and_r_are_those_of_the_literal_model(name: str) -> None:
    radar, noise = RADARS[name], 1.3
    made = case(radar)
    truth, setup = made["truth"], model.Setup(5, 11)
    tau = np.linspace(made["basis"].window[0], made["basis"].window[1], 7)
    energy = frame_energies(made["frames"], made["basis"], tau, noise)
    weight = np.random.default_rng(1).random((5, 7))
    weight /= weight.sum(axis=1, keepdims=True)
    probability = np.array([0.9, 0.0, 0.5, 1.0, 0.3])
    expected = np.zeros((5, 5), complex)
    for f in range(5):
        angles = truth.theta_min[f] + (truth.theta_max[f] - truth.theta_min[f]) * (np.arange(4000) + 0.5) / 4000
        a = steering_vectors(angles, radar)
        sector = a.T @ a.conj() / 4000
        for j in range(7):
            y = (
                made["y"][f]
                @ (model.b(tau[j], setup) * made["x"][f]).conj()
                / math.sqrt(np.sum(np.abs(made["x"][f]) ** 2) * noise)
            )
            assert energy[f, j] == pytest.approx(np.sum(np.abs(y) ** 2), rel=1e-9)
            expected += probability[f] * weight[f, j] * np.outer(y, y.conj()) * sector.conj()
    np.fill_diagonal(expected, 0)
    found = Noncoherent(30.0, 0.5, probability, weight, np.zeros(5))
    r = spectral_matrix(made["frames"], made["basis"], found, truth.theta_min, truth.theta_max, tau, noise)
    np.testing.assert_allclose(r, expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(r, r.conj().T, atol=1e-12 * np.abs(r).max())


def test_the_phases_of_a_clean_matrix_are_found() -> None:
    """R = (kappa kappa^H) . |C|^2, a band about the diagonal: every phase, whatever the gains."""
    kappa = draw_impairments("full-circle", 40, 3)
    lag = np.arange(40)[:, None] - np.arange(40)
    r: Any = np.outer(kappa, kappa.conj()) * np.sinc(lag / 9) ** 2
    np.fill_diagonal(r, 0)
    found = spectral_phases(r)
    assert np.abs(np.abs(found) - 1).max() < 1e-12
    assert abs(np.vdot(found, kappa / np.abs(kappa))) / 40 == pytest.approx(1, abs=1e-9)


def drawn(count: int, seed: int, snr_db: float = 15.0, prior: float = 0.5) -> tuple[Any, ...]:
    radar, scene = OfdmRadar(antennas=16, subcarriers=64), Scene(snr_db=snr_db, target_probability=prior)
    truth = draw_scene(seed, 0, count, radar, scene)
    kappa = draw_impairments("full-circle", 16, seed)
    basis = delay_basis(radar, *scene.delay_window(radar))
    return simulate_compressed(truth, kappa, basis, seed=seed), basis, truth, kappa


@pytest.mark.parametrize(("snr_db", "prior"), [(15.0, 0.5), (12.0, 0.3), (18.0, 0.8)])
def test_snr_and_prior_are_found_without_kappa(snr_db: float, prior: float) -> None:
    frames, basis, _, _ = drawn(1500, 4, snr_db, prior)
    energy = frame_energies(frames, basis, np.linspace(basis.window[0], basis.window[1], 60))
    found = noncoherent_law(energy, 16, 10.0, 0.5, 60)
    # Three standard deviations of what seeds spread, 0.4 dB and 0.025, half of it the targets' own.
    assert 10 * math.log10(found.snr) == pytest.approx(snr_db, abs=1.2)
    assert found.prior == pytest.approx(prior, abs=0.075)
    assert found.likelihood.sum() >= noncoherent_law(energy, 16, 10.0, 0.5, 5).likelihood.sum()
    np.testing.assert_allclose(found.weight.sum(axis=1), 1)


@pytest.mark.parametrize("seed", range(4))
def test_the_start_finds_phases_over_the_whole_circle(seed: int) -> None:
    frames, basis, truth, kappa = drawn(250, seed)
    tau = np.linspace(basis.window[0], basis.window[1], 60)
    found = noncoherent_law(frame_energies(frames, basis, tau), 16, 10.0, 0.5, 15)
    r = spectral_matrix(frames, basis, found, truth.theta_min, truth.theta_max, tau)
    error = kappa_error(spectral_phases(r), kappa, basis.radar)
    assert error.loss_db < 0.6
    assert abs(error.slope_deg) < 4
    assert kappa_error(np.ones(16), kappa, basis.radar).loss_db > 2


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="snr: expected"):
        noncoherent_law(np.ones((2, 3)), 4, -1.0)
    with pytest.raises(ValueError, match="prior: expected"):
        noncoherent_law(np.ones((2, 3)), 4, 1.0, 1.0)
