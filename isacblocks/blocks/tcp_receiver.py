"""Receives a stream from another flowgraph, on this host or another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zmq

from isacblocks.blocks.tcp_sender import PORT, edge_of
from isacblocks.stream import Out, Reading, Record, Source, State
from isacblocks.stream.address import AccessError, is_loopback, parse_address
from isacblocks.stream.inlet import Inlet
from isacblocks.stream.keys import load_keys, load_public, show_keys
from isacblocks.stream.offer import read_descriptor
from isacblocks.stream.spec import ANY, Items, Layout, resolve

_PATIENCE = 0.02  # seconds that produce() waits for a message


class TcpReceiver(Source):
    """What a :class:`TcpSender` of another flowgraph is given, as a source.

    address: HOST:PORT of the sender; record, sizes: what it sends, as its port declares it, say FRAME, {"N": 64, "S": 256};
    stream: the name that both ends say; keys: the file of this host's keys; sender: the file of the sender's public key: to
    another one nothing is said. Messages are handed on as they come, and acknowledged when the next one is asked for: who
    takes the place of a killed one goes on with the message after the last that it handed on. When the sender begins anew,
    its numbers do too; here they go on. Raises AccessError for another host without keys.
    """

    replayable = False  # the sender forgets what was acknowledged
    out = Out(ANY)
    link = State(dict)  # where the inlet is, and in which run of the sender
    taken = State("int64")  # items of the next message that were handed on: it was larger than asked for
    committed = Reading("items")
    refused = Reading("messages")
    senders = Reading("1", "runs of the sender that were listened to, one after the other")

    def __init__(
        self,
        address: str,
        record: Record | bytes,
        sizes: Mapping[str, int] | None = None,
        stream: str = "isacblocks",
        keys: str | Path | None = None,
        sender: str | Path | None = None,
    ) -> None:
        self.host, self.port = parse_address(address, PORT)
        if (keys is None) != (sender is None) or (keys is None and not is_loopback(self.host)):
            raise AccessError(
                f"{self.host}: a sender on another host is known by its public key and knows us by ours; give the files of "
                "our keys and of its public key, made by isacblocks keys"
            )
        self.layout: Layout = (
            read_descriptor(record) if isinstance(record, bytes) else resolve(record, sizes or {}, "TcpReceiver")
        )
        files = [None if path is None else str(Path(path).absolute()) for path in (keys, sender)]
        self.arguments = ((address, self.layout.descriptor, None, stream, *files), {})
        self.edge = edge_of(stream, "block", 16)
        self.pair = None if keys is None else load_keys(keys)
        self.sender = None if sender is None else load_public(sender)
        self.ports["out"].adopt(self.layout)
        self._context: Any = None
        self._inlet: Inlet | None = None

    def _show(self, socket: zmq.Socket[bytes]) -> None:
        assert self.pair is not None
        assert self.sender is not None
        show_keys(socket, self.pair, self.sender)

    def start(self) -> None:
        """Connect; the sender need not be there yet."""
        super().start()
        self._close()
        self._context = zmq.Context()
        host = f"[{self.host}]" if ":" in self.host else self.host
        show = None if self.pair is None else self._show
        self._inlet = Inlet(self._context, f"tcp://{host}:{self.port}", self.layout, self.edge, 0, show=show, joining=True)

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on where an earlier self was, as far as the sender still has it."""
        super().restore(saved)
        assert self._inlet is not None
        if self.link:
            self._inlet.epoch = self.link["epoch"]
            self._inlet.restore(self.link)

    def produce(self, first: int, count: int) -> Items | None:
        """The next message, or what is left of it; no items where none has come, None behind the last one."""
        inlet = self._inlet
        assert inlet is not None
        items = self._next(inlet)
        if items is None:
            return None if inlet.ended else self.out.items(**self.layout.nothing)
        part = items.slice(self.taken, self.taken + count)
        self.taken += len(part)
        if self.taken == len(items):
            self._commit(inlet)
        return self.out.items(**part.fields)

    def _next(self, inlet: Inlet) -> Items | None:
        """The next message with items; those before it are acknowledged."""
        while True:
            inlet.acknowledge(urgent=inlet.head() is None)
            inlet.pump()
            if inlet.head() is None and inlet.socket.poll(round(1000 * _PATIENCE)):
                inlet.pump()
            items = inlet.head()
            inlet.doubt()  # a connection that is only half there is noticed by asking
            if items is None:
                return None
            if items.serial != self.link.get("next", 0) or inlet.epoch != self.link.get("epoch"):
                self.taken = 0  # another message than the one that was begun
                self.link = self._where(inlet)
            if len(items):
                return items
            self._commit(inlet)
            if inlet.ended:
                inlet.acknowledge(urgent=True)
                return None

    def _commit(self, inlet: Inlet) -> None:
        """All of a message has been handed on."""
        inlet.commit()
        self.taken, self.link = 0, self._where(inlet)
        self.committed, self.refused = float(inlet.committed), float(inlet.refusals.bad)
        self.senders = float(inlet.joined)

    @staticmethod
    def _where(inlet: Inlet) -> dict[str, Any]:
        return {"epoch": inlet.epoch, **inlet.save()}

    def finish(self) -> None:
        """Say how far we are, and go."""
        self._close()

    def _close(self) -> None:
        if self._inlet is None:
            return
        self._inlet.acknowledge(urgent=True)
        self._inlet.socket.close(500)  # the last word has a moment to get out
        self._inlet = None
        self._context.term()
