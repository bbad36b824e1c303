"""The live view's buttons beside what the flowgraph says of itself, without a browser."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("bokeh", reason="bokeh is not installed (extra view)")

from isacblocks.view.controls import Controls
from isacblocks.view.desk import DeskError
from isacblocks.view.plots.style import Style


class Feed:
    """What Controls asks of a feed; `says` is what the flowgraph reports."""

    def __init__(self) -> None:
        self.actions = {"record": ""}
        self.settings: dict[str, Any] = {}
        self.paused = False
        self.asked: list[bool] = []
        self.refuses = False
        self.says = 0.0

    @property
    def status(self) -> Any:
        return SimpleNamespace(blocks={"view_reel": SimpleNamespace(readings={"recording": self.says, "recorded": 3.0})})

    def find(self, _setting: str) -> None:
        return None

    def request(self, **what: Any) -> dict[str, Any]:
        if self.refuses:
            raise DeskError("cannot be recorded to")
        self.asked.append(what["arguments"].get("active", what["action"] == "pause"))
        return {"result": "frames.isac"}


def test_a_recording_that_was_asked_for_is_not_ended_by_a_report_from_before() -> None:
    feed = Feed()
    controls: Any = Controls(feed, Style(False))  # type: ignore[arg-type]
    controls.record.active = True
    for _ in range(3):  # the flowgraph has not heard yet
        controls.update()
    assert (feed.asked, controls.record.active) == ([True], True)
    feed.says = 1.0
    controls.update()
    assert controls.record.label == "Stop recording (3 frames, 0 lost)"
    controls.record.active = False
    controls.update()
    feed.says = 0.0
    controls.update()
    assert (feed.asked, controls.record.active, controls.record.label) == ([True, False], False, "Record frames")


def test_what_another_viewer_began_is_shown_and_asked_of_nobody() -> None:
    feed = Feed()
    controls: Any = Controls(feed, Style(False))  # type: ignore[arg-type]
    feed.says = 1.0
    controls.update()
    assert (feed.asked, controls.record.active) == ([], True)
    feed.says = 0.0
    controls.update()
    assert (feed.asked, controls.record.active) == ([], False)


def test_a_recording_that_cannot_be_made_leaves_the_button_as_it_was() -> None:
    feed = Feed()
    controls: Any = Controls(feed, Style(False))  # type: ignore[arg-type]
    feed.refuses = True
    controls.record.active = True
    controls.update()
    assert (feed.asked, controls.record.active) == ([], False)


def test_a_pause_that_was_asked_for_is_not_undone_by_a_report_from_before() -> None:
    feed = Feed()
    controls: Any = Controls(feed, Style(False))  # type: ignore[arg-type]
    controls.pause.active = True
    for _ in range(3):
        controls.update()
    assert (feed.asked, controls.pause.active) == ([True], True)
    feed.paused = True
    controls.update()
    controls.pause.active = False
    controls.update()
    feed.paused = False
    controls.update()
    assert (feed.asked, controls.pause.active) == ([True, False], False)
