"""GnuRadioSource and GnuRadioSink against bare sockets that say what GNU Radio says, and against each other."""

from __future__ import annotations

import ast
import itertools
import logging
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from stream_blocks import Counter
from test_gnuradio_wire import VALUES, captured

from isacblocks.blocks.probe import Probe
from isacblocks.frontends.gnuradio import GnuRadioMessages, GnuRadioSink, GnuRadioSource, pmt, wire
from isacblocks.frontends.gnuradio.assembly import Assembly
from isacblocks.frontends.gnuradio.line import endpoints
from isacblocks.frontends.gnuradio.pmt import Pair, UInt64
from isacblocks.frontends.gnuradio.wire import Tag
from isacblocks.frontends.samples import IQ, META, RESTART
from isacblocks.stream import Field, Flowgraph, Out, Record, Source, WiringError
from isacblocks.stream.spec import Items

LONG = 60.0  # seconds: against hanging only
KINDS = {"sub": zmq.XPUB, "pull": zmq.PUSH, "req": zmq.REP, "pub": zmq.SUB, "push": zmq.PULL, "rep": zmq.REQ}

SOCKETS: list[Any] = []  # of the running test, to be closed behind it


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    made: zmq.Context[Any] = zmq.Context()
    yield made
    while SOCKETS:
        SOCKETS.pop().close(0)
    made.term()


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/radio"


def peer(context: zmq.Context[Any], pattern: str, endpoint: str, *, bind: bool = True) -> Any:
    """A socket as GNU Radio's block at the other end of `pattern` has it."""
    socket = context.socket(KINDS[pattern])
    SOCKETS.append(socket)
    socket.linger = 0
    socket.rcvtimeo = socket.sndtimeo = int(1000 * LONG)
    if pattern == "pub":
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    (socket.bind if bind else socket.connect)(endpoint)
    return socket


class Samples(Source):
    """Given complex numbers, once."""

    samples = Out(Record("sample", (Field("value", "complex64"),)))

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, np.complex64)

    def produce(self, first: int, count: int) -> Items | None:
        part = self.values[first : first + count]
        return self.samples.items(value=part) if len(part) else None


