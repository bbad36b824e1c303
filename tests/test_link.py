"""One link by itself: credit, policies, replay, strangers, and the law of its books after every single step."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq

from isacblocks.stream import Field, Items, Layout, PlacementError, Record, WireError, wire
from isacblocks.stream.bell import Bell
from isacblocks.stream.door import guarded, show_token
from isacblocks.stream.inlet import TRIES, Inlet
from isacblocks.stream.link import EdgeCount, EdgeSpec, has_arrived
from isacblocks.stream.outlet import Outlet
from isacblocks.stream.spec import resolve

LAYOUT = resolve(Record("number", (Field("value", "float64", ("N",)),)), {"N": 4}, "test")
ENDPOINTS = ("inproc://link", "ipc", "tcp://127.0.0.1:*")


def items(message: int, count: int = 3, final: bool = False) -> Items:
    value = np.full((count, 4), float(message))
    return Items(LAYOUT, {"value": value}, count, first=3 * message, message=message, final=final)


class Link:
    """Both ends in one thread, pumped by hand."""

    def __init__(
        self,
        endpoint: str,
        policy: str = "block",
        depth: int = 4,
        budget: int = 1 << 20,
        lag: int | None = None,
        layout: Layout = LAYOUT,
        interval: float = 0.0,
    ):
        self.context: Any = zmq.Context()
        self.layout = layout
        self.edge = EdgeSpec("a.out", "b.in", b"t" * 16, policy, depth, budget, lag is not None, lag, interval)
        self.outlet = Outlet(self.context, endpoint, layout, [self.edge], epoch=1)
        self.inlet = self.connect()

    def connect(self) -> Inlet:
        return Inlet(self.context, self.outlet.endpoint, self.layout, self.edge, epoch=1)

    def law(self) -> EdgeCount:
        """The books, checked."""
        book = self.outlet.counts()[0]
        assert book.balanced, book
        return book

    def settle(self, until: Any = None, seconds: float = 30.0) -> None:
        """Pump both ends until `until` holds or nothing has come for a while."""
        end, quiet = time.monotonic() + seconds, 0
        while time.monotonic() < end and (quiet < 60 if until is None else not until()):
            came = self.outlet.pump() | self.inlet.pump()
            quiet = 0 if came else quiet + 1
            self.law()
            time.sleep(0 if came else 0.001)

    def close(self) -> None:
        self.inlet.close()
        self.outlet.close()
        self.context.term()


@pytest.fixture(params=ENDPOINTS)
def endpoint(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    return f"ipc://{tmp_path}/link" if request.param == "ipc" else str(request.param)


@pytest.fixture
def make(endpoint: str) -> Iterator[Any]:
    links: list[Link] = []

    def build(**arguments: Any) -> Link:
        links.append(Link(endpoint, **arguments))
        return links[-1]

    yield build
    for link in links:
        link.close()


def test_messages_arrive_whole_and_in_order(make: Any) -> None:
    link = make()
    for k in range(20):
        link.settle(link.outlet.room)
        assert link.outlet.room()
        link.outlet.send(items(k, count=k % 3))
        link.settle(lambda: link.inlet.head() is not None)
        head = link.inlet.head()
        assert (head.message, head.first, len(head)) == (k, 3 * k, k % 3)
        assert (head.value == k).all()
        link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
    link.settle(link.outlet.drained)
    book = link.law()
    assert (book.produced, book.committed, book.in_flight, book.lost) == (19, 19, 0, 0)


def test_block_waits_for_credit_and_counts_only_what_was_committed(make: Any) -> None:
    link = make(depth=3)
    for k in range(3):
        assert link.outlet.room()
        link.outlet.send(items(k))
    link.settle()
    assert not link.outlet.room()
    assert len(link.inlet.queue) == 3  # received, but not processed: still in flight
    book = link.law()
    assert (book.produced, book.committed, book.in_flight) == (9, 0, 9)
    link.inlet.commit()
    link.inlet.acknowledge(urgent=True)
    link.settle(link.outlet.room)
    assert link.law().committed == 3


def test_a_byte_budget_bounds_what_is_on_its_way_but_lets_one_message_through(make: Any) -> None:
    link = make(depth=100, budget=250)  # a message of 3 items has 96 + 64 bytes
    sent = 0
    while link.outlet.room():
        link.outlet.send(items(sent))
        sent += 1
    assert sent == 2
    tight = make(depth=100, budget=1)
    assert tight.outlet.room()
    tight.outlet.send(items(0))
    assert not tight.outlet.room()


def test_the_last_acknowledgement_may_be_lost_with_its_connection() -> None:
    """Nothing more comes, and yet the receiver asks once more: the sender waits for its word."""
    link = Link("tcp://127.0.0.1:*")
    try:
        link.settle(lambda: link.inlet.open)
        link.outlet.send(items(0))
        link.outlet.send(items(1, count=0, final=True))
        link.settle(lambda: len(link.inlet.queue) == 2)
        send, link.inlet._send = link.inlet._send, lambda data: None  # type: ignore[method-assign]
        link.inlet.commit()
        link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
        link.inlet._send = send  # type: ignore[method-assign]
        link.settle()
        assert link.inlet.ended
        assert not link.outlet.drained()
        end = time.monotonic() + 30.0
        while not link.outlet.drained() and time.monotonic() < end:
            link.inlet.doubt()
            link.settle(link.outlet.drained, 0.1)
        assert link.outlet.drained()
        assert (link.law().committed, link.law().lost) == (3, 0)
    finally:
        link.close()


@pytest.mark.parametrize("policy", ["block", "drop-oldest", "latest"])
def test_what_a_connection_loses_is_asked_for_or_counted(policy: str) -> None:
    link = Link("tcp://127.0.0.1:*", policy=policy)
    try:
        link.settle(lambda: link.inlet.open)
        deliver, link.outlet._deliver = link.outlet._deliver, lambda peer, parts: True  # type: ignore[method-assign]
        link.outlet.send(items(0))
        link.outlet._deliver = deliver  # type: ignore[method-assign]
        for k in (1, 2, 3):
            link.outlet.send(items(k))
            link.settle(lambda: link.inlet.head() is not None, 0.1)
        end = time.monotonic() + 30.0
        while not link.outlet.drained() and time.monotonic() < end:
            link.settle(lambda: link.inlet.head() is not None, 0.3)
            link.inlet.doubt()
            while link.inlet.head() is not None:
                link.inlet.commit()
            link.inlet.acknowledge(urgent=True)
            link.settle()
        book = link.law()
        assert (book.in_flight, book.committed + book.lost) == (0, 12)
        assert book.dropped == {"drop-oldest": {"connection": 3}, "block": {}}.get(policy, book.dropped)
        assert link.outlet.refusals.bad == 0
    finally:
        link.close()


def test_who_asks_faster_than_he_is_heard_waits_in_his_own_memory() -> None:
    """Requests that nobody looks at: the sender's socket takes a few, and what the system's buffers hold."""
    link = Link("tcp://127.0.0.1:*")
    link.inlet.close()
    flood: Any = link.context.socket(zmq.DEALER)
    try:
        flood.linger, flood.sndhwm, flood.routing_id = 0, 1, link.edge.token
        show_token(flood, link.edge)
        flood.connect(link.outlet.endpoint)
        sent, since = 0, time.monotonic()
        while sent < 4000 and time.monotonic() - since < 2.0:
            if flood.poll(10, zmq.POLLOUT):
                flood.send(bytes(60_000))
                sent, since = sent + 1, time.monotonic()
        assert 0 < sent < 1000
    finally:
        flood.close(0)
        link.outlet.close()
        link.context.term()


def test_drop_oldest_keeps_the_newest_and_counts_the_rest(make: Any) -> None:
    link = make(policy="drop-oldest", depth=2)
    link.settle(lambda: link.inlet.open)
    for k in range(20):
        assert link.outlet.room()
        link.outlet.send(items(k))
        link.law()
    got = []
    for _ in range(10):
        link.settle()
        while link.inlet.head() is not None:
            got.append(link.inlet.head().message)
            link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
    assert got == [0, 1, 18, 19]  # two were sent at once, two were waiting
    book = link.law()
    assert (book.produced, book.committed, book.dropped) == (60, 12, {"overflow": 48})


def test_latest_keeps_one(make: Any) -> None:
    link = make(policy="latest")
    link.settle(lambda: link.inlet.open)
    for k in range(20):
        link.outlet.send(items(k))
    got = []
    for _ in range(10):
        link.settle()
        while link.inlet.head() is not None:
            got.append(link.inlet.head().message)
            link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
    assert got == [0, 19]
    assert link.law().dropped == {"superseded": 54}


@pytest.mark.parametrize("policy", ["block", "drop-oldest", "latest"])
def test_the_end_is_never_dropped(make: Any, policy: str) -> None:
    link = make(policy=policy, depth=1)
    sent = 0
    while link.outlet.room() and sent < 5:
        link.outlet.send(items(sent))
        sent += 1
    link.outlet.send(items(sent, count=0, final=True))
    for _ in range(10):
        link.settle()
        while link.inlet.head() is not None:
            link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
    assert link.inlet.ended
    assert link.outlet.drained()


def test_a_receiver_that_comes_back_gets_what_it_had_not_committed(make: Any) -> None:
    link = make(depth=6)
    for k in range(6):
        link.outlet.send(items(k))
    link.settle(lambda: len(link.inlet.queue) == 6)
    for _ in range(2):
        link.inlet.commit()
    saved = link.inlet.save()  # as a checkpoint would; the acknowledgement never gets out
    link.inlet.close()
    link.inlet = link.connect()
    link.inlet.restore(saved)
    link.settle(lambda: len(link.inlet.queue) == 4)
    assert [m.message for m in link.inlet.queue] == [2, 3, 4, 5]
    assert link.law().committed == 6


def test_strangers_and_bad_requests_are_counted_and_change_nothing(make: Any) -> None:
    link = make(depth=2)
    link.outlet.send(items(0))
    link.settle(lambda: link.inlet.head() is not None)
    stranger = link.context.socket(zmq.DEALER)
    stranger.linger = 0
    stranger.routing_id = b"who knows"
    if guarded(link.outlet.endpoint):  # else it would not get in at all, see test_keys.py
        show_token(stranger, link.edge)
    stranger.connect(link.outlet.endpoint)
    hello = request(wire.HELLO, LAYOUT.stream_id)
    for parts in (
        [b""],
        [b"x" * 64, b"y"],
        [hello],
        [b"a", b"b", b"c", b"d"],
        [request(wire.HELLO, 5)],
    ):
        stranger.send_multipart(parts)
    link.settle(lambda: link.outlet.refusals.bad == 5)
    assert link.outlet.refusals.counts == {"stranger": 3, "parts": 2}
    # and nonsense from the rightful peer
    nonsense = (
        [b"x" * 64],
        [hello[:-1]],
        [hello, b"y"],
        [request(wire.HELLO, LAYOUT.stream_id, b"\xc1")],
        [request(wire.HELLO, 5)],
        [request(wire.ACK, LAYOUT.stream_id, msgspec.msgpack.encode({"kept": "all"}))],
        [request(wire.DATA, LAYOUT.stream_id)],
    )
    for parts in nonsense:
        link.inlet.socket.send_multipart(parts)
    link.settle(lambda: link.outlet.refusals.bad == 12)
    theirs = {"length": 2, "words": 2, "stream": 1, "kind": 1}
    assert link.outlet.refusals.counts == {"stranger": 3, "parts": 3, **theirs}
    link.inlet.commit()
    link.inlet.acknowledge(urgent=True)
    link.settle(link.outlet.drained)
    assert link.law().committed == 3
    stranger.close(0)


def request(kind: int, stream: int, words: bytes = b"\x80") -> bytes:
    return wire.pack(wire.Header(kind, 0, stream, 1, 0, 0, 0, 0, 0, 0.0, len(words))) + words


def test_a_message_that_cannot_be_read_is_counted_and_keeps_its_place(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    link = make()
    link.outlet.send(items(0))
    link.settle(lambda: link.inlet.head() is not None)
    good = link.outlet._peers[link.edge.token]
    for k in (1, 2):  # message 1 loses bytes on the way
        link.outlet.send(items(k))
    parcel = next(p for p in (*good.pending, *good.again, *good.unacknowledged) if p.serial == 1)
    broken = [parcel.inline()[0][:-8]]
    link.settle(lambda: len(link.inlet.queue) == 3)
    # the original has arrived; replay it broken, as a fresh link would meet it
    link.inlet.close()
    parcel.items, parcel._inline, parcel._short = None, broken, broken
    link.inlet = link.connect()
    link.settle(lambda: len(link.inlet.queue) == 3)
    assert [len(m) for m in link.inlet.queue] == [3, 0, 3]
    assert link.inlet.refusals.bad == TRIES, "asked for again before it was given up"
    assert "skipped a bad message" in caplog.text
    while link.inlet.head() is not None:
        link.inlet.commit()
    link.inlet.acknowledge(urgent=True)
    link.settle(link.outlet.drained)
    assert link.law().dropped == {"bad": 3}


def test_ends_that_do_not_fit_say_so(make: Any) -> None:
    link = make()
    other = resolve(Record("number", (Field("value", "float64", ("N",)),)), {"N": 5}, "test")
    link.inlet.layout = other
    with pytest.raises(WireError, match=r"a\.out does not send what b\.in takes"):
        link.inlet._take([request(wire.OPEN, 0, LAYOUT.descriptor)])


@pytest.mark.parametrize("local", [True, False])
def test_a_receiver_whose_sender_has_gone_does_not_wait_for_it(make: Any, local: bool) -> None:
    link = make()
    link.outlet.send(items(0))
    link.settle(lambda: link.inlet.head() is not None)
    link.outlet.close()
    if not local:  # what is said goes through the socket
        link.inlet.box = None

    def talk() -> None:
        link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
        for _ in range(5):
            link.inlet.pump()
            link.inlet.sleep(True)
            link.inlet.hello()

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def test_a_port_in_use_is_named() -> None:
    link = Link("tcp://127.0.0.1:*")
    try:
        with pytest.raises(
            PlacementError, match=r"a\.out cannot be bound to tcp://127\.0\.0\.1:\d+: Address already in use"
        ):
            Outlet(link.context, link.outlet.endpoint, LAYOUT, [link.edge], epoch=1)
    finally:
        link.close()


@pytest.mark.parametrize("policy", ["block", "drop-oldest", "latest"])
@pytest.mark.parametrize("seed", range(8))
def test_the_law_holds_through_anything(policy: str, seed: int, tmp_path: Any) -> None:
    """Random sends, receptions, commits, acknowledgements and reconnections; at the end everything is accounted for."""
    chance = random.Random(f"{policy} {seed}")
    link = Link(f"ipc://{tmp_path}/law", policy=policy, depth=chance.randint(1, 5))
    taken: list[int] = []
    sent = 0
    try:
        for _ in range(600):
            what = chance.random()
            if what < 0.35 and link.outlet.room():
                link.outlet.send(items(sent, count=chance.randint(0, 4)))
                sent += 1
            elif what < 0.55:
                link.outlet.pump()
            elif what < 0.75:
                link.inlet.pump()
            elif what < 0.9 and link.inlet.head() is not None:
                head = link.inlet.head()
                assert head is not None
                taken.append(head.message)
                link.inlet.commit()
            elif what < 0.97:
                link.inlet.acknowledge(urgent=chance.random() < 0.5)
            else:  # the receiver is killed and comes back from what it had saved
                saved = link.inlet.save()
                link.inlet.close()
                link.inlet = link.connect()
                link.inlet.restore(saved)
            link.law()
        link.outlet.send(items(sent, count=0, final=True))
        end = time.monotonic() + 10
        while not link.outlet.drained() and time.monotonic() < end:
            link.settle()
            while link.inlet.head() is not None:
                head = link.inlet.head()
                assert head is not None
                taken.append(head.message)
                link.inlet.commit()
            link.inlet.acknowledge(urgent=True)
        book = link.law()
        assert book.in_flight == 0
        assert book.produced == book.committed + book.lost
        assert taken == sorted(set(taken)), "nothing twice, nothing out of order"
        if policy == "block":
            assert taken == list(range(sent + 1))
            assert book.lost == 0
    finally:
        link.close()


def test_inside_a_process_sockets_only_wake_who_sleeps() -> None:
    link = Link("inproc://box", depth=2)
    try:
        link.settle(lambda: link.inlet.open)
        link.settle()
        link.inlet.sleep(False)
        link.outlet.sleep(False)
        sent = items(0)
        link.outlet.send(sent)
        assert not has_arrived(link.inlet.socket)
        assert link.inlet.collect()
        assert link.inlet.queue[0].value is sent.value, "by reference"
        assert not sent.value.flags.writeable
        link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
        assert not has_arrived(link.outlet.socket)
        assert link.outlet.collect()
        assert link.outlet.drained()
        link.inlet.sleep(True)
        link.outlet.send(items(1))
        link.outlet.send(items(2))
        assert not link.outlet.room()
        link.outlet.sleep(True)
        assert link.inlet.socket.recv_multipart(zmq.NOBLOCK) == [b""]
        assert not has_arrived(link.inlet.socket), "woken once"
        assert link.inlet.collect()
        link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
        assert link.outlet.socket.recv_multipart(zmq.NOBLOCK) == [link.edge.token, b""]
    finally:
        link.close()


def test_nobody_is_woken_for_what_can_wait() -> None:
    """Acknowledgements while there is credit left, more than a receiver has not looked at yet, feedback without data."""
    link, back = Link("inproc://forth"), Link("inproc://back", lag=2)
    bells = [Bell() for _ in range(4)]
    try:
        ends: tuple[Inlet | Outlet, ...] = (link.outlet, link.inlet, back.outlet, back.inlet)
        for end, bell in zip(ends, bells, strict=True):
            end.hear(bell)
        for one in (link, back):
            one.settle(lambda one=one: one.inlet.open)
            one.settle()
        assert all(bell.wait(0) for bell in bells[1::2]), "the answer to HELLO"
        for bell in bells:
            bell.wait(0)
        for one in (link, back):
            one.outlet.send(items(0))
            one.outlet.sleep(True)
            one.inlet.collect()
            one.inlet.sleep(True)
            one.outlet.send(items(1))
            one.inlet.commit()
            one.inlet.acknowledge(urgent=True)
        assert [bell.wait(0) for bell in bells] == [False, False, False, True], "feedback is waited for when data is there"
        back.inlet.sleep(True, starved=True)
        back.outlet.send(items(2))
        assert not bells[3].wait(0)
        link.inlet.collect()
        link.inlet.commit()
        assert link.inlet.starved()
        link.inlet.sleep(True)
        link.outlet.send(items(2))
        assert bells[1].wait(0)
        link.outlet.send(items(3, final=True))
        link.outlet.sleep(True)
        link.inlet.acknowledge(urgent=True)
        assert bells[0].wait(0), "the end waits for the last acknowledgement"
    finally:
        link.close()
        back.close()


def test_what_a_slow_receiver_gets_with_latest_was_the_newest_when_it_asked(make: Any) -> None:
    """However far it is behind: nothing older lies in queues or buffers on the way."""
    link = make(policy="latest")
    link.settle(lambda: link.inlet.open)
    sent = 0
    for _ in range(12):
        for _ in range(25):
            link.outlet.send(items(sent))
            sent += 1
            held = link.outlet._edges[0]
            assert len(held.pending) + len(held.unacknowledged) <= 2
        if link.inlet.head() is not None:
            link.inlet.commit()
            link.inlet.acknowledge(urgent=False)  # "latest" asks at once
        link.settle(lambda: link.inlet.head() is not None)
        head = link.inlet.head()
        assert len(link.inlet.queue) == 1
        assert head.message in (0, sent - 1)
    assert head.message == sent - 1


def test_an_interval_is_kept_and_what_is_sent_after_it_is_the_newest(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("isacblocks.stream.peer.monotonic", lambda: now)
    link = make(policy="latest", interval=10.0)
    link.settle(lambda: link.inlet.open)

    def came() -> list[int]:
        link.settle()
        found = []
        while link.inlet.head() is not None:
            found.append(link.inlet.head().message)
            link.inlet.commit()
            link.inlet.acknowledge(urgent=False)
        link.settle()
        return found

    for k in range(5):
        link.outlet.send(items(k))
    assert came() == [0]
    now += 9.9
    link.outlet.send(items(5))
    link.outlet.look_at_the_time()
    assert came() == []
    now += 0.2
    link.outlet.look_at_the_time()  # although nothing more is made
    assert came() == [5]
    now += 10.1
    link.outlet.send(items(6))
    assert came() == [6]
    link.outlet.send(items(7))
    link.outlet.send(items(8, count=0, final=True))  # the end waits for nobody
    assert [*came(), *came()] == [7, 8]
    book = link.law()
    assert (book.produced, book.committed, book.in_flight, book.dropped) == (24, 12, 0, {"superseded": 12})


@pytest.mark.parametrize("policy", ["block", "drop-oldest", "latest"])
def test_what_is_ahead_of_a_receiver_is_bounded_in_messages_and_bytes(make: Any, policy: str) -> None:
    """A receiver that takes one message in ten: what lies before it fits the budget, but for one message."""
    size = 3 * LAYOUT.item_bytes + wire.HEADER_BYTES
    depth, budget = 6, 4 * size + 1  # the budget is the tighter one
    link = make(policy=policy, depth=depth, budget=budget)
    link.settle(lambda: link.inlet.open)
    sent = 0
    for turn in range(300):
        if link.outlet.room():
            link.outlet.send(items(sent))
            sent += 1
        held = link.outlet._edges[0]
        assert held.bytes <= budget + size
        assert held.bytes == size * (len(held.pending) + len(held.again) + len(held.unacknowledged))
        if turn % 10 == 0:
            link.settle(lambda: link.inlet.head() is not None, seconds=0.2)
            if link.inlet.head() is not None:
                assert len(link.inlet.queue) * size <= budget + size * (policy == "block")
                link.inlet.commit()
                link.inlet.acknowledge(urgent=False)
    assert link.law().committed > 0
    assert (link.law().lost == 0) == (policy == "block")
