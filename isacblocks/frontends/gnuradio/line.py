"""One ZeroMQ socket towards GNU Radio, in a context of its own, with what can be known about the other end."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from isacblocks.stream.address import is_loopback

_KINDS = {"sub": zmq.SUB, "pull": zmq.PULL, "req": zmq.REQ, "pub": zmq.XPUB, "push": zmq.PUSH, "rep": zmq.REP}
SOURCES, SINKS = ("sub", "pull", "req"), ("pub", "push", "rep")
OPPOSITE = dict(zip(SOURCES + SINKS, SINKS + SOURCES, strict=True))
_AGAIN = 1.0  # s after which a connection is made anew that libzmq has given up
_LINGER = 300  # ms, where the flowgraph is being stopped: it must have ended within a second


@dataclass(frozen=True)
class Wiring:
    """Which socket: checked when it is made, so that what is wrong is said before anything runs.

    exposed: whether a TCP port may be open to other machines. GNU Radio's sockets have no keys: whoever reaches the port
    can read the stream, or feed one of their own.
    """

    endpoint: str
    pattern: str
    bind: bool
    key: str
    high_water: int
    largest: int
    exposed: bool
    patterns: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.pattern not in self.patterns:
            raise ValueError(f"pattern: expected one of {', '.join(self.patterns)}, got {self.pattern!r}")
        scheme, _, address = self.endpoint.partition("://")
        if scheme not in ("ipc", "tcp", "inproc") or not address:
            raise ValueError(f"endpoint: expected ipc://PATH or tcp://HOST:PORT, got {self.endpoint!r}")
        if scheme == "tcp" and not (address.rpartition(":")[2].isdecimal() and address.rpartition(":")[0]):
            raise ValueError(f"endpoint: expected tcp://HOST:PORT with a number for PORT, got {self.endpoint!r}")
        if self.key and self.pattern not in ("sub", "pub"):
            raise ValueError(f"key: only 'sub' and 'pub' have one, got {self.key!r} for {self.pattern!r}")
        if self.high_water < 1 or self.largest < 1:
            raise ValueError(f"high_water and largest: expected at least 1, got {self.high_water} and {self.largest}")
        host = address.rpartition(":")[0].strip("[]")
        if scheme == "tcp" and self.bind and not (self.exposed or host == "lo" or is_loopback(host)):
            raise ValueError(
                f"endpoint: {self.endpoint} would be open to other machines, and GNU Radio's sockets have no keys; bind "
                "127.0.0.1, connect from here instead, or say exposed=True"
            )


def endpoints(at: str) -> list[str]:
    """Of frames, kappa and detections: `at` and their names; of tcp://HOST:PORT that port and the next two."""
    names = "frames", "kappa", "detections"
    host, _, port = at.rpartition(":")
    if at.startswith("tcp://") and port.isdecimal():
        return [f"{host}:{int(port) + k}" for k in range(len(names))]
    return [f"{at}-{name}" for name in names]


