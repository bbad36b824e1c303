"""What goes to those who look on: made once for all, only what is in sight and new, and nothing more to who has stalled."""

from __future__ import annotations

import json
import logging
from typing import Any, cast

import pytest

from isacblocks.stream import Status
from isacblocks.view.feed import Feed
from isacblocks.view.hub import Drawn, Hub
from isacblocks.view.plots.content import Content


class Known:
    """What a hub asks of a feed."""

    gone = paused = False
    came = 7.0
    status = Status("running", 2.0, {})

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, float]] = {"kappa": {"sent": 5.0}}
        self.watched = False

    def watch(self, watched: bool) -> None:
        self.watched = watched


class Painted:
    """A picture whose content is how often it was asked for."""

    def __init__(self, name: str, every: int = 1) -> None:
        self.name, self.figures, self.every, self.asked = name, (name,), every, 0

    def update(self, feed: Feed) -> Content | None:
        self.asked += 1
        return Content({self.name: {"asked": [self.asked]}}, {self.name: "title"})


class Broken(Painted):
    def update(self, feed: Feed) -> Content | None:
        raise ValueError("no colours left")


def names(update: dict[str, Any]) -> list[str]:
    return [name for content in update["contents"] for name in content["data"]]


def test_each_is_sent_what_it_sees_and_has_not_got() -> None:
    feed, quick, slow, hidden = Known(), Painted("quick"), Painted("slow", every=3), Painted("hidden")
    hub = Hub(cast(Feed, feed), [quick, slow, hidden], lambda: 9.0)
    got: list[list[dict[str, Any]]] = [[], []]
    one, two = (hub.join(lambda text, k=k: got[k].append(json.loads(text))) for k in range(2))  # type: ignore[misc]
    hub.publish()
    assert (got, quick.asked, feed.watched) == ([[], []], 0, False)  # nobody has said yet what is in sight
    hub.hear(one, Drawn(0, ["quick", "slow"]))
    hub.hear(two, Drawn(0, ["quick"]))
    assert feed.watched
    for number in range(1, 5):
        hub.publish()
        hub.hear(one, Drawn(number, ["quick", "slow"]))
        hub.hear(two, Drawn(number, ["quick"]))
    assert [names(update) for update in got[0]] == [["quick", "slow"], ["quick"], ["quick"], ["quick", "slow"]]
    assert [names(update) for update in got[1]] == [["quick"]] * 4
    assert (quick.asked, slow.asked, hidden.asked) == (4, 2, 0)  # however many look on
    last = got[0][-1]
    assert [last[key] for key in ("number", "phase", "sent", "came", "made")] == [4, "running", 5.0, 7.0, 9.0]
    hub.hear(two, Drawn(4, ["quick", "slow"]))  # scrolled to: what was made before is sent at once
    hub.publish()
    assert names(got[1][-1]) == ["quick", "slow"]
    hub.leave(one)
    hub.publish()
    assert len(got[0]) == 5


def test_who_has_stalled_is_sent_no_more_and_then_nobody_asks() -> None:
    feed, picture = Known(), Painted("picture")
    hub = Hub(cast(Feed, feed), [picture], lambda: 0.0)
    got: list[bytes] = []
    watcher = hub.join(got.append)
    hub.hear(watcher, Drawn(0, ["picture"]))
    for _ in range(50):
        hub.publish()
    assert (len(got), picture.asked, feed.watched) == (3, 3, False)
    hub.hear(watcher, Drawn(3, ["picture"]))
    assert feed.watched
    hub.publish()
    assert len(got) == 4
    hub.hear(watcher, Drawn(10_000, ["picture"]))  # whatever it says, it is not ahead
    for _ in range(50):
        hub.publish()
    assert len(got) == 7


def test_a_picture_that_fails_leaves_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub(cast(Feed, Known()), [Broken("broken"), Painted("whole")], lambda: 0.0)
    got: list[dict[str, Any]] = []
    watcher = hub.join(lambda text: got.append(json.loads(text)))
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            hub.hear(watcher, Drawn(number, ["broken", "whole"]))
            hub.publish()
    assert [names(update) for update in got] == [["whole"]] * 3
    assert len(caplog.records) == 1
    assert caplog.records[0].message.startswith("the picture Broken fails, said once: no colours left; it stays as it is")
