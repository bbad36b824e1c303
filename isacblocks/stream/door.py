"""The door of a process: who may connect to its TCP sockets is decided before a single message is exchanged.

libzmq asks a handler (ZAP, RFC 27) about every connection to a socket that has a domain: there can be one handler in a
context, so all sockets of a process share it. It answers by the socket's *guard*: tokens for the links of a flowgraph, whose
ends have been told them (PLAIN), or key pairs and an allow-list (CURVE). Whoever is not let in is counted.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import threading
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

import zmq

from isacblocks.stream.link import EdgeSpec
from isacblocks.stream.refusals import Refusals

HANDSHAKE = 10_000  # ms that a connection may take for it
_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_PATIENCE = 1.0  # seconds for the thread to end


class Guard(Protocol):
    """Decides for one socket."""

    def arm(self, socket: zmq.Socket[bytes]) -> None:
        """Make the socket ask for what this guard wants to see."""

    def admits(self, mechanism: bytes, credentials: list[bytes]) -> str | None:
        """The name of who is let in, None for others."""

    def still_admits(self, name: str) -> bool:
        """Whether whoever was let in under a name would be let in now."""


class Tokens:
    """Of the edges of an output port, whose receivers show the token that only they have."""

    def __init__(self, edges: Iterable[EdgeSpec]) -> None:
        self._edges = {edge.receiver.encode(): edge.token.hex().encode() for edge in edges}

    def arm(self, socket: zmq.Socket[bytes]) -> None:
        """See :class:`Guard`."""
        socket.plain_server = True

    def admits(self, mechanism: bytes, credentials: list[bytes]) -> str | None:
        """See :class:`Guard`. credentials: user and password."""
        if mechanism != b"PLAIN" or len(credentials) != 2:
            return None
        token = self._edges.get(credentials[0], b"")
        known = hmac.compare_digest(token, credentials[1]) and bool(token)
        return credentials[0].decode() if known else None

    def still_admits(self, name: str) -> bool:
        """See :class:`Guard`. A token holds as long as its flowgraph runs."""
        return True


def show_token(socket: zmq.Socket[bytes], edge: EdgeSpec) -> None:
    """At the other end: what :class:`Tokens` wants to see."""
    socket.plain_username = edge.receiver.encode()
    socket.plain_password = edge.token.hex().encode()


class Door:
    """The handler of one context: a thread that sleeps until somebody connects, from the first socket to the last."""

    _doors: ClassVar[dict[int, Door]] = {}
    _lock = threading.Lock()

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._guards: dict[bytes, tuple[Guard, Refusals]] = {}
        self._context = context
        self._socket = context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(_ENDPOINT)
        end = f"inproc://isacblocks-door-{secrets.token_hex(8)}"  # of its own: a closed one gives its name back later
        self._inside, self._outside = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
        for socket in (self._inside, self._outside):
            socket.linger = 0
        self._inside.bind(end)
        self._outside.connect(end)
        self._thread = threading.Thread(target=self._serve, name="isacblocks door", daemon=True)
        self._thread.start()

    @classmethod
    def watch(cls, socket: zmq.Socket[bytes], guard: Guard, refusals: Refusals) -> Watch:
        """Let nobody connect to `socket`, which has yet to be bound, but whom `guard` admits."""
        domain = secrets.token_hex(8).encode()
        with cls._lock:
            key = socket.context.underlying
            door = cls._doors.get(key)
            if door is None:
                door = cls._doors[key] = Door(socket.context)
            door._guards[domain] = guard, refusals
        guard.arm(socket)
        socket.zap_domain = domain
        socket.handshake_ivl = HANDSHAKE
        keep_alive(socket)
        return Watch(door, domain)

    def leave(self, domain: bytes) -> None:
        """A socket has been closed."""
        with self._lock:
            self._guards.pop(domain, None)
            if self._guards or self._doors.get(self._context.underlying) is not self:
                return
            del self._doors[self._context.underlying]
        with contextlib.suppress(zmq.ZMQError):
            self._outside.send(b"", zmq.NOBLOCK)
        self._thread.join(_PATIENCE)
        self._outside.close(0)

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._inside, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                if self._inside in ready:
                    return
                self._socket.send_multipart(self._answer(self._socket.recv_multipart()))
        except zmq.ZMQError:
            pass  # the context is being ended
        finally:
            with contextlib.suppress(zmq.ZMQError):  # close() alone gives the name back later, and the next door wants it
                self._socket.unbind(_ENDPOINT)
            self._socket.close(0)
            self._inside.close(0)

    def _answer(self, request: list[bytes]) -> list[bytes]:
        """The reply to a request: origin, "", version, number, domain, address, identity, mechanism, credentials."""
        origin, empty, _, number, domain, address, _, mechanism, *credentials = request
        guard, refusals = self._guards.get(domain, (None, None))
        name = guard.admits(mechanism, credentials) if guard is not None else None
        if name is not None:
            return [origin, empty, _VERSION, number, b"200", b"OK", name.encode(), b""]
        if refusals is not None:
            refusals.note("handshake", f"{address.decode(errors='replace')} showed nothing that lets it in")
        return [origin, empty, _VERSION, number, b"400", b"not let in", b"", b""]


class Watch:
    """The door's promise to one socket."""

    def __init__(self, door: Door, domain: bytes) -> None:
        self._door = door
        self._domain = domain

    def end(self) -> None:
        """The socket has been closed; calling it twice does no harm."""
        self._door.leave(self._domain)


def keep_alive(socket: zmq.Socket[bytes]) -> None:
    """Let the system see that a connection has been cut without a word. Receivers ask again long before that.

    Not by ZMTP's heartbeats: libzmq (4.3.5, its issues 3937 and 4767) aborts the process where one of them closes a
    connection whose reading it has put off.
    """
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle, socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = 10, 5, 3


def guarded(endpoint: str) -> bool:
    """Whether a socket there can be reached by others than this user: what is in a directory of mode 0700 cannot."""
    return endpoint.startswith("tcp:")


def name_of(part: Any) -> str:
    """Who sent a part of a message, as its guard named it; "" where nobody guards."""
    try:
        return str(part.get("User-Id"))
    except zmq.ZMQError:
        return ""
