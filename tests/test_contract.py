"""The functions that are called from outside agree with the literal reference, and refuse what they cannot take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from reference import model
from reference.make_golden import CASES, P_FA, RATIO, inputs, results

from isacblocks import (
    Adam,
    OfdmRadar,
    angle_delay_map,
    detection_threshold,
    false_alarm_probability,
    find_peak,
    max_loss,
    reconstruction_loss,
)
from isacblocks.kernels.detection import gain_estimate, maprt_statistic

DOUBLE, SINGLE = 1e-12, 1e-5  # relative to the result; to the map's peak


def radar_of(golden: dict[str, Any]) -> OfdmRadar:
    return OfdmRadar(antennas=golden["y"].shape[1], subcarriers=golden["y"].shape[2])


def arguments(golden: dict[str, Any], dtype: type) -> tuple[Any, ...]:
    return (
        golden["y"].astype(dtype),
        golden["x"].astype(dtype),
        golden["kappa"],
        golden["theta"],
        golden["tau"],
        radar_of(golden),
    )


def test_the_golden_vectors_are_those_of_the_committed_generator(golden: dict[str, Any]) -> None:
    given = {name: golden[name] for name in ("y", "x", "kappa", "theta", "tau")}
    for name, value in results(golden["name"], given).items():
        np.testing.assert_allclose(golden[f"out_{name}"], value, rtol=1e-11)
    made = inputs(golden["name"], 20250 + list(CASES).index(golden["name"]))
    assert made["y"].shape == golden["y"].shape


def test_map(golden: dict[str, Any]) -> None:
    expected = golden["out_map"]
    double = angle_delay_map(*arguments(golden, np.complex128))
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, expected, rtol=0, atol=DOUBLE * expected.max())
    single = angle_delay_map(*arguments(golden, np.complex64))
    assert single.dtype == np.float32
    for f in range(len(expected)):
        assert np.abs(single[f] - expected[f]).max() <= SINGLE * expected[f].max()


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_peak(golden: dict[str, Any], dtype: type) -> None:
    peaks = find_peak(*arguments(golden, dtype))
    np.testing.assert_array_equal(peaks.index, golden["out_index"])
    np.testing.assert_allclose(peaks.statistic, golden["out_statistic"], rtol=DOUBLE)
    np.testing.assert_array_equal(peaks.theta, golden["out_peak_theta"])
    np.testing.assert_array_equal(peaks.tau, golden["out_peak_tau"])
    scale = np.abs(golden["out_snapshot"]).max()
    np.testing.assert_allclose(peaks.snapshot, golden["out_snapshot"], rtol=0, atol=DOUBLE * scale)
    np.testing.assert_allclose(peaks.correlation, peaks.snapshot @ golden["kappa"].conj(), rtol=1e-12)
    np.testing.assert_allclose(peaks.energy, np.square(np.abs(golden["y"].astype(complex))).sum((1, 2)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_losses(golden: dict[str, Any], dtype: type) -> None:
    y, x, kappa, theta, tau, radar = arguments(golden, dtype)
    loss, gradient = max_loss(y, x, kappa, theta, tau, radar)
    assert loss == pytest.approx(float(golden["out_max_loss"]), rel=DOUBLE)
    assert gradient.shape == golden["kappa"].shape
    loss, _ = reconstruction_loss(y, x, kappa, theta, tau, radar, noise_to_gain=RATIO)
    assert loss == pytest.approx(float(golden["out_reconstruction_loss"]), rel=1e-11)


def test_gain_estimate_and_map_ratio(golden: dict[str, Any]) -> None:
    peaks = find_peak(*arguments(golden, np.complex128))
    radar = radar_of(golden)
    gains = gain_estimate(peaks.correlation, peaks.symbol_energy, radar.antennas, RATIO)
    np.testing.assert_allclose(gains, golden["out_gamma"], rtol=1e-11)
    # (20) at its own minimum over gamma is (22), up to the ||kappa||^2 = N that (23) assumes
    setup = model.Setup(radar.antennas, radar.subcarriers)
    ratios = maprt_statistic(peaks.statistic, peaks.symbol_energy, radar.antennas, RATIO, noise_power=2.0)
    kappa = golden["kappa"] * np.sqrt(radar.antennas) / np.linalg.norm(golden["kappa"])
    for f, ratio in enumerate(ratios):
        x, y = golden["x"][f].astype(complex), golden["y"][f].astype(complex)
        m = np.outer(kappa * model.a(peaks.theta[f], setup), model.b(peaks.tau[f], setup) * x)
        best = model.log_map_ratio(y, m, complex(gains[f]), 2.0, 2.0 / RATIO)
        assert best == pytest.approx(ratio, rel=1e-9)
        for step in (1e-3, 1e-3j, -1e-3):
            assert model.log_map_ratio(y, m, complex(gains[f]) + step, 2.0, 2.0 / RATIO) < best


@pytest.mark.parametrize("refine", [False, True])
def test_threshold(golden: dict[str, Any], refine: bool) -> None:
    radar, theta, tau = radar_of(golden), golden["theta"], golden["tau"]
    level = detection_threshold(P_FA, radar, theta, tau, refine)
    expected = golden["out_threshold_refined" if refine else "out_threshold"]
    np.testing.assert_allclose(level, expected if theta.ndim == 2 else expected[0], rtol=1e-10)
    assert isinstance(level, float) == (theta.ndim == 1)
    back = false_alarm_probability(level, radar, theta, tau, refine)
    np.testing.assert_allclose(back, P_FA, rtol=1e-9)


def test_refined_peak_lies_higher_and_nearer_to_the_continuous_maximum() -> None:
    radar = OfdmRadar(antennas=16, subcarriers=64)
    setup = model.Setup(16, 64)
    theta, tau = np.linspace(-0.2, 0.2, 15), np.linspace(1e-7, 2.5e-7, 12)
    x = np.ones(64, complex)
    rng = np.random.default_rng(5)
    for _ in range(50):
        where = rng.uniform(theta[1], theta[-2]), rng.uniform(tau[1], tau[-2])
        y = model.frame(x, 1.0, np.ones(16, complex), *where, setup)
        grid = find_peak(y[None], x[None], np.ones(16), theta, tau, radar)
        fine = find_peak(y[None], x[None], np.ones(16), theta, tau, radar, refine=True)
        np.testing.assert_array_equal(grid.index, fine.index)
        assert fine.statistic[0] >= grid.statistic[0] * (1 - 1e-12)
        assert abs(fine.theta[0] - where[0]) <= abs(grid.theta[0] - where[0]) + 2e-4
        u = model.a(fine.theta[0], setup).conj() * (y @ (model.b(fine.tau[0], setup) * x).conj())
        np.testing.assert_allclose(fine.snapshot[0], u, rtol=0, atol=1e-9)


def test_near_ties_are_told_apart_in_double_precision() -> None:
    """A grid so fine that neighbours differ by less than single precision resolves."""
    radar = OfdmRadar(antennas=8, subcarriers=16)
    setup = model.Setup(8, 16)
    rng = np.random.default_rng(7)
    theta = 0.1 + np.linspace(-2e-4, 2e-4, 9)
    tau = 2e-7 + np.linspace(-1e-11, 1e-11, 5)
    for _ in range(30):
        x = (rng.choice([-1, 1], 16) + 1j * rng.choice([-1, 1], 16)) / np.sqrt(2)
        y = model.frame(x, 3.0, np.ones(8, complex), 0.1 + rng.uniform(-1e-4, 1e-4), 2e-7, setup)
        y = (y + 0.1 * (rng.standard_normal((8, 16)) + 1j * rng.standard_normal((8, 16)))).astype(np.complex64)
        want = model.find_peak(
            y.astype(complex), x.astype(np.complex64).astype(complex), np.ones(8, complex), theta, tau, setup
        )
        found = find_peak(y[None], x[None].astype(np.complex64), np.ones(8), theta, tau, radar)
        assert tuple(found.index[0]) == want.index


def valid() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "y": rng.standard_normal((3, 4, 8)) + 1j * rng.standard_normal((3, 4, 8)),
        "x": np.ones((3, 8), complex),
        "kappa": np.ones(4, complex),
        "theta": np.linspace(-0.1, 0.1, 5),
        "tau": np.linspace(1e-7, 2e-7, 6),
    }


def broken(value: Any) -> Any:
    out = np.array(value)
    out.reshape(-1)[-1] = np.nan
    return out


BAD: list[tuple[str, Any]] = [
    ("y", lambda v: v["y"][0]),
    ("y", lambda v: v["y"][:, :3]),
    ("y", lambda v: v["y"][:0]),
    ("y", lambda v: broken(v["y"])),
    ("y", lambda v: v["y"] * np.inf),
    ("y", lambda v: np.full((3, 4, 8), "a")),
    ("x", lambda v: v["x"][:2]),
    ("x", lambda v: v["x"][:, :7]),
    ("x", lambda v: broken(v["x"])),
    ("kappa", lambda v: v["kappa"][:3]),
    ("kappa", lambda v: broken(v["kappa"])),
    ("kappa", lambda v: v["kappa"][None]),
    ("theta", lambda v: np.zeros((2, 5))),
    ("theta", lambda v: np.zeros(0)),
    ("theta", lambda v: broken(v["theta"])),
    ("theta", lambda v: v["theta"] + 0j),
    ("tau", lambda v: np.zeros((3, 5, 1))),
    ("tau", lambda v: np.zeros((3, 0))),
    ("tau", lambda v: broken(v["tau"])),
]


@pytest.mark.parametrize("function", [angle_delay_map, find_peak, max_loss, reconstruction_loss])
@pytest.mark.parametrize(("name", "spoil"), BAD)
def test_bad_input_is_refused_by_name(function: Any, name: str, spoil: Any) -> None:
    values = valid()
    extra = {"noise_to_gain": 1.0} if function is reconstruction_loss else {}
    radar = OfdmRadar(antennas=4, subcarriers=8)
    function(**values, radar=radar, **extra)
    values[name] = spoil(values)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=rf"^{name}: "):
        function(**values, radar=radar, **extra)


def test_more_bad_input() -> None:
    radar = OfdmRadar(antennas=4, subcarriers=8)
    values = valid()
    with pytest.raises(ValueError, match="noise_to_gain"):
        reconstruction_loss(**values, radar=radar, noise_to_gain=-1.0)
    for p_fa in (0.0, 1.0, -1.0, float("nan"), 2):
        with pytest.raises(ValueError, match="p_fa"):
            detection_threshold(p_fa, radar, values["theta"], values["tau"])
    for level in (0.0, -3.0, float("nan")):
        with pytest.raises(ValueError, match="threshold"):
            false_alarm_probability(level, radar, values["theta"], values["tau"])
    with pytest.raises(ValueError, match="learning_rate"):
        Adam(learning_rate=0.0)
    with pytest.raises(ValueError, match="second_moment"):
        Adam(second_moment="both")
    with pytest.raises(ValueError, match="gradient"):
        Adam().step(np.ones(4), np.ones(3))
    with pytest.raises(ValueError, match="antennas"):
        OfdmRadar(antennas=0)
    with pytest.raises(ValueError, match="element_spacing"):
        OfdmRadar(element_spacing=float("nan"))


def test_real_and_integer_frames_are_taken_as_complex() -> None:
    values = valid()
    values["y"] = values["y"].real
    radar = OfdmRadar(antennas=4, subcarriers=8)
    np.testing.assert_allclose(
        angle_delay_map(**values, radar=radar), angle_delay_map(**(values | {"y": values["y"] + 0j}), radar=radar)
    )


def test_arrays_that_are_not_contiguous_or_aligned() -> None:
    values = valid()
    radar = OfdmRadar(antennas=4, subcarriers=8)
    expected = angle_delay_map(**values, radar=radar)
    raw = bytearray(values["y"].nbytes + 1)
    odd = np.frombuffer(raw, np.uint8)[1:].view(np.complex128).reshape(values["y"].shape)
    odd[...] = values["y"]
    assert not odd.flags.aligned
    np.testing.assert_array_equal(angle_delay_map(**(values | {"y": odd}), radar=radar), expected)
    turned = np.asfortranarray(values["y"])
    np.testing.assert_array_equal(angle_delay_map(**(values | {"y": turned}), radar=radar), expected)
