"""The desk of a running flowgraph: what it tells, what it lets be changed, and that nobody waits for who looks on."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from stream_blocks import Collect, Counter, Scale

from isacblocks.stream import Flowgraph, codec
from isacblocks.stream.pace import Pace
from isacblocks.view.client import AwayError, DeskClient, running_desks, status_of
from isacblocks.view.desk import Desk, DeskError


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < limit, "it never came about"
        time.sleep(0.02)


def test_what_is_shown_is_the_newest_and_costs_the_stream_nothing(placement: str) -> None:
    fg, source, scale, sink = Flowgraph("watched"), Counter(), Scale(), Collect()
    fg.connect(source, scale, sink)
    with Desk(fg, {"unit": "m"}) as desk, DeskClient(desk.endpoint) as client:
        desk.watch("scaled", scale.ports["scaled"], newest=2)
        assert client.ask(ask="status")["status"]["phase"] == "not started"
        source.batch, source.rate = 8, 20_000.0
        fg.start(40_000, placement=placement)
        until(lambda: "scaled" in client.ask(ask="seen")["seen"])
        answer = client.ask(ask="seen")
        _, data = answer["seen"]["scaled"]
        message = codec.decode(data)
        values = message["fields"]["value"]
        assert values.shape == (2, 3)
        np.testing.assert_array_equal(values[:, 0], scale.factor * (message["first"] + np.arange(2)))
        until(lambda: fg.wait(0))
        status = status_of(client.ask(ask="status"))
        assert status.phase == "finished"
    edges = {edge.receiver: edge for edge in fg.status.edges}
    assert edges["collect.number"].committed == 40_000
    watched = edges["view_scaled.items"]
    assert watched.balanced
    assert 0 < watched.committed < 20_000  # it rests most of the time
    assert watched.lost > 20_000


def test_while_nobody_looks_on_a_message_a_second_is_shown_and_more_to_who_does() -> None:
    fg, source, scale = Flowgraph("alone"), Counter(), Scale()
    fg.connect(source, scale, Collect())
    with Desk(fg) as desk, DeskClient(desk.endpoint) as client:
        desk.watch("scaled", scale.ports["scaled"])
        source.batch, source.rate = 8, 4000.0

        def shown() -> tuple[int, float]:
            status = fg.status.blocks["view_scaled"]
            return status.messages, status.wall_seconds

        def reaches(low: float, high: float) -> Callable[[], bool]:
            """Whether between low and high messages a second were shown for a second and a half."""
            seen = [shown()]

            def found() -> bool:
                seen.append(shown())
                while seen[-1][1] - seen[1][1] > 1.5:
                    del seen[0]
                took = seen[-1][1] - seen[0][1]
                return took > 1.5 and low < (seen[-1][0] - seen[0][0]) / took < high

            return found

        fg.start(placement="processes")
        until(reaches(0.0, 2.0))
        often = reaches(4.0, 13.0)
        until(lambda: client.ask(ask="seen")["name"] == "alone" and often())
        until(reaches(0.0, 2.0))
        fg.stop()


def test_settings_and_actions_by_name() -> None:
    fg, source, scale = Flowgraph("turned"), Counter(), Scale()
    fg.connect(source, scale, Collect())
    with Desk(fg) as desk, DeskClient(desk.endpoint) as client:
        desk.actions["add"] = lambda a, b: a + b
        source.rate = 2000.0
        fg.start()
        answer = client.ask(ask="status")
        listed = {f"{s['block']}.{s['setting']}": s for s in answer["settings"]}
        assert listed["counter.rate"]["unit"] == "items/s"
        assert {(e["sender"], e["receiver"]) for e in answer["edges"]} == {
            ("counter.number", "scale.number"),
            ("scale.scaled", "collect.number"),
        }
        client.set("scale", "factor", 5.0)
        assert scale.factor == 5.0 or scale.remote is not None
        assert client.do("add", a=1, b=2) == 3
        until(lambda: status_of(client.ask(ask="status")).blocks["scale"].items_in > 0)
        client.do("pause")
        until(lambda: client.ask(ask="status")["paused"])
        time.sleep(0.5)  # what is on its way arrives
        before = status_of(client.ask(ask="status")).blocks["counter"].items_out
        time.sleep(0.5)
        assert status_of(client.ask(ask="status")).blocks["counter"].items_out == before
        client.do("resume")
        until(lambda: status_of(client.ask(ask="status")).blocks["counter"].items_out > before)
        for wrong, match in (
            ({"ask": "set", "block": "scale", "setting": "nothing", "value": 1}, "no such setting"),
            ({"ask": "set", "block": "counter", "setting": "rate", "value": -1.0}, "expected a value"),
            ({"ask": "do", "action": "explode"}, "no such action"),
            ({"ask": "do", "action": "add", "arguments": {"a": 1}}, "add: expected a=VALUE b=VALUE, got a=1"),
            ({"ask": "dance"}, "expected one of"),
        ):
            with pytest.raises(DeskError, match=match):
                client.ask(**wrong)
        client.do("stop")
        until(lambda: fg.wait(0))


def test_the_desk_is_for_its_own_user_and_goes_with_its_program() -> None:
    fg = Flowgraph("private")
    fg.connect(Counter(), Collect())
    with Desk(fg) as desk:
        assert stat.S_IMODE(desk.directory.stat().st_mode) == 0o700
        assert desk.endpoint in running_desks()
        endpoint = desk.endpoint
    assert not desk.directory.exists()
    assert endpoint not in running_desks()
    with DeskClient(endpoint, patience=100) as client, pytest.raises(AwayError, match="no answer"):
        client.ask(ask="status")
    with pytest.raises(DeskError, match="expected the endpoint"):
        DeskClient("tcp://127.0.0.1:1")


def test_broken_requests_are_answered() -> None:
    import zmq

    fg = Flowgraph("asked")
    fg.connect(Counter(), Collect())
    with Desk(fg) as desk, zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.connect(desk.endpoint)
        for broken in (b"", b"\xc1", b"\x01", b"\x80", b"\xff" * 1000):
            socket.send(broken)
            assert socket.poll(10_000)
            assert codec.decode(socket.recv())["ok"] is False


def test_a_pace_holds_its_rate_and_makes_up_for_moments_only() -> None:
    pace, made = Pace(), 0
    for step in range(2001):  # looked at every 5 ms, ten seconds long
        while pace.allows(1000.0, 0.005 * step):
            pace.spend(16)
            made += 16
    assert made == pytest.approx(10_000, abs=20)
    assert pace.allows(1000.0, 100.0)  # 90 s later
    made = 0
    while pace.allows(1000.0, 100.0):
        pace.spend(16)
        made += 16
    assert made <= 250 + 16
    assert all(pace.allows(float("inf"), 0.0) for _ in range(5))


def test_a_source_keeps_its_rate(tmp_path: Path) -> None:
    fg, source, sink = Flowgraph("paced"), Counter(), Collect()
    source.batch, source.rate = 10, 1000.0
    fg.connect(source, sink)
    began = time.monotonic()
    fg.run(1000)
    assert time.monotonic() - began >= 0.9  # the first message is free
