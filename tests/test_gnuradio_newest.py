"""A source that its sender never waits for: what is left out is counted to the item, and what it told is not forgotten."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from test_gnuradio_blocks import LONG, Started, context, endpoint, message, peer

from isacblocks.frontends.gnuradio.assembly import Assembly
from isacblocks.frontends.gnuradio.wire import Tag
from isacblocks.frontends.samples import GAP, RESTART

__all__ = ["context", "endpoint"]  # fixtures

_pieces = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(0, 9), st.booleans(), st.integers(0, 3)), min_size=1, max_size=14
)


def taken(assembly: Assembly, most: int) -> list[dict[str, Any]]:
    """At most so many items, each by itself."""
    found = []
    for _ in range(min(most, assembly.ready())):
        out = np.empty(assembly.group, np.int64)
        found.append({name: array[0] for name, array in assembly.take(1, out).items()} | {"rows": out.tolist()})
    return found


@given(_pieces, st.integers(1, 4), st.integers(1, 5))
def test_what_is_left_out_is_missing_from_what_comes_and_from_nothing_else(
    pieces: list[tuple[int, int, bool, int]], group: int, newest: int
) -> None:
    """Beside one that leaves nothing out: the same items but for some, which the next one's `gap` and `lost` tell."""
    whole, short = Assembly(group, 1), Assembly(group, 1)
    number, gain, came = 0, 0.0, []
    for jump, count, tagged, take in pieces:
        number = 0 if jump < 0 else number + jump
        gain += tagged
        tags = [Tag(number + count // 2, "gain", gain)] if tagged and count else []
        for one in (whole, short):
            one.feed(np.arange(number, number + count), number, tags)
        number += count
        short.shed(newest)
        assert short.ready() <= newest
        came += taken(short, take)
    waiting = short.ready()
    came += taken(short, waiting)
    every = taken(whole, whole.ready())
    assert short.received == whole.received
    assert short.left_out == group * (len(every) - len(came))
    assert (short.cut, short.lost, short.gaps, short.restarts) == (whole.cut, whole.lost, whole.gaps, whole.restarts)
    at = 0
    for item in came:
        begin = at
        same = ("rows", "start", "changed", "seconds")
        while not (
            all(every[at][name] == item[name] for name in same)
            and every[at]["gain"].tobytes() == item["gain"].tobytes()
            and item["lost"] == group * (at - begin) + sum(one["lost"] for one in every[begin : at + 1])
            and item["gap"] == max([GAP if at > begin else 0] + [one["gap"] for one in every[begin : at + 1]])
        ):
            at += 1
            assert at < len(every), f"{item} is not among what came"
        at += 1


def test_a_sender_does_not_wait_and_every_item_is_accounted_for(context: zmq.Context[Any], endpoint: str) -> None:
    """Nobody takes anything while far more is sent than the queues hold; then what is there are the newest."""
    count, each, newest = 3000, 4, 10
    with Started(endpoint, pattern="pull", tags=True, newest=newest, high_water=2) as source:
        block = source.block
        socket = peer(context, "pull", endpoint)
        socket.sndhwm = 2
        assert block.produce(0, 1) is not None
        socket.send(message(0, 1))
        early = source.take(1)
        for k in range(count):
            socket.send(message(1 + each * k, each))
        until = time.monotonic() + LONG
        while block._assembly.received < 1 + count * each:
            assert time.monotonic() < until
            time.sleep(0.01)
        late = source.take(newest)
    total = 1 + count * each
    assert early["start"].tolist() == [0]
    assert late["start"].tolist() == list(range(total - newest, total))
    np.testing.assert_array_equal(late["value"].real, late["start"])
    assert (late["gap"].tolist(), late["lost"].tolist()) == ([GAP] + [0] * 9, [total - newest - 1] + [0] * 9)
    assert (block.received, block.left_out, block.lost, block.bad) == (total, total - newest - 1, 0, {})


def test_a_sender_that_begins_anew_is_seen_though_its_first_items_are_left_out(
    context: zmq.Context[Any], endpoint: str
) -> None:
    with Started(endpoint, pattern="pull", tags=True, newest=3) as source:
        socket = peer(context, "pull", endpoint)
        socket.send(message(0, 2, (Tag(0, "rx_freq", 1e9),)))
        assert source.take(2)["frequency"].tolist() == [1e9, 1e9]
        socket.send(message(0, 50))
        socket.send(message(50, 50))
        until = time.monotonic() + LONG
        while source.block._assembly.received < 102:
            assert time.monotonic() < until
            time.sleep(0.01)
        late = source.take(3)
    assert late["start"].tolist() == [97, 98, 99]
    assert late["gap"].tolist() == [RESTART, 0, 0]
    assert np.isnan(late["frequency"]).all()  # what was told before the new start does not hold
    assert source.block.restarts == 1


def test_what_the_thread_cannot_do_ends_the_source(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the thread is not silence."""
    with Started(endpoint, pattern="pull", newest=1) as source:

        def fail(_: object) -> None:
            raise zmq.ZMQError(zmq.ETERM)

        monkeypatch.setattr(source.block, "_receive", fail)
        until = time.monotonic() + LONG
        with pytest.raises(zmq.ZMQError):  # noqa: PT012
            while time.monotonic() < until:
                source.block.produce(0, 1)
