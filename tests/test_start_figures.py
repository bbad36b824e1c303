"""What the start promises in figures, at Table I; tools/start_figures.py prints them, with as many seeds as wanted."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest
from conftest import ROOT

from isacblocks import OfdmRadar, Scene, kappa_error
from isacblocks.kernels.impairments import draw_impairments, retract
from isacblocks.kernels.start import Law, expect

pytestmark = pytest.mark.slow
RADAR = OfdmRadar()


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """tools/start_figures.py, for its plain loop of the one pass."""
    spec = importlib.util.spec_from_file_location("start_figures", ROOT / "tools" / "start_figures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_phases_over_the_whole_circle_at_15_db(tool: ModuleType) -> None:
    scene, marks = Scene(snr_db=15), (128, 400, 1000)
    found = np.empty((20, 3, 2))
    for seed in range(20):
        kappa = draw_impairments("full-circle", 64, seed)
        sample = tool.draw(seed, 0, 1000, scene, kappa)
        start = tool.start_on(sample.part(0, 128))
        assert start.stands
        tracker = tool.going_on(start)
        for k, (first, last) in enumerate(((128, 128), (128, 400), (400, 1000))):
            tracker.take(sample.part(first, last))
            error = kappa_error(tracker.estimate, kappa, RADAR)
            found[seed, k] = error.loss_db, error.slope_deg
    loss, slope = found[..., 0], found[..., 1]
    for k, most in enumerate((0.10, 0.035, 0.018)):  # at 128, 400 and 1000 frames
        assert np.median(loss[:, k]) <= most, marks[k]
    assert loss[:, 0].max() < 0.2
    assert np.sqrt(np.mean(slope[:, 2] ** 2)) <= 0.07


def test_what_fails_at_5_db_says_so(tool: ModuleType) -> None:
    for seed in range(4):
        kappa = draw_impairments("full-circle", 64, seed)
        start = tool.start_on(tool.draw(seed, 0, 256, Scene(snr_db=5), kappa))
        assert kappa_error(start.kappa, kappa, RADAR).loss_db > 3
        assert not start.stands


def test_the_likelihood_is_above_the_truth_s_as_it_should_be(tool: ModuleType) -> None:
    scene = Scene(snr_db=15)
    law = Law(scene.snr, scene.target_probability, 1.0)
    gains = []
    for seed in range(8):
        truth = draw_impairments("table1", 64, seed)
        sample = tool.draw(seed, 0, 400, scene, truth)
        kappa = truth
        for _ in range(10):
            kappa = retract(expect(sample, kappa, law).direction(kappa))
        gains.append(expect(sample, kappa, law).log_likelihood - expect(sample, truth, law).log_likelihood)
    assert min(gains) > 40
    assert max(gains) < 85
    assert np.mean(gains) == pytest.approx(63, abs=8)  # half of 2 N - 2; three deviations of a mean of eight
