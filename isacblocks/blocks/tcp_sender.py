"""Sends a stream to another flowgraph, on this host or another one."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from isacblocks.stream import Block, In, Reading
from isacblocks.stream.address import AccessError, is_loopback, parse_address
from isacblocks.stream.keys import AllowList, KeyGuard, load_keys
from isacblocks.stream.link import POLICIES, EdgeSpec
from isacblocks.stream.outlet import Outlet
from isacblocks.stream.spec import ANY, Items

PORT = 5650  # where none is said
_ROUND = 0.005  # seconds between looks at what the receiver has said
_ATTEND = 0.05  # seconds between orders while waiting


def edge_of(stream: str, policy: str, depth: int) -> EdgeSpec:
    """What both ends of the link know of it. Who may use it is decided by keys, not by its token."""
    token = hashlib.sha256(b"isacblocks stream " + stream.encode()).digest()[:16]
    return EdgeSpec(f"{stream} (sender)", f"{stream} (receiver)", token, policy, depth)


class TcpSender(Block):
    """A sink for any record; a :class:`TcpReceiver` in another flowgraph takes what comes here, as over any other link.

    address: HOST:PORT to bind, port 0 for a free one (``endpoint`` says which); stream: a name that both ends say; keys: the
    file of this host's keys; allowed: the list of the receivers' public keys, read again when it changes; policy, depth: as
    of connect(). One receiver at a time; it may leave and come back, or be another one, and gets what has not been
    acknowledged. Without keys only this machine is served. Raises AccessError for an address beyond loopback without keys
    and a list, ValueError for a policy or depth that cannot be.
    """

    items = In(ANY)
    produced = Reading("items")
    committed = Reading("items")
    in_flight = Reading("items")
    dropped = Reading("items")
    refused = Reading("messages")

    def __init__(
        self,
        address: str = "",
        stream: str = "isacblocks",
        keys: str | Path | None = None,
        allowed: str | Path | None = None,
        policy: str = "block",
        depth: int = 16,
    ) -> None:
        self.host, self.port = parse_address(address, PORT)
        if (keys is None or allowed is None) and not is_loopback(self.host):
            raise AccessError(
                f"{self.host}: others can reach a sender there, so it needs keys and a list of those it may send to; make "
                "them with isacblocks keys, or bind 127.0.0.1"
            )
        if (keys is None) != (allowed is None):
            raise AccessError("keys and allowed belong together: whoever has keys says whom they let in")
        if policy not in POLICIES or depth < 1:
            raise ValueError(f"expected a policy of {', '.join(POLICIES)} and a depth of at least 1, got {policy}, {depth}")
        files = [None if path is None else str(Path(path).absolute()) for path in (keys, allowed)]
        self.arguments = ((address, stream, *files, policy, depth), {})
        self.edge = edge_of(stream, policy, depth)
        self.guard = None if keys is None or allowed is None else KeyGuard(load_keys(keys), AllowList(allowed))
        self.endpoint = ""
        self._outlet: Outlet | None = None
        self._context: Any = None
        self._lock = threading.Lock()  # of the outlet, which a thread of its own keeps talking to the receiver
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Bind, so that an address in use is told before anything runs."""
        super().start()
        self._close()
        self._context = zmq.Context()
        host = f"[{self.host}]" if ":" in self.host else self.host
        bind, layout, epoch = f"tcp://{host}:{self.port or '*'}", self.ports["items"].layout, secrets.randbits(63) | 1
        try:
            self._outlet = Outlet(self._context, bind, layout, [self.edge], epoch, guard=self.guard, joining=True)
        except BaseException:
            self._context.term()
            raise
        self.endpoint = self._outlet.endpoint
        self._over.clear()
        self._thread = threading.Thread(target=self._talk, args=(self._outlet,), name="isacblocks tcp sender", daemon=True)
        self._thread.start()

    def _talk(self, outlet: Outlet) -> None:
        while not self._over.wait(_ROUND):
            with self._lock:
                outlet.pump()

    def process(self, items: Items) -> None:
        """Hand the items to the link, as soon as it has room."""
        assert self._outlet is not None
        fields = {name: np.array(array) for name, array in items.fields.items()}  # the link keeps them: what came must not
        self._wait(self._outlet.room)
        sent = Items(items.layout, fields, len(items), first=items.first, message=items.message, sent=items.sent)
        self._send(self._outlet, sent)

    def _send(self, outlet: Outlet, items: Items) -> None:
        with self._lock:
            outlet.send(items)
            book = outlet.counts()[0]
        self.produced, self.committed = float(book.produced), float(book.committed)
        self.in_flight, self.dropped = float(book.in_flight), float(book.lost)
        self.refused = float(outlet.refusals.bad)

    def _wait(self, until: Any) -> None:
        """Until something holds of the outlet; takes in orders, which may end the waiting."""
        attended = time.monotonic()
        while True:
            with self._lock:
                if until():
                    return
            if self.attend is not None and time.monotonic() - attended > _ATTEND:
                attended = time.monotonic()
                self.attend()
            time.sleep(_ROUND / 5)

    def finish(self) -> None:
        """Send the end, and wait until the receiver has all. What is stopped has not ended: more may come after it."""
        outlet = self._outlet
        if outlet is None:
            return
        try:
            if self.attend is not None:
                self._send(outlet, Items(outlet.layout, outlet.layout.nothing, 0, sent=time.time(), final=True))
                self._wait(outlet.drained)
                self.committed, self.in_flight = float(outlet.counts()[0].committed), 0.0
        finally:
            self._close()

    def _close(self) -> None:
        if self._outlet is None:
            return
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._outlet.close()
        self._context.term()
        self._outlet = self._thread = None
