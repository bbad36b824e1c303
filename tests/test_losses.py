"""Gradients of both losses against central differences, in double precision, and what the maths says about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import model

from isacblocks import Adam, OfdmRadar, max_loss, reconstruction_loss

STEP = 1e-6


def case(seed: int, antennas: int, subcarriers: int, frames: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    setup = model.Setup(antennas, subcarriers)
    kappa = rng.uniform(0.7, 1.3, antennas) * np.exp(1j * rng.uniform(-1, 1, antennas))
    x = (
        rng.choice([-3, -1, 1, 3], (frames, subcarriers)) + 1j * rng.choice([-3, -1, 1, 3], (frames, subcarriers))
    ) / 10**0.5
    y = 0.5 * (
        rng.standard_normal((frames, antennas, subcarriers)) + 1j * rng.standard_normal((frames, antennas, subcarriers))
    )
    for f in range(frames):
        y[f] += model.frame(x[f], 2.0 * np.exp(1j * f), kappa, rng.uniform(-0.2, 0.2), rng.uniform(1e-7, 2e-7), setup)
    guess = kappa * np.exp(1j * rng.normal(0, 0.3, antennas))
    return {
        "y": y,
        "x": x,
        "kappa": guess,
        "theta": np.linspace(-0.25, 0.25, 7),
        "tau": np.linspace(0.8e-7, 2.2e-7, 6),
        "radar": OfdmRadar(antennas=antennas, subcarriers=subcarriers),
    }


def central_differences(function: Any, values: dict[str, Any]) -> np.ndarray[Any, Any]:
    """dJ/dRe + j dJ/dIm, one antenna at a time."""
    kappa = values["kappa"]
    out = np.zeros(kappa.shape, complex)
    for n in range(kappa.size):
        for direction in (1.0, 1j):
            shift = np.zeros(kappa.shape, complex)
            shift[n] = STEP * direction
            rise = function(**(values | {"kappa": kappa + shift}))[0] - function(**(values | {"kappa": kappa - shift}))[0]
            out[n] += direction * rise / (2 * STEP)
    return out


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), antennas=st.integers(2, 9), subcarriers=st.integers(2, 17), frames=st.integers(1, 4))
def test_gradients_are_the_central_differences(seed: int, antennas: int, subcarriers: int, frames: int) -> None:
    values = case(seed, antennas, subcarriers, frames)
    for function in (max_loss, lambda **v: reconstruction_loss(**v, noise_to_gain=0.7)):
        _, gradient = function(**values)
        numeric = central_differences(function, values)
        np.testing.assert_allclose(gradient, numeric, rtol=0, atol=2e-6 * np.abs(numeric).max() + 1e-9)


@pytest.mark.parametrize("ratio", [0.0, 1.0, 100.0])
def test_the_tangent_parts_of_both_gradients_are_parallel_for_one_frame(ratio: float) -> None:
    values = case(3, 8, 16, 1)
    kappa = values["kappa"]

    def tangent(gradient: Any) -> Any:
        return gradient - kappa * np.vdot(kappa, gradient).real / np.vdot(kappa, kappa).real

    first = tangent(max_loss(**values)[1])
    second = tangent(reconstruction_loss(**values, noise_to_gain=ratio)[1])
    cosine = np.vdot(first, second).real / np.linalg.norm(first) / np.linalg.norm(second)
    assert cosine == pytest.approx(1.0, abs=1e-9)


def test_perfect_reconstruction_is_a_minimum_without_slope() -> None:
    setup, radar = model.Setup(4, 8), OfdmRadar(antennas=4, subcarriers=8)
    x = np.ones(8, complex)
    y = model.frame(x, 1.0, np.ones(4, complex), 0.1, 2e-7, setup)[None]
    loss, gradient = reconstruction_loss(y, x[None], np.ones(4), [0.1], [2e-7], radar, noise_to_gain=0.0)
    assert loss == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("second_moment", ["modulus", "components"])
def test_adam_against_its_definition(second_moment: str) -> None:
    rng = np.random.default_rng(2)
    kappa = np.ones(6, complex)
    adam = Adam(learning_rate=0.05, second_moment=second_moment)
    expected, m, v = kappa.copy(), np.zeros(6, complex), np.zeros((2, 6))
    for step in range(1, 30):
        gradient = rng.standard_normal(6) + 1j * rng.standard_normal(6)
        kappa = adam.step(kappa, gradient)
        m = 0.9 * m + 0.1 * gradient
        squares = np.array([gradient.real**2, gradient.imag**2])
        if second_moment == "modulus":
            squares[:] = squares.sum(0)
        v = 0.999 * v + 0.001 * squares
        root = np.sqrt(v / (1 - 0.999**step)) + 1e-8
        mean = m / (1 - 0.9**step)
        expected = expected - 0.05 * (mean.real / root[0] + 1j * mean.imag / root[1])
        expected *= np.sqrt(6) / np.linalg.norm(expected)
        np.testing.assert_allclose(kappa, expected, rtol=1e-12)
        assert np.linalg.norm(kappa) ** 2 == pytest.approx(6)


def test_adam_descends_the_reconstruction_loss() -> None:
    values = case(11, 8, 16, 4)
    adam = Adam(learning_rate=0.02)
    losses = []
    for _ in range(60):
        loss, gradient = reconstruction_loss(**values, noise_to_gain=0.5)
        losses.append(loss)
        values["kappa"] = adam.step(values["kappa"], gradient)
    assert losses[-1] < 0.97 * losses[0]


def test_adam_keeps_its_number_of_antennas() -> None:
    adam = Adam()
    adam.step(np.ones(4), np.ones(4))
    with pytest.raises(ValueError, match="expected 4 antennas"):
        adam.step(np.ones(5), np.ones(5))
