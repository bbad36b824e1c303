"""The door: over TCP nobody gets in without the token of an edge, and whoever is sent away changes nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from test_link import LAYOUT, Link, items

from isacblocks.stream import wire
from isacblocks.stream.door import Door, Tokens
from isacblocks.stream.link import EdgeSpec
from isacblocks.stream.outlet import Outlet


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link("tcp://127.0.0.1:*")
    yield made
    made.close()


def dealer(context: Any, endpoint: str, identity: bytes, **options: Any) -> Any:
    made = context.socket(zmq.DEALER)
    made.linger, made.routing_id = 0, identity
    for name, value in options.items():
        setattr(made, name, value)
    made.connect(endpoint)
    return made


def hello(edge: EdgeSpec) -> bytes:
    return wire.pack(wire.Header(wire.HELLO, 0, LAYOUT.stream_id, 1, 0, 0, 0, 0, 0, 0.0, 1)) + b"\x80"


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"plain_username": b"b.in", "plain_password": b"0" * 32},
        {"plain_username": b"b.in", "plain_password": b"x"},
        {"plain_username": b"c.in", "plain_password": (b"t" * 16).hex().encode()},
    ],
)
def test_strangers_do_not_get_in_and_nothing_reaches_them(link: Link, shown: dict[str, bytes]) -> None:
    """A real libzmq peer that knows even the routing identity of the receiver, but not what it has to show."""
    own: Any = zmq.Context()
    stranger = dealer(own, link.outlet.endpoint, link.edge.token, **shown)
    try:
        with contextlib.suppress(zmq.Again):  # sent away already
            stranger.send(hello(link.edge), zmq.NOBLOCK)
        link.outlet.send(items(0))
        end = time.monotonic() + 20
        while time.monotonic() < end and (shown and not link.outlet.refusals.counts):
            link.settle(lambda: link.inlet.head() is not None, 0.2)
        link.settle(lambda: link.inlet.head() is not None)
        assert not stranger.poll(300)
        head = link.inlet.head()
        assert head is not None
        assert head.message == 0, "the rest is undisturbed"
        assert set(link.outlet.refusals.counts) <= {"handshake"}
        if shown:
            assert link.outlet.refusals.counts["handshake"] >= 1
    finally:
        stranger.close(0)
        own.term()


def test_who_shows_the_token_gets_in(link: Link) -> None:
    link.outlet.send(items(0))
    link.settle(lambda: link.inlet.head() is not None)
    assert link.inlet.head() is not None
    assert not link.outlet.refusals.counts


def test_one_handler_serves_every_socket_of_a_process_and_ends_with_the_last() -> None:
    context: Any = zmq.Context()
    edges = [EdgeSpec("a.out", f"b{k}.in", bytes([k]) * 16) for k in range(3)]
    outlets = [Outlet(context, "tcp://127.0.0.1:*", LAYOUT, [edge], epoch=1) for edge in edges]

    def doors() -> int:
        return sum(thread.name == "isacblocks door" for thread in threading.enumerate())

    assert doors() == 1
    assert len({id(outlet._watch._door) for outlet in outlets if outlet._watch is not None}) == 1
    for outlet in outlets:
        assert doors() == 1
        outlet.close()
    assert doors() == 0
    for _ in range(1000):  # the next door's name is free as soon as the last one has ended
        Outlet(context, "tcp://127.0.0.1:*", LAYOUT, [edges[0]], epoch=1).close()
    again = Outlet(context, "tcp://127.0.0.1:*", LAYOUT, [edges[0]], epoch=1)
    assert doors() == 1
    again.close()
    context.term()
    assert not Door._doors


def test_tokens_are_of_the_edge_that_they_are_of() -> None:
    edges = [EdgeSpec("a.out", f"b{k}.in", bytes([k]) * 16) for k in (1, 2)]
    guard = Tokens(edges)
    assert guard.admits(b"PLAIN", [b"b1.in", (b"\1" * 16).hex().encode()]) == "b1.in"
    for credentials in ([b"b1.in", (b"\2" * 16).hex().encode()], [b"b3.in", b""], [b"b1.in"], []):
        assert guard.admits(b"PLAIN", credentials) is None
    assert guard.admits(b"NULL", [b"b1.in", (b"\1" * 16).hex().encode()]) is None


def test_garbage_connections_leave_nothing_behind_and_disturb_nobody(link: Link) -> None:
    """What is no ZMTP at all, what begins like it, what says nothing: the link goes on beside them."""
    host, port = link.outlet.endpoint.removeprefix("tcp://").split(":")
    kinds = [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"\xff" + b"\0" * 8 + b"\x7f\x03\0NULL", b"", b"\0" * 1000]
    opened = []
    for k in range(200):
        connection = socket.create_connection((host, int(port)), timeout=10)
        opened.append(connection)
        connection.sendall(kinds[k % len(kinds)])
        if k % 20 == 0:
            link.outlet.send(items(k // 20))
            link.settle(lambda: link.inlet.head() is not None)
            assert link.inlet.head() is not None
            link.inlet.commit()
            link.inlet.acknowledge(urgent=True)
    for connection in opened:
        connection.close()
    link.settle(link.outlet.drained)
    assert (link.law().committed, link.law().lost) == (30, 0)