class Started:
    """A source without a flowgraph, as a worker would run it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.block = GnuRadioSource(*args, **kwargs)
        self.block.start()

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.block.finish()

    def take(self, count: int, most: int = 1000) -> dict[str, np.ndarray[Any, Any]]:
        """At least `count` items, however many calls it takes."""
        until = time.monotonic() + LONG
        parts: list[Items] = []
        while sum(map(len, parts)) < count:
            assert time.monotonic() < until, f"{sum(map(len, parts))} of {count} items came"
            items = self.block.produce(0, most)
            assert items is not None
            if len(items):
                parts.append(items)
        return {name: np.concatenate([one.fields[name] for one in parts]) for name in parts[0].fields}

    def said_to(self, socket: Any, count: int = 10) -> bytes:
        """What the source says, asked for `count` items: a subscription, a request."""
        until = time.monotonic() + LONG
        while not socket.poll(20):
            assert time.monotonic() < until
            assert not self.block.produce(0, count)
        return bytes(socket.recv())

    def look(self, done: Callable[[], bool]) -> None:
        """Produce nothing until `done`."""
        until = time.monotonic() + LONG
        while not done():
            assert time.monotonic() < until
            items = self.block.produce(0, 10)
            assert items is None or not len(items)


# The messages captured from GNU Radio


@pytest.mark.parametrize("bind", [False, True])
@pytest.mark.parametrize(
    ("name", "pattern", "options", "tagged"),
    [
        ("push_notags", "pull", {}, False),
        ("push_tags_none", "pull", {"tags": True}, False),
        ("push_tags_two", "pull", {"tags": True}, True),
        ("pub_notags", "sub", {}, False),
        ("pub_key", "sub", {"key": "rxA"}, False),
        ("pub_key_tags", "sub", {"key": "rxA", "tags": True}, True),
        ("rep_req2", "req", {"tags": True}, False),
        ("rep_notags_req2", "req", {}, False),
    ],
)
def test_what_gnu_radio_sent(
    context: zmq.Context[Any], endpoint: str, name: str, pattern: str, options: dict[str, Any], tagged: bool, bind: bool
) -> None:
    parts = [captured(f"{name}.part{k}") for k in range(1 + ("key" in options))]
    with Started(endpoint, pattern=pattern, bind=bind, **options) as source:
        socket = peer(context, pattern, endpoint, bind=not bind)
        if pattern == "sub":
            assert source.said_to(socket) == b"\1" + options.get("key", "").encode()
        if pattern == "req":
            assert struct.unpack("<I", source.said_to(socket, 2)) == (2,)
        socket.send_multipart(parts)
        count = 2 if pattern == "req" else 4
        came = source.take(count)
        np.testing.assert_array_equal(came["value"], VALUES[:count])
        np.testing.assert_array_equal(came["start"], range(count))
        assert source.block.ignored == (2 if tagged else 1 if name == "rep_req2" else 0)  # "freq" and "n" tell nothing to us


@pytest.mark.parametrize("tags", [False, True])
@pytest.mark.parametrize(("pattern", "key"), [("push", ""), ("pub", ""), ("pub", "rxA"), ("rep", "")])
def test_what_is_sent_is_what_gnu_radio_would_send(
    context: zmq.Context[Any], endpoint: str, pattern: str, key: str, tags: bool
) -> None:
    """Byte for byte the captured messages, those without tags of their own."""
    fg = Flowgraph()
    source = Samples(VALUES)
    sink = GnuRadioSink(endpoint, pattern=pattern, key=key, tags=tags)
    fg.connect(source, sink)
    with fg:
        fg.start()
        socket = peer(context, pattern, endpoint, bind=False)
        if pattern == "rep":
            socket.send(struct.pack("<I", 2))
            first = socket.recv_multipart()
            socket.send(captured("req_request.part0"))
            second = socket.recv_multipart()
            head = wire.pack(0) if tags else b""
            assert first == [head + captured("rep_notags_req2.part0")]
            assert second == [(wire.pack(2) if tags else b"") + captured("rep_notags_req2.next0.part0")]
        else:
            came = socket.recv_multipart()
            if key:
                assert came.pop(0) == captured("pub_key.part0") == key.encode()
            assert came == [captured("push_tags_none.part0" if tags else "push_notags.part0")]
        assert fg.wait(LONG)
    assert sink.sent == 4


def test_tags_are_sent_as_gnu_radio_sends_them(context: zmq.Context[Any], endpoint: str) -> None:
    fg = Flowgraph()
    fg.connect(Samples(VALUES), GnuRadioSink(endpoint, tags=True, fields=("value",)))
    with fg:
        fg.start()
        data = peer(context, "push", endpoint, bind=False).recv()
        assert fg.wait(LONG)
    offset, tags, position = wire.unpack(data)
    assert (offset, data[position:]) == (0, VALUES.tobytes())
    assert tags == [Tag(k, "value", complex(VALUES[k]), "isacblocks") for k in range(4)]


# Loss, restarts, tags


def message(first: int, count: int, tags: tuple[Tag, ...] = ()) -> bytes:
    """Items that hold their own numbers."""
    return wire.pack(first, tags) + np.arange(first, first + count).astype(np.complex64).tobytes()


def test_a_jump_of_the_numbers_is_a_counted_gap(context: zmq.Context[Any], endpoint: str) -> None:
    with Started(endpoint, pattern="pull", tags=True, group=4) as source:
        socket = peer(context, "pull", endpoint)
        for first, count in ((100, 10), (110, 4), (120, 3), (200, 8), (0, 9)):  # the sender starts again at the end
            socket.send(message(first, count))
        came = source.take(7)
        np.testing.assert_array_equal(came["start"], [100, 104, 108, 200, 204, 0, 4])
        np.testing.assert_array_equal(came["value"].real, came["start"][:, None] + np.arange(4))
        np.testing.assert_array_equal(came["gap"], [0, 0, 0, 1, 0, 2, 0])
        # 112 and 113 are cut, 114 to 119 lost, 120 to 122 cut, 123 to 199 lost
        np.testing.assert_array_equal(came["lost"], [0, 0, 0, 88, 0, 0, 0])
        block = source.block
        assert (block.received, block.lost, block.cut, block.gaps, block.restarts) == (34, 83, 5, 2, 1)


def test_the_first_message_of_a_running_sender_is_no_gap(context: zmq.Context[Any], endpoint: str) -> None:
    with Started(endpoint, pattern="pull", tags=True) as source:
        peer(context, "pull", endpoint).send(message(10**12, 2))
        came = source.take(2)
        np.testing.assert_array_equal(came["start"], [10**12, 10**12 + 1])
        assert not came["gap"].any()


@pytest.mark.parametrize("newest", [0, 100])
def test_without_tags_a_sender_that_has_gone_has_begun_anew(context: zmq.Context[Any], endpoint: str, newest: int) -> None:
    """Its numbers would say so, and there are none; what it had sent before it went is still its own."""
    with Started(endpoint, pattern="pull", newest=newest) as source:
        first = peer(context, "pull", endpoint)
        first.send(VALUES.tobytes())
        assert source.take(4)["gap"].sum() == 0
        first.send(VALUES[:3].tobytes())
        first.close(int(1000 * LONG))
        assert source.take(3)["gap"].sum() == 0
        source.look(lambda: source.block.peers == 0)
        peer(context, "pull", endpoint).send(VALUES.tobytes())
        came = source.take(4)
    assert came["gap"].tolist() == [RESTART, 0, 0, 0]
    assert came["start"].tolist() == [7, 8, 9, 10]
    assert (source.block.restarts, source.block.gaps, source.block.bad) == (1, 0, {})


def test_requests_without_tags_see_a_sender_that_has_gone(context: zmq.Context[Any], endpoint: str) -> None:
    with Started(endpoint, pattern="req") as source:
        for gap in (0, RESTART):
            sender = peer(context, "req", endpoint)
            threading.Thread(target=lambda one: (one.recv(), one.send(VALUES.tobytes())), args=(sender,)).start()
            assert source.take(4)["gap"].tolist() == [gap, 0, 0, 0]
            assert source.said_to(sender)
            sender.close()
            source.look(lambda: source.block.peers == 0)


def test_tags_tell_time_rate_frequency_and_gain(context: zmq.Context[Any], endpoint: str) -> None:
    time_tag = Tag(8, "rx_time", (UInt64(1700000000), 0.75), "usrp")
    with Started(endpoint, pattern="pull", tags=True, group=4, axis=1, shape=(2,), field="iq") as source:
        assert source.block.samples.layout.record == IQ.name
        socket = peer(context, "pull", endpoint)
        rows = np.arange(48).reshape(24, 2).astype(np.complex64)
        told = (time_tag, Tag(8, "rx_rate", 16.0), Tag(8, "rx_freq", 2.4e9), Tag(8, "gain", 30.0), Tag(8, "other", 1))
        later = (Tag(17, "gain", np.array([30.0, 20.0])), Tag(20, "rx_freq", 2.5e9), Tag(99, "rx_freq", 1.0))
        socket.send(wire.pack(0, told) + rows[:10].tobytes())
        socket.send(wire.pack(10, later) + rows[10:].tobytes())
        came = source.take(6)
        np.testing.assert_array_equal(came["iq"], rows.reshape(6, 4, 2).transpose(0, 2, 1))
        np.testing.assert_array_equal(came["seconds"], [0, 0, 1700000000, 1700000001, 1700000001, 1700000001])
        np.testing.assert_array_equal(came["fraction"], [np.nan, np.nan, 0.75, 0.0, 0.25, 0.5])
        np.testing.assert_array_equal(came["rate"], [np.nan, np.nan, 16, 16, 16, 16])
        np.testing.assert_array_equal(came["frequency"], [np.nan, np.nan, 2.4e9, 2.4e9, 2.4e9, 2.5e9])
        np.testing.assert_array_equal(came["gain"][:, 0], [np.nan, np.nan, 30, 30, 30, 30])
        np.testing.assert_array_equal(came["gain"][:, 1], [np.nan, np.nan, 30, 30, 30, 20])
        np.testing.assert_array_equal(came["changed"], [0, 0, 0, 0, 1, 0])  # at 17, inside the fifth; 20 begins the sixth
        assert source.block.ignored == 1


_pieces = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 9), st.booleans()), min_size=1, max_size=12)


@given(_pieces, st.integers(1, 4), st.integers(1, 5))
def test_items_are_what_the_rows_say(pieces: list[tuple[int, int, bool]], group: int, step: int) -> None:
    """Against the rows one by one: by number, whether they follow each other, and the gain in force."""
    assembly = Assembly(group, 1)
    expected: list[tuple[int, bool, float]] = []  # of the rows: number, whether a run begins, gain
    number, gain, told = 0, np.nan, 0.0
    for jump, count, tagged in pieces:
        back = jump < 0
        number = 0 if back else number + jump
        begins = bool(jump) and bool(expected)
        if begins and back:
            gain = np.nan
        tags: tuple[Tag, ...] = ()
        rows = []
        for k in range(count):
            if tagged and k == count // 2:
                gain = told = told + 1
                tags = (Tag(number + k, "gain", told),)
            rows.append((number + k, begins and k == 0, gain))
        if back and assembly.expected == 0:
            return  # not to be told from going on
        assembly.feed(np.arange(number, number + count), number, tags)
        expected += rows
        number += count
        if begins and not count:
            return  # a break without a row of its own: what follows is not told apart by this simple oracle
    runs: list[list[tuple[int, bool, float]]] = []
    for row in expected:
        if row[1] or not runs:
            runs.append([])
        runs[-1].append(row)
    items = [run[k : k + group] for run in runs for k in range(0, len(run) - len(run) % group, group)]
    assert assembly.ready() == len(items)
    found: list[dict[str, Any]] = []
    while assembly.ready():
        count = min(step, assembly.ready())
        out = np.empty(count * group, np.int64)
        found.append(assembly.take(count, out) | {"out": out.reshape(count, group)})
    for k, item in enumerate(items):
        got = {name: np.concatenate([one[name] for one in found])[k] for name in ("start", "gain", "changed", "out")}
        assert got["out"].tolist() == [row[0] for row in item]
        assert got["start"] == item[0][0]
        np.testing.assert_array_equal(got["gain"], [item[0][2]])
        known = [row[2] for row in item if row[2] == row[2]]
        assert got["changed"] == (len(set(known)) > 1)
    assert sum(one["lost"].sum() for one in found) <= assembly.lost + assembly.cut


# Bad messages


@pytest.mark.parametrize(
    ("options", "parts", "reason", "text"),
    [
        ({}, [b"\0" * 12], "size", "12 bytes are no whole number of items of 8"),
        ({}, [message(0, 4)], "header", "say tags=True, or unset pass_tags there"),
        ({"dtype": "uint8"}, [message(7, 4)], "header", "say tags=True"),  # whose bytes would all be items
        ({"shape": (3,)}, [b"\0" * 16], "size", "vector length"),
        ({}, [b"key", VALUES.tobytes()], "parts", "is a key set"),
        ({}, [VALUES.tobytes()] * 1000, "parts", "expected at most 2 parts, got 1000"),
        ({"tags": True}, [VALUES.tobytes()], "magic", "pass_tags"),
        ({"tags": True}, [struct.pack("<HBQQ", 0x5FF0, 2, 0, 0)], "version", "version 2"),
        ({"tags": True}, [struct.pack("<HBQQ", 0x5FF0, 1, 0, 1 << 40)], "tags", "claimed"),
        ({"tags": True}, [struct.pack("<HBQQ", 0x5FF0, 1, 1 << 63, 0)], "offset", "more than any stream"),
        ({"tags": True}, [wire.pack(0) + b"\0" * 7], "size", "7 bytes"),
        ({"messages": True}, [pmt.encode("hello")], "pdu", "a str, expected a PDU"),
        ({"messages": True}, [b"\x0f"], "pmt", "unknown kind"),
        ({"messages": True}, [pmt.encode(np.zeros(3, np.float32))], "pdu", "3 values of float32, expected complex64"),
    ],
)
def test_a_bad_message_is_counted_logged_and_skipped(
    context: zmq.Context[Any],
    endpoint: str,
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    parts: list[bytes],
    reason: str,
    text: str,
) -> None:
    shape = options.get("shape", ())
    good = np.zeros((4, *shape), options.get("dtype", "complex64"))
    sent = (
        pmt.encode(good.reshape(-1))
        if "messages" in options
        else wire.pack(0) + good.tobytes()
        if "tags" in options
        else good
    )
    with Started(endpoint, pattern="pull", **options) as source, caplog.at_level(logging.WARNING):
        socket = peer(context, "pull", endpoint)
        for _ in range(5):
            socket.send_multipart(parts)
        socket.send(bytes(sent))
        assert len(source.take(4)["value"]) == 4
        assert source.block.bad == {reason: 5}
        assert source.block.bad_messages == 5
    lines = [line for line in caplog.messages if text in line]
    assert len(lines) == 3  # the 1st, 2nd and 4th


def test_a_sender_with_longer_vectors_is_seen_by_its_numbers(
    context: zmq.Context[Any], endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Items of four that divide into ours without a rest; the right ones behind it are taken, a new start is none of it."""
    with Started(endpoint, pattern="pull", tags=True) as source, caplog.at_level(logging.WARNING):
        socket = peer(context, "pull", endpoint)
        for first in range(0, 50, 10):
            socket.send(wire.pack(first) + np.zeros(40, np.complex64).tobytes())
        for first in (1000, 1010, 0, 10):
            socket.send(message(first, 10))
        came = source.take(80)
        np.testing.assert_array_equal(came["start"][-40:], [*range(1000, 1020), *range(20)])
        assert source.block.bad == {"length": 4}
        assert "somebody else" not in caplog.text
        for first in range(1000, 1200, 20):  # of two bytes, or every other one went elsewhere
            socket.send(message(first, 10))
        assert source.take(100)["gap"].sum() == 10
        assert "the sender counts 20 items where 10 of 8 bytes came (complex64 ()), 8 times in a row" in caplog.text
    assert (
        "the sender counts 10 items where 40 of 8 bytes came (complex64 ()): do type and vector length agree" in caplog.text
    )


