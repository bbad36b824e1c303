"""The simulated channel's knobs: what is turned while it runs holds from the next message on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from isacblocks import OfdmRadar, Scene
from isacblocks.blocks import ImpairedChannel, OfdmSource
from isacblocks.kernels.simulation import draw_scene
from isacblocks.stream import jig

RADAR = OfdmRadar(antennas=8, subcarriers=32)


def channel(**options: Any) -> ImpairedChannel:
    made = ImpairedChannel(RADAR, seed=4, **options)
    made.start()
    return made


def test_a_kick_turns_one_phase_for_good() -> None:
    block = channel()
    before = block.impairments_at(0, 3).copy()
    block.kick(2, 90.0)
    block.kick(2, -30.0)
    block.kick(5, 10.0)
    turned = np.angle(block.impairments_at(3, 3) / before, deg=True)
    expected = np.zeros(8)
    expected[2], expected[5] = 60.0, 10.0
    np.testing.assert_allclose(turned, np.broadcast_to(expected, (3, 8)), atol=1e-9)


def test_a_muted_antenna_receives_no_echo_until_it_is_heard_again() -> None:
    block = channel()
    before = block.impairments_at(0, 2).copy()
    block.mute(3)
    block.mute(6)
    quiet = block.impairments_at(2, 2)
    assert set(np.flatnonzero(quiet[0] == 0)) == {3, 6}
    block.mute(3, silent=False)
    block.mute(6, silent=False)
    np.testing.assert_array_equal(block.impairments_at(4, 2), before)


def test_drift_that_ends_leaves_the_phases_where_they_are() -> None:
    block = channel(drift=100.0)
    walked = block.impairments_at(0, 50)[-1].copy()
    assert np.abs(np.angle(walked / block.kappa)).max() > 0.05
    block.drift = 0.0
    np.testing.assert_allclose(block.impairments_at(50, 4), np.broadcast_to(walked, (4, 8)), atol=1e-12)
    block.drift = 100.0
    again = channel(drift=100.0)
    again.impairments_at(0, 50)
    np.testing.assert_allclose(block.impairments_at(54, 10)[0], again.impairments_at(54, 10)[0], atol=1e-12)


def test_a_new_snr_is_that_of_a_scene_that_has_it() -> None:
    expected = draw_scene(4, 0, 64, RADAR, Scene(snr_db=3.0)).gamma
    before = draw_scene(4, 0, 64, RADAR, Scene()).gamma
    present = expected != 0
    np.testing.assert_allclose(np.abs(expected[present] / before[present]), 10 ** (-12 / 20), rtol=1e-9)
    symbols = jig.run(OfdmSource(RADAR, seed=4), items=64)[0]["symbols"]
    block = ImpairedChannel(RADAR, seed=4)
    block.snr_db = 3.0
    truth = jig.run(block, {"symbols": symbols})[0]["truth"]
    np.testing.assert_array_equal(truth["gamma"], expected)
    with pytest.raises(ValueError, match="snr_db"):
        block.snr_db = 100.0


@pytest.mark.parametrize(
    "wrong", [lambda b: b.kick(8, 1.0), lambda b: b.kick(-1, 1.0), lambda b: b.kick(0, float("nan")), lambda b: b.mute(8)]
)
def test_what_cannot_be_is_refused(wrong: Callable[[ImpairedChannel], None]) -> None:
    with pytest.raises(ValueError, match="expected an antenna"):
        wrong(channel())
