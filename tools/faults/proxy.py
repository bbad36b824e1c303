"""A TCP proxy that does to connections what networks do to them, between the two ends of a flowgraph's links."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from unittest import mock

from isacblocks.stream.runner import Runner

_NOW = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset
_CHUNK = 1 << 16


class Connection:
    """One that is carried on, each way by a thread."""

    def __init__(self, proxy: Proxy, left: socket.socket, right: socket.socket) -> None:
        self.proxy = proxy
        self.ends = (left, right)
        self.silent = False
        for one, other in (self.ends, self.ends[::-1]):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._carry, args=(one, other), name="proxy", daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(_CHUNK):
                if self.silent:
                    continue
                if self.proxy.latency:
                    time.sleep(self.proxy.latency)
                if self.proxy.sliced and len(data) <= self.proxy.sliced:
                    for k in range(len(data)):
                        other.sendall(data[k : k + 1])
                else:
                    other.sendall(data)
        except OSError:
            pass
        if not self.silent:  # of a connection that is half open nobody hears that it ended
            self.end()

    def end(self, reset: bool = False) -> None:
        """Close both sides."""
        for end in self.ends:
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
                end.shutdown(socket.SHUT_RDWR) if not reset else None
                end.close()


class Proxy:
    """Carries connections to `port` of this machine on.

    latency: seconds for every piece; sliced: pieces of up to so many bytes go on byte by byte; held: seconds that a new
    connection waits at most before it is carried on, so that some overtake others.
    """

    def __init__(self, port: int, latency: float = 0.0, sliced: int = 0, held: float = 0.0, seed: int = 1) -> None:
        self.target = port
        self.latency, self.sliced, self.held = latency, sliced, held
        self.connections: list[Connection] = []
        self.carried = 0
        self._half: list[Connection] = []
        self._chance = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                left, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._open, args=(left, self._chance.random() * self.held), daemon=True).start()

    def _open(self, left: socket.socket, pause: float) -> None:
        time.sleep(pause)
        try:
            right = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            right.settimeout(None)
        except OSError:
            left.close()
            return
        self.connections.append(Connection(self, left, right))
        self.carried += 1

    def reset(self) -> None:
        """Break every connection, as a router does that has forgotten it."""
        gone, self.connections = self.connections, []
        for connection in gone:
            connection.end(reset=True)

    def half_open(self) -> None:
        """Every connection stays open, and nothing gets through any more."""
        gone, self.connections = self.connections, []
        for connection in gone:
            connection.silent = True
        self._half += gone

    def close(self) -> None:
        """No more connections."""
        self._listener.close()
        for connection in (*self.connections, *self._half):
            connection.end()


@contextlib.contextmanager
def between(**faults: float) -> Iterator[list[Proxy]]:
    """All links of the flowgraphs that run within are led through proxies, one a port; placement "tcp"."""
    proxies: list[Proxy] = []
    led: dict[str, str] = {}
    connect = Runner._connect

    def through(self: Runner, names: Iterable[str]) -> None:
        for port, endpoint in self._bound.items():
            if endpoint not in led:
                proxies.append(Proxy(int(endpoint.rsplit(":", 1)[1]), **faults))  # type: ignore[arg-type]
                led[endpoint] = f"tcp://127.0.0.1:{proxies[-1].port}"
                led[led[endpoint]] = led[endpoint]
            self._bound[port] = led[endpoint]
        connect(self, names)

    try:
        with mock.patch.object(Runner, "_connect", through):
            yield proxies
    finally:
        for proxy in proxies:
            proxy.close()