def test_only_the_key_itself_is_taken(context: zmq.Context[Any], endpoint: str) -> None:
    """PUB and SUB compare beginnings: a longer key comes through, and is not ours."""
    with Started(endpoint, key="rx") as source:
        socket = peer(context, "sub", endpoint)
        assert source.said_to(socket) == b"\1rx"
        socket.send_multipart([b"rxA", VALUES.tobytes()])
        socket.send_multipart([b"rx", VALUES[:2].tobytes()])
        np.testing.assert_array_equal(source.take(2)["value"], VALUES[:2])
        assert source.block.bad == {"key": 1}


def test_pdus_are_items_with_what_their_dictionary_tells(context: zmq.Context[Any], endpoint: str) -> None:
    with Started(endpoint, (2,), pattern="pull", messages=True) as source:
        socket = peer(context, "pull", endpoint)
        socket.send(pmt.encode(Pair({"rx_freq": 1e9, "gain": np.array([1.0, 2.0]), "seq": 1}, VALUES)))
        socket.send(pmt.encode(VALUES[:2]))
        came = source.take(3)
        np.testing.assert_array_equal(came["value"], np.concatenate([VALUES, VALUES[:2]]).reshape(3, 2))
        np.testing.assert_array_equal(came["frequency"], 1e9)
        np.testing.assert_array_equal(came["gain"], np.tile([1.0, 2.0], (3, 1)))
        assert not source.block.bad


