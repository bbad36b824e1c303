"""What an antenna had a moment ago is told also to those who look less often than it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from stream_blocks import Collect, Counter, Scale

from isacblocks.kernels.health import GOOD, HEALTH, RESTARTED, SILENT
from isacblocks.radar import OfdmRadar, Scene
from isacblocks.stream import Flowgraph, codec
from isacblocks.view import radar_desk
from isacblocks.view.client import DeskClient
from isacblocks.view.desk import Desk
from isacblocks.view.radar_desk import RadarDesk

RADAR = OfdmRadar(antennas=4, subcarriers=16)


def until(holds: Callable[[], Any]) -> Any:
    limit = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < limit, "it never came about"
        time.sleep(0.02)
    return found


def note(desk: Desk, *healths: list[int]) -> None:
    desk.noted("kappa", codec.encode({"fields": {"health": np.array(healths, np.uint8)}, "first": 0, "sent": 0.0}))


def test_what_is_over_within_a_message_is_told_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radar_desk, "LATELY", 3600.0)  # whatever the machine does meanwhile
    with RadarDesk(Flowgraph("told"), RADAR, Scene()) as desk:
        note(desk, [RESTARTED] * 4, [GOOD, GOOD, RESTARTED, GOOD])  # all of them begin so, and that is no news
        assert desk.met({"ask": "seen"})["lately"] == {}
        note(desk, [GOOD] * 4, [GOOD, RESTARTED, GOOD, RESTARTED], [GOOD] * 4)
        note(desk, [SILENT, GOOD, GOOD, GOOD], [GOOD] * 4)
        desk.noted("detection", b"")
        assert desk.met({"ask": "seen"})["lately"] == {HEALTH[SILENT]: [0], HEALTH[RESTARTED]: [1, 3]}
        monkeypatch.setattr(radar_desk, "LATELY", 0.0)
        assert desk.met({"ask": "status"})["lately"] == {}


def test_a_tap_sends_all_of_a_message_of_the_fields_that_are_wanted_whole() -> None:
    fg, source, scale = Flowgraph("whole"), Counter(), Scale()
    fg.connect(source, scale, Collect())
    with Desk(fg) as desk, DeskClient(desk.endpoint) as client:
        desk.watch("scaled", scale.ports["scaled"], whole=("value",))
        desk.watch("counted", source.ports["number"])
        source.batch, source.rate = 8, 2000.0
        fg.start()
        until(lambda: len(client.ask(ask="seen")["seen"]) == 2)
        seen = {kind: codec.decode(data)["fields"] for kind, (_, data) in client.ask(ask="seen")["seen"].items()}
        fg.stop()
    assert seen["scaled"]["value"].shape == (8, 3)
    assert seen["counted"]["value"].shape == (1, 3)
