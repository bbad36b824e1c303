"""Links: an Outlet sends what an output port makes, an Inlet receives what an input port takes, by credit.

One ROUTER socket per output port, one DEALER socket per input port. The receiver opens with HELLO (which message it
wants next), the sender answers OPEN (its descriptor) and sends; the receiver acknowledges what has been processed, not
merely received, and the sender keeps every message until then. So the sender knows, at every moment, for every edge

    produced = committed + in flight + dropped

and a receiver that comes back asks for what it has not committed. Policies, per edge:

- ``block``: at most `depth` messages or `budget` bytes are on their way, then the sender's block waits. Nothing is lost.
- ``drop-oldest``: while the receiver is behind, a queue of `depth` messages; the oldest one makes place for a new one.
- ``latest``: while the receiver is behind, only the newest message is kept.

A peer is known by a token that only the two ends have; whatever comes from elsewhere is counted and ignored.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from typing import Any

import msgspec
import zmq

from isacblocks.stream import wire
from isacblocks.stream.errors import PlacementError, WireError, WiringError
from isacblocks.stream.spec import Items, Layout, mismatch

POLICIES = ("block", "drop-oldest", "latest")
HELLO_INTERVAL = 0.2  # seconds between HELLOs until the sender has answered
_LARGEST_PART = 1 << 31  # bytes; libzmq closes a connection that claims more


def has_arrived(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message can be received at once."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def _text(value: bytes | int) -> str:
    return value.decode().rstrip("\0") if isinstance(value, bytes) else str(value)


class EdgeSpec(msgspec.Struct, frozen=True):
    """One edge as both of its ends need to know it. lag: of a feedback; None with `feedback` means the latest."""

    sender: str  # "block.port"
    receiver: str
    token: bytes
    policy: str = "block"
    depth: int = 4  # messages
    budget: int = 64 << 20  # bytes; one message may always be on its way
    feedback: bool = False
    lag: int | None = None


class EdgeCount(msgspec.Struct):
    """The books of one edge, in items: produced = committed + in_flight + sum of dropped, at every moment."""

    sender: str
    receiver: str
    produced: int = 0
    committed: int = 0
    in_flight: int = 0
    dropped: dict[str, int] = {}
    messages: int = 0

    @property
    def lost(self) -> int:
        """Items dropped for any reason."""
        return sum(self.dropped.values())

    @property
    def balanced(self) -> bool:
        """Whether the law holds."""
        return self.produced == self.committed + self.in_flight + self.lost


class Parcel(msgspec.Struct):
    """A message ready to send, kept until it is acknowledged."""

    serial: int
    count: int
    size: int
    parts: list[Any]
    final: bool


class _Peer:
    """The sending end of one edge."""

    def __init__(self, edge: EdgeSpec) -> None:
        self.edge = edge
        self.pending: deque[Parcel] = deque()  # never sent: only these may be dropped
        self.again: deque[Parcel] = deque()  # sent to an earlier self of the receiver, to be sent once more
        self.unacknowledged: deque[Parcel] = deque()  # sent
        self.bytes = 0
        self.produced = 0
        self.committed = 0
        self.messages = 0
        self.dropped: Counter[str] = Counter()
        self.open = False
        self.acknowledged = 0  # serial up to which the receiver has everything
        self.recent: deque[Parcel] = deque(maxlen=edge.lag or 0)  # what a lagged feedback must be able to send again
        self.owed = 0  # items of an earlier run whose fate only the receiver knows, until its HELLO tells

    def room(self) -> bool:
        """Whether a lossless edge may take one more message."""
        waiting = len(self.pending) + len(self.again) + len(self.unacknowledged)
        return self.edge.policy != "block" or not waiting or (waiting < self.edge.depth and self.bytes < self.edge.budget)

    def push(self, parcel: Parcel) -> None:
        self.produced += parcel.count
        self.messages += 1
        if self.edge.policy != "block" and not parcel.final:
            limit = 1 if self.edge.policy == "latest" else self.edge.depth
            while self.pending and (len(self.pending) >= limit or self.bytes + parcel.size > self.edge.budget):
                old = self.pending.popleft()
                self.bytes -= old.size
                self.dropped["superseded" if self.edge.policy == "latest" else "overflow"] += old.count
        self.pending.append(parcel)
        self.recent.append(parcel)
        self.bytes += parcel.size

    def window(self) -> int:
        """Messages that may be sent and not yet acknowledged."""
        return 1 if self.edge.policy == "latest" else self.edge.depth

    def acknowledge(self, serial: int, committed: int, dropped: dict[str, int]) -> None:
        """Everything before message `serial` has been committed or dropped by the receiver; totals over all runs.

        Of a receiver that came back, words of its earlier self may still arrive late; they say less and are ignored.
        """
        if serial < self.acknowledged:
            return
        self.acknowledged = serial
        for queue in (self.unacknowledged, self.again, self.pending):  # pending ones: sent before a checkpoint
            while queue and queue[0].serial < serial:
                self.bytes -= queue.popleft().size
        self.committed = committed
        for reason, count in dropped.items():
            self.dropped[reason] = count

    def greet(self, serial: int, committed: int, dropped: dict[str, int]) -> None:
        """The receiver is there and wants message `serial` next: settle the books and send again from there on."""
        self.open = True
        self.acknowledge(serial, committed, dropped)
        self.again.extendleft(reversed(self.unacknowledged))
        self.unacknowledged.clear()
        if self.owed:
            self.owed = 0
            book = self.count()
            gone = book.produced - book.committed - book.in_flight - book.lost
            if gone:
                self.dropped["restart"] += gone

    def count(self) -> EdgeCount:
        held = (*self.pending, *self.again, *self.unacknowledged)
        in_flight = sum(parcel.count for parcel in held) + self.owed
        return EdgeCount(
            self.edge.sender, self.edge.receiver, self.produced, self.committed, in_flight, dict(self.dropped), self.messages
        )


class Outlet:
    """The sending end of an output port: one socket, any number of edges."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], bind: str, layout: Layout, edges: list[EdgeSpec], epoch: int
    ) -> None:
        self.layout = layout
        self.epoch = epoch
        self.strangers = 0  # messages from peers that are not on the list
        self.produced = 0  # items
        self.serial = 0  # of the next message
        self._log = logging.getLogger("isacblocks.stream.link")
        self._peers = {edge.token: _Peer(edge) for edge in edges}
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.sndhwm = 0  # what may be on its way is bounded by credit
        self.socket.rcvhwm = 0
        self.socket.maxmsgsize = _LARGEST_PART
        self.socket.router_mandatory = True
        self.socket.router_handover = True  # a receiver that comes back takes the place of its earlier self
        try:
            self.socket.bind(bind)
        except zmq.ZMQError as error:
            self.socket.close(0)
            raise PlacementError(
                f"{edges[0].sender} cannot be bound to {bind}: {zmq.strerror(error.errno or 0)}; choose another port"
            ) from error
        self.endpoint = bind if bind.startswith("inproc:") else _text(self.socket.getsockopt(zmq.LAST_ENDPOINT))

    def room(self) -> bool:
        """Whether one more message may be sent without a lossless edge running over."""
        return all(peer.room() for peer in self._peers.values())

    def send(self, items: Items) -> None:
        """Hand one message to every edge; its arrays belong to the link from now on."""
        parts = wire.encode(items, self.epoch, self.serial)
        size = self.layout.item_bytes * items.count + wire.HEADER_BYTES
        parcel = Parcel(self.serial, items.count, size, parts, items.final)
        self.serial += 1
        self.produced += items.count
        for peer in self._peers.values():
            peer.push(parcel)
            self._flush(peer)

    def pump(self) -> bool:
        """Take in acknowledgements and requests, send what has become sendable; True where something came."""
        came = False
        while has_arrived(self.socket):
            token, *parts = self.socket.recv_multipart(zmq.NOBLOCK)
            came = True
            peer = self._peers.get(token)
            if peer is None:
                self.strangers += 1
                continue
            try:
                self._take(peer, token, parts)
            except (WireError, ValueError) as error:
                self.strangers += 1
                self._log.warning("%s: ignored a bad request from %s: %s", peer.edge.sender, peer.edge.receiver, error)
        return came

    def _take(self, peer: _Peer, token: bytes, parts: list[bytes]) -> None:
        if len(parts) != 2:
            raise WireError("parts", f"a request has 2 parts, got {len(parts)}")
        header = wire.unpack(parts[0])
        if header.stream != self.layout.stream_id:
            raise WireError("stream", f"the receiver expects another stream than {self.layout.record}")
        dropped = msgspec.msgpack.decode(parts[1], type=dict[str, int])
        if header.kind == wire.HELLO:
            peer.greet(header.serial, header.first, dropped)
            answer = wire.pack(wire.Header(wire.OPEN, 0, self.layout.stream_id, self.epoch, 0, 0, 0, 0, 1, time.time()))
            self._deliver(peer, [answer, self.layout.descriptor])
        elif header.kind == wire.ACK:
            peer.acknowledge(header.serial, header.first, dropped)
        else:
            raise WireError("kind", f"a receiver does not send messages of kind {header.kind}")
        self._flush(peer)

    def _deliver(self, peer: _Peer, parts: list[Any]) -> bool:
        try:
            self.socket.send_multipart([peer.edge.token, *parts], copy=False)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise
            peer.open = False  # it will say HELLO when it is back
            return False
        return True

    def _flush(self, peer: _Peer) -> None:
        while peer.open and len(peer.unacknowledged) < peer.window():
            queue = peer.again or peer.pending
            if not queue or not self._deliver(peer, queue[0].parts):
                return
            peer.unacknowledged.append(queue.popleft())

    def drained(self) -> bool:
        """Whether everything that was sent has been acknowledged."""
        return not any(peer.pending or peer.again or peer.unacknowledged for peer in self._peers.values())

    def counts(self) -> list[EdgeCount]:
        """The books of all edges of this port."""
        return [peer.count() for peer in self._peers.values()]

    def save(self) -> dict[str, Any]:
        """What a checkpoint keeps: the totals, and the last messages of lagged feedback edges, still on their way."""
        kept = {}
        for peer in self._peers.values():
            kept[peer.edge.receiver] = {
                "serial": self.serial,
                "produced": peer.produced,
                "messages": peer.messages,
                "dropped": dict(peer.dropped),
                "recent": [[bytes(part) for part in p.parts] for p in peer.recent],
            }
        return kept

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue the books of :meth:`save`, with the kept messages waiting to be sent again."""
        for peer in self._peers.values():
            kept = saved[peer.edge.receiver]
            self.serial = kept["serial"]
            self.produced = peer.produced = kept["produced"]
            peer.messages = kept["messages"]
            peer.dropped = Counter(kept["dropped"])
            for parts in kept["recent"]:
                header = wire.unpack(parts[0])
                parcel = Parcel(header.serial, header.count, sum(len(p) for p in parts), list(parts), False)
                peer.again.append(parcel)
                peer.recent.append(parcel)
                peer.bytes += parcel.size
            peer.owed = peer.produced - sum(peer.dropped.values()) - sum(p.count for p in peer.again)

    def close(self) -> None:
        """Close the socket; unsent messages are gone."""
        self.socket.close(0)


class Inlet:
    """The receiving end of an input port."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], connect: str, layout: Layout, edge: EdgeSpec, epoch: int
    ) -> None:
        self.layout = layout
        self.edge = edge
        self.epoch = epoch
        self.queue: deque[Items] = deque()
        self.expected = 0  # serial of the next message to receive
        self.next = 0  # serial of the next message to commit
        self.committed = 0
        self.dropped: Counter[str] = Counter()
        self.bad = 0  # messages that could not be read
        self.ended = False
        self._open = False
        self._said_hello = -1e9
        self._owing = 0  # acknowledgements not yet sent
        self._log = logging.getLogger("isacblocks.stream.link")
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = 0
        self.socket.rcvhwm = 0
        self.socket.maxmsgsize = _LARGEST_PART
        self.socket.routing_id = edge.token
        self.socket.reconnect_ivl = 10
        self.socket.reconnect_ivl_max = 200
        self.socket.connect(connect)

    def _say(self, kind: int) -> None:
        header = wire.Header(kind, 0, self.layout.stream_id, self.epoch, self.next, 0, self.committed, 0, 1, time.time())
        self.socket.send_multipart([wire.pack(header), msgspec.msgpack.encode(dict(self.dropped))])

    def hello(self) -> None:
        """Ask for everything from the first uncommitted message on."""
        self.queue.clear()
        self.expected = self.next
        self._open = False
        self._said_hello = time.monotonic()
        self._say(wire.HELLO)

    def pump(self) -> bool:
        """Receive what has come; True where something did."""
        if not self._open and time.monotonic() - self._said_hello > HELLO_INTERVAL:
            self.hello()
        came = False
        while has_arrived(self.socket):
            frames = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            came = True
            try:
                self._take([f.buffer for f in frames])
            except WireError as error:
                self.bad += 1
                if self.bad & (self.bad - 1) == 0:  # the 1st, 2nd, 4th, 8th, ...
                    self._log.warning("%s: skipped a bad message (%d so far): %s", self.edge.receiver, self.bad, error)
        return came

    def _take(self, parts: list[Any]) -> None:
        header = wire.unpack(parts[0])
        if header.kind == wire.OPEN:
            if len(parts) != 2:
                raise WireError("parts", f"an answer has 2 parts, got {len(parts)}")
            try:
                sent = msgspec.json.decode(parts[1], type=Layout)
            except ValueError as error:
                raise WireError("descriptor", f"not a descriptor: {error}") from error
            reason = mismatch(sent, self.layout)
            if reason:
                raise WiringError(f"{self.edge.sender} does not send what {self.edge.receiver} takes: {reason}")
            self._open = True
            return
        if header.kind != wire.DATA:
            raise WireError("kind", f"a sender does not send messages of kind {header.kind}")
        if not self._open:
            return  # meant for an earlier self of ours; after the answer to HELLO it comes again
        if header.serial < self.expected:
            self._owing += 1  # sent again although committed: say once more how far we are
            return
        if header.serial > self.expected and self.edge.policy == "block":
            if time.monotonic() - self._said_hello > HELLO_INTERVAL:
                self.hello()
            return
        self.expected = header.serial + 1
        try:
            items = wire.decode(header, parts[1:], self.layout)
        except WireError:
            # Its place in the stream stays, empty, so that the clock goes on; its items are counted as lost.
            final = bool(header.flags & wire.FINAL)
            empty = Items(self.layout, self.layout.empty(0), 0, message=header.message, sent=header.time, final=final)
            empty.spoiled = header.count
            empty.serial = header.serial
            self.queue.append(empty)
            raise
        items.serial = header.serial
        self.queue.append(items)

    def head(self) -> Items | None:
        """The oldest message not yet processed."""
        return self.queue[0] if self.queue else None

    def commit(self) -> None:
        """The oldest message has been processed, and what it led to has been handed on."""
        items = self.queue.popleft()
        self.committed += items.count
        self._pass(items)

    def discard(self, reason: str) -> None:
        """The oldest message will not be processed."""
        items = self.queue.popleft()
        self.dropped[reason] += items.count
        self._pass(items)

    def _pass(self, items: Items) -> None:
        if items.spoiled:
            self.dropped["bad"] += items.spoiled
        self.next = items.serial + 1
        self.ended = items.final
        self._owing += 1

    def acknowledge(self, urgent: bool) -> None:
        """Tell the sender how far we are, at the latest when half of its credit is used up."""
        if self._owing and (urgent or 2 * self._owing >= self.edge.depth or self.edge.policy == "latest"):
            self._owing = 0
            self._say(wire.ACK)

    def save(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"next": self.next, "committed": self.committed, "dropped": dict(self.dropped)}

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue after the last committed message of :meth:`save`."""
        self.next = self.expected = saved["next"]
        self.committed = saved["committed"]
        self.dropped = Counter(saved["dropped"])

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(0)
