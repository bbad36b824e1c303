"""What frames drawn in the delay subspace are made of, each against literal formulas in double precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks import OfdmRadar, Scene
from isacblocks.kernels import compressed_simulation as module
from isacblocks.kernels.compressed_simulation import simulate_compressed
from isacblocks.kernels.delay_basis import delay_basis
from isacblocks.kernels.random import STREAM_NOISE_OUTSIDE, item_uniforms, uniforms
from isacblocks.kernels.scene import draw_scene

SPACING = 240e3
CIRCLE = tuple((math.cos(k), 1.3 * math.sin(k), 0.0) for k in range(7))


def drawn(radar: OfdmRadar, product: float, noise_power: float, kappa: Any = None) -> tuple[Any, Any, Any]:
    """Frames with targets in a window as wide as `product` resolution cells, the basis, and the frames' truth."""
    low = 0.1 / SPACING
    basis = delay_basis(radar, low, low + product / (radar.subcarriers * SPACING))
    truth = draw_scene(5, 0, 40, radar, Scene(target_probability=0.8))
    tau = np.random.default_rng(1).uniform(*basis.window, 40)
    tau[:2] = basis.window  # at its edges too
    object.__setattr__(truth, "tau", tau)
    kappa = np.ones(radar.antennas) if kappa is None else kappa
    return simulate_compressed(truth, kappa, basis, noise_power=noise_power, seed=2), basis, truth


@pytest.mark.parametrize(
    "radar",
    [
        OfdmRadar(antennas=2, subcarriers=8, cyclic_prefix=1.0),
        OfdmRadar(antennas=9, subcarriers=50, cyclic_prefix=1.0),
        OfdmRadar(antennas=7, subcarriers=40, cyclic_prefix=1.0, element_positions=CIRCLE),
        OfdmRadar(antennas=5, subcarriers=128, cyclic_prefix=1.0),
    ],
    ids=["two", "linear", "circle", "broad"],
)
@pytest.mark.parametrize("product", [1e-3, 2.0, 6.0])
@pytest.mark.parametrize("own", [False, True], ids=["kappa", "kappas"])
def test_the_mean_is_the_echo(radar: OfdmRadar, product: float, own: bool) -> None:
    """gamma kappa_n a_n(theta) conj(c_d(tau)) for all arrays, ranks and numbers of vectors in a row, in single precision;
    frames without a target are empty."""
    rng = np.random.default_rng(3)
    shape = (40, radar.antennas) if own else (radar.antennas,)
    kappa = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    made, basis, truth = drawn(radar, product, 1e-30, kappa)
    x, y = radar.positions[:, 0], radar.positions[:, 1]
    direction = np.outer(np.cos(truth.theta), x) + np.outer(np.sin(truth.theta), y)
    a = np.atleast_2d(kappa) * np.exp(-2j * np.pi * direction)
    c = basis.coefficients(truth.tau)
    expected = truth.gamma[:, None, None] * a[:, :, None] * c.conj()[:, None, :]
    size = np.abs(truth.gamma) * np.abs(a).max(axis=1) * math.sqrt(radar.subcarriers)
    assert (np.abs(made.g - expected).max(axis=(1, 2)) <= 4e-7 * size + 1e-13).all()
    assert 0 < np.count_nonzero(truth.gamma) < 40


def test_the_widest_basis_has_many_vectors_in_a_row() -> None:
    """More than 32 of its terms: the table of the series is padded to a second vector."""
    radar = OfdmRadar(antennas=3, subcarriers=256, cyclic_prefix=1.0)
    made, basis, truth = drawn(radar, 40.0, 1e-30)
    assert basis.rank > 34
    a = np.exp(-2j * np.pi * np.outer(np.sin(truth.theta), radar.positions[:, 1]))
    expected = truth.gamma[:, None, None] * a[:, :, None] * basis.coefficients(truth.tau).conj()[:, None, :]
    assert np.abs(made.g - expected).max() <= 4e-7 * np.abs(truth.gamma).max() * 16