# Peers that are idle, gone, slow


def test_a_user_who_waits_is_told_why(
    context: zmq.Context[Any], endpoint: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isacblocks.frontends.gnuradio.line.Clock.__init__.__defaults__", (0.2,))
    with Started(endpoint, tags=True, key="rx") as source, caplog.at_level(logging.WARNING):
        source.look(lambda: "nobody is there; does one bind?" in caplog.text)
        socket = peer(context, "sub", endpoint)
        source.look(lambda: "connected, no message for" in caplog.text)
        assert "does the sender set pass_tags with the key 'rx'?" in caplog.text
        assert "ZMQ PUB sink" in caplog.text
        socket.close()
        source.look(lambda: "the sender has gone; waiting for it to come back" in caplog.text)
        again = peer(context, "sub", endpoint)
        assert source.said_to(again) == b"\1rx"
        again.send_multipart([b"rx", message(0, 2)])
        assert len(source.take(2)["value"]) == 2


@pytest.mark.parametrize("pattern", ["req", "sub"])
def test_a_sender_of_another_kind_is_told_and_the_right_one_behind_it_is_found(
    context: zmq.Context[Any], endpoint: str, pattern: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where libzmq itself has seen that they do not fit it does not connect again."""
    monkeypatch.setattr("isacblocks.frontends.gnuradio.line.Clock.__init__.__defaults__", (0.2,))
    wrong = peer(context, "pull", endpoint)
    with Started(endpoint, pattern=pattern, tags=True) as source:
        kind = {"req": "REP", "sub": "PUB"}[pattern]
        source.look(lambda: f"who was there could not be understood; is it a ZMQ {kind} sink?" in caplog.text)
        wrong.close()
        right = peer(context, pattern, endpoint)
        assert source.said_to(right)
        right.send(message(5, 3))
        np.testing.assert_array_equal(source.take(3)["start"], [5, 6, 7])


def test_a_receiver_of_another_kind_is_told(
    context: zmq.Context[Any], endpoint: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isacblocks.frontends.gnuradio.line.Clock.__init__.__defaults__", (0.2,))
    fg = Flowgraph()
    fg.connect(Counter(), GnuRadioSink(endpoint))
    with fg:
        fg.start()
        peer(context, "rep", endpoint, bind=False)
        until = time.monotonic() + LONG
        while "who was there could not be understood; is it a ZMQ PULL source?" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_one_who_is_asked_and_dies_is_asked_again(context: zmq.Context[Any], endpoint: str) -> None:
    with Started(endpoint, pattern="req", tags=True) as source:
        first = peer(context, "req", endpoint)
        assert len(source.said_to(first)) == 4
        first.close()
        second = peer(context, "req", endpoint)
        threading.Thread(target=lambda: (second.recv(), second.send(message(5, 3))), daemon=True).start()
        np.testing.assert_array_equal(source.take(3)["start"], [5, 6, 7])


def test_the_last_answer_of_one_who_goes_is_not_lost(
    context: zmq.Context[Any], endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes, and its sender goes, between the look for an answer and the look for who has gone."""
    with Started(endpoint, pattern="req", tags=True) as source:
        sender, line = peer(context, "req", endpoint), source.block._line
        assert line is not None
        watch = line.watch

        def late() -> None:
            if source.block._asked and not sender.closed:
                sender.recv()
                sender.send(message(5, 3))
                sender.close(int(1000 * LONG))
                until = time.monotonic() + LONG
                while not line.farewells and time.monotonic() < until:
                    watch()
            watch()

        monkeypatch.setattr(line, "watch", late)
        np.testing.assert_array_equal(source.take(3)["start"], [5, 6, 7])


def test_a_stream_that_falls_silent_is_over_where_that_was_asked_for(context: zmq.Context[Any], endpoint: str) -> None:
    fg = Flowgraph()
    source, probe = GnuRadioSource(endpoint, pattern="pull", end_after=0.3), Probe()
    fg.connect(source, probe)
    with fg:
        fg.start()
        assert not fg.wait(1.0)  # it has not begun
        peer(context, "pull", endpoint).send(VALUES.tobytes())
        assert fg.wait(LONG)
    np.testing.assert_array_equal(probe.values["value"], VALUES)


@pytest.mark.parametrize("what", ["source", "sink", "messages", "answers"])
def test_a_flowgraph_ends_in_time_whoever_is_missing(endpoint: str, placement: str, what: str) -> None:
    fg = Flowgraph()
    if what == "source":
        fg.connect(GnuRadioSource(endpoint), Probe())
    elif what == "messages":
        fg.connect(Counter(), GnuRadioMessages(endpoint))
    else:
        fg.connect(Counter(), GnuRadioSink(endpoint, pattern="rep" if what == "answers" else "push"))
    fg.start(placement=placement)
    until = time.monotonic() + LONG
    while not all(block.phase == "running" for block in fg.status.blocks.values()):
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.3)
    fg.stop()
    assert fg.wait(LONG)


def test_a_receiver_that_stalls_is_waited_for_or_given_up(context: zmq.Context[Any], endpoint: str) -> None:
    fg = Flowgraph()
    sink = GnuRadioSink(endpoint, patience=0.05, high_water=1, linger=0.1)
    fg.connect(Counter(size=50_000, end=200), sink)
    with fg:
        fg.start()
        socket = peer(context, "push", endpoint, bind=False)
        socket.rcvhwm = 1
        assert fg.wait(LONG)
    assert sink.dropped > 0
    assert sink.sent + sink.dropped == 200


# Against each other


@pytest.mark.parametrize(("into", "tags"), list(itertools.product(("sub", "pull", "req"), (False, True))))
def test_what_is_sent_comes(endpoint: str, placement: str, into: str, tags: bool) -> None:
    """Every pattern in every placement, with nothing lost; sinks bind, or with tags the sources do."""
    out = {"sub": "pub", "pull": "push", "req": "rep"}[into]
    key = "k" if into == "sub" else ""
    receiving, probe = Flowgraph("receiving"), Probe()
    source = GnuRadioSource(endpoint, (3,), "float64", pattern=into, tags=tags, key=key, group=5, bind=tags)
    receiving.connect(source, probe)
    sending = Flowgraph("sending")
    sink = GnuRadioSink(endpoint, pattern=out, tags=tags, key=key, bind=not tags)
    sending.connect(Counter(end=1000), sink)
    with receiving, sending:
        receiving.start(items=200, placement=placement)
        sending.start(placement=placement)
        assert sending.wait(LONG)
        assert receiving.wait(LONG)
    expected = np.arange(1000)[:, None] * np.ones(3)
    np.testing.assert_array_equal(probe.values["value"], expected.reshape(200, 5, 3))
    assert (sink.sent, sink.dropped, source.received, source.lost) == (1000, 0, 1000, 0)


def test_what_tags_told_is_told_again(context: zmq.Context[Any], endpoint: str, tmp_path: Path) -> None:
    """A source, a sink: the next one in the chain sees the same stream."""
    onward = f"ipc://{tmp_path}/onward"
    fg, last, probe = Flowgraph(), Flowgraph("last"), Probe()
    options: dict[str, Any] = {"pattern": "pull", "tags": True, "group": 2, "axis": 1, "field": "iq"}
    fg.connect(GnuRadioSource(endpoint, (2,), **options), GnuRadioSink(onward, tags=True, axis=1))
    last.connect(GnuRadioSource(onward, (2,), **options), probe)
    rows = np.arange(32).reshape(16, 2).astype(np.complex64)
    told = (Tag(0, "rx_time", (UInt64(7), 0.5)), Tag(0, "rx_rate", 8.0), Tag(0, "gain", 3.0), Tag(8, "rx_freq", 1e9))
    with fg, last:
        last.start(items=8)
        fg.start(items=8)
        peer(context, "pull", endpoint).send(wire.pack(0, told) + rows.tobytes())
        assert fg.wait(LONG)
        assert last.wait(LONG)
    came = probe.values
    np.testing.assert_array_equal(came["iq"].transpose(0, 2, 1).reshape(16, 2), rows)
    np.testing.assert_array_equal(came["seconds"] + came["fraction"], 7.5 + np.arange(8) / 4)
    np.testing.assert_array_equal(came["gain"], 3.0)
    np.testing.assert_array_equal(came["frequency"], [np.nan] * 4 + [1e9] * 4)
    assert set(META) <= came.keys()


def test_items_as_messages(context: zmq.Context[Any], endpoint: str) -> None:
    fg = Flowgraph()
    fg.connect(Counter(end=3), GnuRadioMessages(endpoint, vector="value"))
    with fg:
        fg.start()
        socket = peer(context, "push", endpoint, bind=False)
        for k in range(3):
            pdu = pmt.decode(socket.recv())
            assert pdu.car == {"sequence": UInt64(k)}
            np.testing.assert_array_equal(pdu.cdr, np.full(3, float(k)))
        assert fg.wait(LONG)


# What is wrong before anything runs


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"endpoint": "udp://x"}, "expected ipc://PATH or tcp://HOST:PORT"),
        ({"endpoint": "tcp://127.0.0.1:5555-frames"}, "a number for PORT, got 'tcp://127.0.0.1:5555-frames'"),
        ({"endpoint": "tcp://127.0.0.1"}, "a number for PORT"),
        ({"endpoint": "tcp://0.0.0.0:5555", "bind": True}, "open to other machines"),
        ({"endpoint": "tcp://*:5555", "bind": True}, "open to other machines"),
        ({"pattern": "push"}, "expected one of sub, pull, req"),
        ({"pattern": "pull", "key": "a"}, "only 'sub' and 'pub'"),
        ({"dtype": "float16"}, "expected one of"),
        ({"shape": (0,)}, "sizes from 1"),
        ({"axis": 2}, "an axis up to 0"),
        ({"messages": True, "tags": True}, "leave tags=False"),
        ({"end_after": 0.0}, "positive number of seconds"),
        ({"newest": -1}, "newest: expected at least 0"),
        ({"newest": 1, "pattern": "req"}, "sends what it is asked for"),
    ],
)
def test_what_is_asked_for_wrongly(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("*", r"\*")):
        GnuRadioSource(**{"endpoint": "ipc:///tmp/x", **options})


