"""What the search for the peak adds to the antennas is known, whatever the array: gains come out right at any SNR."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from isacblocks import OfdmRadar, Scene, find_peak
from isacblocks.kernels.arrays import frozen
from isacblocks.kernels.calibration import online_sums
from isacblocks.kernels.detection import windows
from isacblocks.kernels.impairments import draw_impairments
from isacblocks.kernels.scores import components, score_sums
from isacblocks.kernels.search_gain import search_gain, search_shares
from isacblocks.kernels.simulation import draw_scene, draw_symbols, simulate_frames
from isacblocks.study.tracking import GRID

ELEMENTS = 16
RADAR = OfdmRadar(antennas=ELEMENTS, subcarriers=64)
ROWS = tuple((0.5 * (n % 2), 0.5 * (n // 2), 0.0) for n in range(ELEMENTS))
ARRAYS = {"uniform linear": RADAR, "two rows": OfdmRadar(antennas=ELEMENTS, subcarriers=64, element_positions=ROWS)}


def shares(radar: OfdmRadar, theta: float, kappa: Any) -> Any:
    out = np.empty(radar.antennas)
    search_shares(radar.positions, theta, kappa, out)
    return out


def sums(
    u: Any, energy: Any, theta: Any, extents: tuple[Any, Any], positions: Any, kappa: Any, law: tuple[float, float, float]
) -> tuple[Any, Any, Any]:
    """The tracker's score, the sum of one pass, and P(t = 1 | frame); law: SNR, P(t = 1), N0."""
    score, total, probability = np.zeros(ELEMENTS, complex), np.zeros(ELEMENTS, complex), np.empty(len(u))
    score_sums(u, energy, theta, *extents, positions, kappa, *law, score, np.zeros(1), probability)
    online_sums(u, energy, theta, *extents, positions, kappa, *law, total, probability)
    return score, total, probability


def test_an_element_gains_with_the_square_of_what_it_turns() -> None:
    n = np.arange(ELEMENTS) - (ELEMENTS - 1) / 2
    for theta in (0.0, 0.5, -1.1):
        np.testing.assert_allclose(shares(RADAR, theta, np.ones(ELEMENTS, complex)), n**2 / np.mean(n**2) - 1, atol=1e-12)
    kappa = draw_impairments("table1", ELEMENTS, 1).astype(complex)
    kappa[:4] = 0.0  # silent: the array is what is left
    power = np.abs(kappa) ** 2
    found = shares(RADAR, 0.3, kappa)
    assert power @ found == pytest.approx(0.0, abs=1e-12)
    place = np.arange(ELEMENTS) - (np.arange(ELEMENTS) @ power) / power.sum()
    np.testing.assert_allclose(found, place**2 / (power @ place**2 / power.sum()) - 1, atol=1e-12)
    one = np.zeros(ELEMENTS, complex)
    one[3] = 4.0
    assert not shares(RADAR, 0.1, one).any()


def test_a_narrow_window_is_climbed_in_proportion() -> None:
    assert search_gain(1.0, 7.0) == 0.25
    assert search_gain(0.0, 1.0) == 0.5
    assert search_gain(0.5, 0.2) == pytest.approx(0.2 * 0.375)


def test_what_the_search_adds_is_taken_out_of_scores_and_sums() -> None:
    rng = np.random.default_rng(1)
    kappa, frames = draw_impairments("table1", ELEMENTS, 1).astype(complex), 6
    u = 20 * (rng.standard_normal((frames, ELEMENTS)) + 1j * rng.standard_normal((frames, ELEMENTS)))
    energy, theta, snr, n0 = rng.uniform(40, 80, frames), rng.uniform(-1, 1, frames), 12.0, 0.7
    extents, one_place = (np.full(frames, 0.6), np.full(frames, 5.0)), np.zeros_like(RADAR.positions)
    score, total, probability = sums(u, energy, theta, extents, RADAR.positions, kappa, (snr, 0.4, n0))
    whole = sums(u, energy, theta, extents, one_place, kappa, (snr, 0.4, n0))  # there no angle is better than another
    h = np.array([shares(RADAR, angle, kappa) for angle in theta])
    added = kappa * ((probability * (0.5 - 0.25 * probability) * 0.6)[:, None] * h)
    np.testing.assert_allclose(whole[0] - score, 2 * snr / (1 + snr) / ELEMENTS * added.sum(axis=0), rtol=1e-9)
    np.testing.assert_allclose(whole[1] - total, (n0 * energy[:, None] * added).sum(axis=0), rtol=1e-9)


def peaks_of(radar: OfdmRadar, kappa: Any, scene: Scene, first: int, count: int) -> tuple[Any, Any, Any]:
    truth = draw_scene(1, first, count, radar, scene)
    x = draw_symbols(1, first, count, radar)
    y = simulate_frames(x, truth.gamma, kappa, truth.theta, truth.tau, radar, seed=1, first=first)
    tau = np.linspace(*scene.delay_window(radar), GRID)
    theta = truth.theta_min[:, None] + (truth.theta_max - truth.theta_min)[:, None] * np.linspace(0, 1, GRID)
    peaks = find_peak(y, x, kappa, theta, tau, radar, refine=True)
    sector = {"theta_min": truth.theta_min, "theta_max": truth.theta_max}
    delays = {"tau_min": np.full(count, tau[0]), "tau_max": np.full(count, tau[-1])}
    extents = windows({k: frozen(v) for k, v in (sector | delays).items()}, radar, 0, 0)
    energy = np.sum(np.abs(x) ** 2, axis=1, dtype=float)
    return peaks, energy, (extents[0], extents[1])


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize(("snr_db", "present"), [(10.0, 1.0), (10.0, 0.5), (5.0, 0.5), (10.0, 0.0)])
def test_scores_at_the_right_kappa_have_the_mean_zero(array: str, snr_db: float, present: float) -> None:
    """Along h, and for both calibrators; with nothing taken out, as from an array in one place, it is far from zero."""
    radar = ARRAYS[array]
    kappa = draw_impairments("table1", ELEMENTS, 3).astype(complex)
    scene = Scene(snr_db=snr_db, target_probability=present)
    believed = min(max(present, 0.3), 0.999)
    found, part = np.empty((20, 2, 2)), np.empty((2, ELEMENTS))
    for k in range(len(found)):
        peaks, energy, extents = peaks_of(radar, kappa, scene, 400 * k, 400)
        mean = np.mean([shares(radar, angle, kappa) for angle in peaks.theta], axis=0) * np.abs(kappa)
        for i, positions in enumerate((radar.positions, np.zeros_like(radar.positions))):
            found_in = sums(peaks.snapshot, energy, peaks.theta, extents, positions, kappa, (scene.snr, believed, 1.0))
            for j, vector in enumerate(found_in[:2]):
                components(vector, kappa, part)
                found[k, i, j] = part[0] @ mean  # what is along kappa itself adds nothing
    (corrected, left), error = found.mean(axis=0), found.std(axis=0, ddof=1)[1] / math.sqrt(len(found))
    assert (left > 5 * error).all()
    assert (np.abs(corrected) < 0.3 * left).all(), corrected / left