@pytest.mark.parametrize("antennas", [2, 3, 5, 8, 33, 64])
@pytest.mark.parametrize("carriers", [3, 4, 16])
def test_the_energy_is_the_sum_of_squares(antennas: int, carriers: int) -> None:
    """Where the subspace is the whole space, nothing is added outside it: whole groups of vectors and what is left over."""
    radar = OfdmRadar(antennas=antennas, subcarriers=carriers, cyclic_prefix=1.0)
    made, basis, _ = drawn(radar, 0.95 * carriers, 1.7)
    assert basis.rank == carriers
    exact = (np.abs(made.g.astype(complex)) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(made.energy, exact, rtol=2e-7)


def test_the_energy_has_no_drift_with_the_length() -> None:
    """Compensated sums: of a million squares as of a thousand. Rounding errors of either sign leave far less than 1e-7."""
    rng = np.random.default_rng(4)
    sums = np.empty(32, np.float32)
    for count in (1000, 10**6):
        for samples in (rng.standard_normal(count), np.full(count, 1 / 3), np.linspace(1e-3, 1e3, count)):
            single = samples.astype(np.float32)
            assert module._energy(single, sums) == pytest.approx((single.astype(float) ** 2).sum(), rel=1e-7)


def test_gamma_variables_are_those_of_the_plain_algorithm() -> None:
    """Marsaglia and Tsang's without the squeeze, from the same numbers; small shapes, where many attempts are refused."""

    def plain(shape: float, item: int) -> tuple[float, int]:
        u = np.empty(96)
        uniforms(np.uint64(8), STREAM_NOISE_OUTSIDE, np.uint64(item), u)
        d = shape - 1 / 3
        for k in range(32):
            x = math.sqrt(-2 * math.log(1 - u[3 * k])) * math.cos(2 * math.pi * u[3 * k + 1])
            v = (1 + x / math.sqrt(9 * d)) ** 3
            if v > 0 and math.log(1 - u[3 * k + 2]) < 0.5 * x * x + d - d * v + d * math.log(v):
                return d * v, k
        raise AssertionError("refused 32 times")

    first, more, refused = np.empty((3, 3000)), np.empty(96), 0
    item_uniforms(np.uint64(8), STREAM_NOISE_OUTSIDE, np.uint64(0), first)
    for shape in (1.0, 1.5, 14_720.0):
        for item in range(3000):
            expected, attempts = plain(shape, item)
            found = module._gamma(shape, np.uint64(8), np.uint64(item), first[:, item], more)
            assert found == pytest.approx(expected, rel=1e-14)
            refused += attempts
    assert refused > 200


def test_the_gain_of_a_frame_is_its_own() -> None:
    """A frame without a target after one with a target has noise alone: nothing of the other is left."""
    radar = OfdmRadar(antennas=4, subcarriers=16, cyclic_prefix=1.0)
    low = 0.1 / SPACING
    basis = delay_basis(radar, low, low + 3.0 / (16 * SPACING))
    truth = draw_scene(5, 0, 2, radar, Scene(target_probability=1))
    tau, gamma = np.full(2, basis.centre), np.array([100.0 + 0j, 0.0])
    object.__setattr__(truth, "tau", tau)
    object.__setattr__(truth, "gamma", gamma)
    made = simulate_compressed(truth, np.ones(4), basis, seed=3)
    object.__setattr__(truth, "gamma", np.zeros(2, complex))
    silent = simulate_compressed(truth, np.ones(4), basis, seed=3)
    np.testing.assert_array_equal(made.g[1], silent.g[1])
    assert made.energy[1] == silent.energy[1]
    assert np.abs(made.g[0] - silent.g[0]).max() > 50


def test_a_delay_that_is_not_a_number_is_refused() -> None:
    radar = OfdmRadar(antennas=4, subcarriers=16, cyclic_prefix=1.0)
    basis = delay_basis(radar, 0.1 / SPACING, 0.2 / SPACING)
    truth = draw_scene(5, 0, 2, radar, Scene())
    object.__setattr__(truth, "tau", np.array([basis.centre, np.nan]))
    with pytest.raises(ValueError, match=r"truth: expected delays inside the basis's window"):
        simulate_compressed(truth, np.ones(4), basis)