def test_a_port_may_be_open_where_that_is_said() -> None:
    GnuRadioSource("tcp://0.0.0.0:5555", bind=True, exposed=True)
    GnuRadioSource("tcp://[::1]:5555", bind=True)
    GnuRadioSource("tcp://other:5555")


def test_endpoints_of_a_calibration() -> None:
    """As GNU Radio's side has them; its module cannot be imported here."""
    theirs: dict[str, Any] = {}
    body = ast.parse((ROOT / "grc" / "isacblocks_gr.py").read_text()).body
    made = next(one for one in body if isinstance(one, ast.FunctionDef) and one.name == "endpoints")
    exec(compile(ast.unparse(made), "isacblocks_gr", "exec"), theirs)
    for function in (endpoints, theirs["endpoints"]):
        assert function("ipc:///tmp/a") == ["ipc:///tmp/a-frames", "ipc:///tmp/a-kappa", "ipc:///tmp/a-detections"]
        assert function("tcp://[::1]:5600") == ["tcp://[::1]:5600", "tcp://[::1]:5601", "tcp://[::1]:5602"]


def test_a_place_that_is_taken_is_named(context: zmq.Context[Any], tmp_path: Path) -> None:
    socket = context.socket(zmq.PULL)
    SOCKETS.append(socket)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    block = GnuRadioSource(f"tcp://127.0.0.1:{port}", bind=True)
    with pytest.raises(OSError, match=f"127.0.0.1:{port} cannot be bound: Address already in use; where the .* bind=False"):
        block.start()


def test_a_sink_without_its_field_is_refused(endpoint: str) -> None:
    fg = Flowgraph()
    fg.connect(Counter(end=1), GnuRadioSink(endpoint, field="other"))
    with pytest.raises(Exception, match="no field other in the record number"):
        fg.run()
    with pytest.raises(ValueError, match="say tags=True"):
        GnuRadioSink(endpoint, fields=("value",))
    assert issubclass(WiringError, ValueError)


def test_a_flood_of_bad_messages_does_not_hold_the_flowgraph(context: zmq.Context[Any], endpoint: str) -> None:
    """produce() comes back although there is always one more to skip."""
    with Started(endpoint, pattern="pull", bind=True) as source:
        over = threading.Event()

        def flood() -> None:
            socket = peer(context, "pull", endpoint, bind=False)
            while not over.is_set():
                if socket.poll(10, zmq.POLLOUT):
                    socket.send(b"bad", zmq.NOBLOCK)

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            until = time.monotonic() + LONG
            while source.block.bad.get("size", 0) < 1000:
                assert time.monotonic() < until
                items = source.block.produce(0, 10)
                assert items is not None
                assert len(items) == 0
        finally:
            over.set()
            thread.join()
