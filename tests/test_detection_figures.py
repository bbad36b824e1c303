"""tools/detection_figures.py: its frames are those of the detector, and its tables can be read."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import numpy as np
import pytest
from conftest import ROOT
from programs import python

from isacblocks import OfdmRadar, Scene, find_peak, simulate_frames

TOOL = ROOT / "tools" / "detection_figures.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("detection_figures", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["detection_figures"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_compressed_frames_have_the_peaks_of_whole_ones(tool: ModuleType) -> None:
    radar, scene = OfdmRadar(), Scene()
    space = tool.Compression.of(radar, scene)
    assert 22 <= space.basis.shape[1] <= 32
    np.testing.assert_allclose(space.basis.conj().T @ space.basis, np.eye(space.basis.shape[1]), atol=1e-12)
    sector = next(iter(tool.sectors(1, True, 3, space, scene)))
    frames, kappa = tool.BATCH, sector.kappa["true kappa"]
    x = np.ones((frames, radar.subcarriers), np.complex64)
    gamma = np.sqrt(sector.rho / (radar.antennas * radar.subcarriers))
    y = simulate_frames(x, gamma, kappa, sector.target[:, 0], sector.target[:, 1], radar, seed=4)
    sector.samples = (y @ space.basis.conj()).astype(np.complex64)
    level, place = tool.find(sector, kappa, space, 0.0)
    for row, refine in enumerate((False, True)):
        peaks = find_peak(y, x, kappa, sector.theta, space.tau, radar, refine)
        # the compressed search does not settle ties: 1e-6 of T
        np.testing.assert_allclose(level[row], peaks.statistic / (radar.antennas * radar.subcarriers), rtol=2e-5)
        np.testing.assert_allclose(place[row, :, 0], peaks.theta, atol=1e-6)
        np.testing.assert_allclose(place[row, :, 1], peaks.tau, atol=1e-13)


def test_intervals_and_ratios(tool: ModuleType) -> None:
    assert tool.interval(0, 100) == (0.0, pytest.approx(1 - 0.025**0.01))
    assert tool.interval(100, 100) == (pytest.approx(0.025**0.01), 1.0)
    low, high = tool.interval(1000, 100_000)
    assert (low, high) == (pytest.approx(0.0094, abs=1e-4), pytest.approx(0.0106, abs=1e-4))
    rng = np.random.default_rng(1)
    b = rng.exponential(2.0, (500, 400))
    a = b * rng.chisquare(2, b.shape) / 2
    found = np.array([tool.ratio_of_roots(*pair) for pair in zip(a, b, strict=True)])
    assert found[:, 0].mean() == pytest.approx(1.0, abs=0.01)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.1)


def test_the_tables() -> None:
    done = python(TOOL, "--frames", 960).stdout
    rows = re.findall(
        r"^(true|kappa|random).* (known|estimated) +(grid|refined) +(0\.1|0\.01|0\.001) +(\d+) +([0-9.]+)", done, re.M
    )
    assert len(rows) == 3 * 2 * 2 * 3
    for *_, nominal, count, ratio in rows:
        assert float(ratio) == pytest.approx(int(count) / 960 / float(nominal), abs=6e-4)
    assert len(re.findall(r"^(?:true kappa|kappa = 1) +(?:grid|refined) +0\.\d+ +0\.\d+ \[", done, re.M)) == 12
    assert len(re.findall(r"^ +(?:grid|refined) .* m .* \+- ", done, re.M)) == 6


def test_nonsense_is_refused() -> None:
    done = python(TOOL, "--frames", 0, status=2)
    assert "--frames: expected at least 1" in done.stderr