class Line:
    """The socket of a wiring, open. Raises OSError where it cannot be bound."""

    def __init__(self, wiring: Wiring, lossless: bool = True) -> None:
        self.wiring = wiring
        self.handshakes = self.farewells = 0  # of peers, ever
        self.refused = 0  # peers that could not be understood, or that went before they had said what they are
        self._given_up = math.inf  # since when nobody may be trying to connect
        self._context: zmq.Context[Any] = zmq.Context()
        self.socket: zmq.Socket[bytes] = self._context.socket(_KINDS[wiring.pattern])
        self._monitor = self.socket.get_monitor_socket()
        self.subscriptions = 0
        try:
            self._set(lossless)
            (self.socket.bind if wiring.bind else self.socket.connect)(wiring.endpoint)
        except zmq.ZMQError as error:
            self.close(0)
            what = "bound" if wiring.bind else "connected to"
            hint = f"; where the other end binds it, say bind={not wiring.bind}" if error.errno == errno.EADDRINUSE else ""
            raise OSError(f"{wiring.endpoint} cannot be {what}: {zmq.strerror(error.errno or 0)}{hint}") from error

    def _set(self, lossless: bool) -> None:
        socket, wiring = self.socket, self.wiring
        socket.linger = 0
        socket.set_hwm(wiring.high_water)
        socket.setsockopt(zmq.MAXMSGSIZE, wiring.largest)
        socket.reconnect_ivl, socket.reconnect_ivl_max = 20, 500
        if wiring.pattern == "sub":
            socket.setsockopt(zmq.SUBSCRIBE, wiring.key.encode())
        if wiring.pattern == "pub":
            socket.setsockopt(zmq.XPUB_NODROP, lossless)
        if wiring.pattern == "push":
            socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing for peers that are not there yet
        if wiring.pattern == "req":  # so that a request can be made again where the one who had it has gone
            socket.setsockopt(zmq.REQ_RELAXED, 1)
            socket.setsockopt(zmq.REQ_CORRELATE, 1)

    def watch(self) -> None:
        """Take in who has come and gone."""
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            self.handshakes += event == zmq.EVENT_HANDSHAKE_SUCCEEDED
            if event == zmq.EVENT_DISCONNECTED:
                known = self.farewells < self.handshakes
                self.farewells += known
                self.refused += not known
                self._given_up = math.inf if known else time.monotonic()
            elif event in (zmq.EVENT_CONNECTED, zmq.EVENT_CONNECT_RETRIED):
                self._given_up = math.inf
        while self.wiring.pattern == "pub" and self.socket.poll(0, zmq.POLLIN):
            word = self.socket.recv(zmq.NOBLOCK)
            self.subscriptions += {b"\1": 1, b"\0": -1}.get(word[:1], 0)

    def mend(self) -> None:
        """Connect again where libzmq does not, behind a socket of another kind. In the thread that has the socket."""
        if self.wiring.bind or time.monotonic() - self._given_up < _AGAIN:
            return
        self._given_up = math.inf
        with contextlib.suppress(zmq.ZMQError):  # it is not connected any more
            self.socket.disconnect(self.wiring.endpoint)
        self.socket.connect(self.wiring.endpoint)

    @property
    def peers(self) -> int:
        """Who is connected, as far as has been watched."""
        return self.handshakes - self.farewells

    def hint(self, idle: float, tags: bool) -> str:
        """What a source may be waiting for, as far as has been watched. idle: seconds; tags: they are expected."""
        wiring = self.wiring
        where, long = wiring.endpoint, f"no message for {idle:.0f} s, and nothing is sensed meanwhile"
        sink = OPPOSITE[wiring.pattern].upper()
        if self.peers:
            key = f" with the key {wiring.key!r}" if wiring.key else ""
            asked = f"does the sender set pass_tags{key}?" if tags else f"does the sender send{key}?"
            return f"{where}: connected, {long}: {asked} Is its flowgraph running, and its block a ZMQ {sink} sink?"
        if self.refused:
            return f"{where}: {long}: who was there could not be understood; is it a ZMQ {sink} sink?"
        other = "connect; stream sinks of GNU Radio bind: say bind=False" if wiring.bind else "bind"
        gone = (
            "the sender has gone; waiting for it to come back" if self.farewells else f"nobody is there; does one {other}?"
        )
        return f"{where}: {long}: {gone}"

    def close(self, linger: int = _LINGER, attend: Callable[[], None] | None = None) -> None:
        """Close it and give what was sent `linger` ms to leave; attend: called meanwhile, may raise."""
        if self.socket.closed:
            return
        self.socket.disable_monitor()
        self._monitor.close(0)
        try:
            if attend is not None and self.wiring.pattern in ("push", "pub"):
                self._await_departure(linger, attend)
                linger = _LINGER
        finally:
            self.socket.close(linger)
            self._context.term()

    def _await_departure(self, linger: int, attend: Callable[[], None]) -> None:
        """libzmq does not say when a queue is empty; a context that ends waits for it, so another thread ends it."""
        import threading

        self.socket.close(linger)
        ending = threading.Thread(target=self._context.term, daemon=True)
        ending.start()
        while ending.is_alive():
            ending.join(0.05)
            attend()


class Clock:
    """When something came last, and whether it is time to say that nothing does: after 3 s, 6 s, 12 s, ..."""

    def __init__(self, patience: float = 3.0) -> None:
        self._patience = patience
        self.start()

    def start(self) -> None:
        """Something came."""
        self.last = time.monotonic()
        self._next = self._patience

    @property
    def idle(self) -> float:
        """Seconds since."""
        return time.monotonic() - self.last

    def due(self) -> bool:
        """Whether to say so now."""
        if self.idle < self._next:
            return False
        self._next *= 2
        return True


class Tally:
    """Messages that could not be read, by reason, logged once in a while: the 1st, 2nd, 4th, ..."""

    def __init__(self, log: logging.Logger) -> None:
        self.reasons: dict[str, int] = {}
        self._log = log

    @property
    def total(self) -> int:
        """Of all reasons."""
        return sum(self.reasons.values())

    def add(self, reason: str, text: str) -> None:
        """One more."""
        count = self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if count & (count - 1) == 0:
            self._log.warning(
                "skipped a bad message (%s, %d so far): %s; its samples are missing; see who sends here, and as what",
                reason,
                count,
                text,
            )


def endless(seconds: float | None) -> float:
    """A limit in seconds, None for none. Raises ValueError."""
    if seconds is None:
        return math.inf
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"expected a positive number of seconds or None, got {seconds!r}")
    return seconds
