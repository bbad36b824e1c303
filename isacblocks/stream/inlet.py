"""The receiving end of a link."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import zmq

from isacblocks.stream import box, wire
from isacblocks.stream.bell import Bell
from isacblocks.stream.books import Books
from isacblocks.stream.door import guarded, keep_alive, show_token
from isacblocks.stream.errors import WireError
from isacblocks.stream.link import EdgeSpec, gather, has_arrived, make_socket
from isacblocks.stream.memory import UnreachableError
from isacblocks.stream.offer import mismatch, read_descriptor
from isacblocks.stream.parcel import Parcel
from isacblocks.stream.reader import Reader
from isacblocks.stream.refusals import Refusals
from isacblocks.stream.request import Request, Words
from isacblocks.stream.spec import Items, Layout

SILENCE = 0.25  # seconds without a message, after which an end that doubts its connection asks
_LONGEST_SILENCE = 4.0
HELLO_INTERVAL = 0.2  # seconds between HELLOs until the sender has answered
TRIES = 3  # how often a message that cannot be read is asked for before its items are counted as lost


class Inlet(Books):
    """The receiving end of an input port.

    show: what is shown to a guard other than the edge's token; joining: the sender has runs of its own, and we begin where
    it is, with each of them (docs/wire.md).
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        connect: str,
        layout: Layout,
        edge: EdgeSpec,
        epoch: int,
        *,
        show: Callable[[zmq.Socket[bytes]], None] | None = None,
        joining: bool = False,
    ) -> None:
        super().__init__(Reader(mapped=max(32, 2 * edge.depth + 2)))
        self.layout = layout
        self.edge = edge
        self.epoch = epoch
        self.refusals = Refusals(edge.receiver)  # messages that were not taken
        self._parts = len(layout.fields) + 1  # of a message, at most
        self._unread = (-1, 0)  # serial of the last message that could not be read, and how often it came
        self.joined = 0  # how many senders, one after the other, we have begun to listen to
        self.open = False
        self.keep: Callable[[], None] | None = None  # takes a snapshot; called before anything is acknowledged
        self._seen, self._asked, self._patience = -1, 0.0, SILENCE
        self._said_hello = -1e9
        self._interval = edge.interval
        # At the latest when half of the credit, in messages or bytes, is used up
        self._owing_limit = 1 if edge.policy == "latest" else edge.depth / 2
        self._inline = False  # shared segments cannot be mapped here
        self.box = box.find(context, connect, edge.token)
        self.local = self.box is not None
        self._log = logging.getLogger("isacblocks.stream.link")
        self.socket = make_socket(context, zmq.DEALER)
        self.socket.routing_id = edge.token
        self._joining = joining
        if show is not None:
            show(self.socket)
        elif guarded(connect):
            show_token(self.socket, edge)
        self.remote = guarded(connect)  # its connection can break, and nobody is told
        if self.remote:
            keep_alive(self.socket)
        self.socket.reconnect_ivl = 10
        self.socket.reconnect_ivl_max = 200
        self.socket.connect(connect)
        self._connected = connect

    def _say(self, kind: int) -> None:
        told, committed, dropped = self.word()
        if self.box is not None:
            self.box.up.append((kind, told, committed, dropped, self._interval))
            if self.box.sender_sleeps:
                self.box.sender_sleeps = False
                if self.box.sender_bell is not None:
                    self.box.sender_bell.ring()
                else:
                    self._send(box.WAKE)
            return
        words = Words(dropped, self._reader.kept(told), min(self._said, told), self._interval)
        self._said = told
        self._send(Request(kind, self.epoch, told, committed, words, self._inline).write(self.layout.stream_id))

    def _send(self, data: bytes) -> None:
        """Never waits: a socket inside a process has nowhere to send to once the sender has closed its own."""
        with contextlib.suppress(zmq.Again):
            self.socket.send(data, zmq.NOBLOCK)

    def hello(self) -> None:
        """Ask for everything from the first uncommitted message on."""
        self.queue.clear()
        self.expected = self.next
        self.open = False
        self._said_hello = time.monotonic()
        self._say(wire.HELLO)

    def knock(self) -> None:
        """Say HELLO, again and again, until it has been answered."""
        if not self.open and time.monotonic() - self._said_hello > HELLO_INTERVAL:
            self.hello()

    def pump(self) -> bool:
        """Receive what has come; True where something did."""
        self.knock()
        came = self.collect()
        while has_arrived(self.socket):
            self.receive()
            self.collect()
            came = True
        return came

    def collect(self) -> bool:
        """Take in what a sender in this process has handed over; True where something was."""
        if self.box is None or not self.box.down:
            return False
        while self.box.down:
            thing = self.box.down.popleft()
            if isinstance(thing, Parcel) and thing.items is not None:
                self._take_parcel(thing.items, thing.serial)
            else:
                self._read_parts(thing.inline() if isinstance(thing, Parcel) else thing)
        return True

    def boxes(self) -> list[deque[Any]]:
        """Where :meth:`collect` finds something, if anywhere."""
        return [] if self.box is None else [self.box.down]

    def hear(self, bell: Bell | None) -> None:
        """What a sender in this process wakes us with, None for the socket."""
        if self.box is not None:
            self.box.receiver_bell = bell

    def starved(self) -> bool:
        """Whether a block has to wait until something comes here."""
        return not (self.queue or self.ended or self.edge.feedback)

    def sleep(self, asleep: bool, starved: bool = False) -> None:
        """Whether a sender in this process has to wake us: where there is something, more of it can wait.

        starved: the block waits for its data, and a feedback alone would wake it for nothing.
        """
        if self.box is not None:
            wanted = not self.open or self.ended or (not starved if self.edge.feedback else not self.queue)
            self.box.receiver_sleeps = asleep and wanted

    def glance(self) -> None:
        """Receive one message if it is needed and has arrived."""
        if not self.queue:
            try:  # noqa: SIM105 - in every round, and suppress() costs as much as a message's header
                self.receive()
            except zmq.Again:
                pass

    def receive(self) -> None:
        """Receive one message. Raises zmq.Again where none has arrived."""
        try:
            first, *others = gather(self.socket, self._parts)
        except WireError as error:
            self.refusals.note(error.reason, error)
            return
        parts: list[Any] = [first.bytes, *(other.buffer for other in others)]
        if parts != [box.WAKE] or self.box is None:
            self._read_parts(parts)

    def _read_parts(self, parts: list[Any]) -> None:
        try:
            self._take(parts)
        except WireError as error:
            self.refusals.note(error.reason, error)

    def _take(self, parts: list[Any]) -> None:
        header = wire.unpack(parts[0])
        if header.kind == wire.OPEN:
            self._be_opened(header, parts)
            return
        if header.kind != wire.DATA:
            raise WireError("kind", f"a sender does not send messages of kind {header.kind}")
        wire.check(header, self.layout)  # what is of another stream has no place in this one
        if not self._is_next(header.serial):
            return
        self.expected = header.serial + 1
        try:
            items = self._reader.read(header, parts, self.layout)
        except UnreachableError as error:
            self._do_without_memory(error)
            return
        except WireError:
            self._keep_the_place(header)
            raise
        items.serial = header.serial
        self.queue.append(items)

    def _do_without_memory(self, error: UnreachableError) -> None:
        """A shared segment is out of our reach: ask for what it holds by the socket, from now on."""
        if self._inline:
            raise WireError("memory", "a shared segment came although they cannot be mapped here") from error
        self._inline = True
        self._log.warning(
            "%s: no shared memory with %s, %s; from now on its frames go through the socket: the same items, slower; "
            "this is said once; unless the sender has just died, run both as one user in one container, or raise the "
            "limit on files (ulimit -n), and start again",
            self.edge.receiver,
            self.edge.sender,
            error,
        )
        self.hello()

    def _keep_the_place(self, header: wire.Header) -> None:
        """A message cannot be read: ask for it again, where the sender still has it, some times. After that its place in the
        stream stays, empty, so that the clock goes on; its items are counted as lost.
        """
        serial, tries = self._unread
        self._unread = header.serial, tries + 1 if serial == header.serial else 1
        if self._unread[1] < TRIES and self.edge.policy == "block":
            self.hello()  # the sender still has it
            return
        final = bool(header.flags & wire.FINAL)
        empty = Items(self.layout, self.layout.nothing, 0, message=header.message, sent=header.time, final=final)
        empty.spoiled = header.count
        empty.serial = header.serial
        self.queue.append(empty)

    def _is_next(self, serial: int) -> bool:
        """Whether a message is the one to take now."""
        if not self.open:
            self.refusals.count("early")
            return False  # meant for an earlier self of ours; after the answer to HELLO it comes again
        if serial < self.expected:
            self.refusals.count("replayed")
            self.owing += 1  # sent again although committed: say once more how far we are
            return False
        if serial > self.expected and self.edge.policy == "block":
            self.refusals.count("ahead")
            if time.monotonic() - self._said_hello > HELLO_INTERVAL:
                self.hello()
            return False
        return True

    def _take_parcel(self, sent: Items, serial: int) -> None:
        """Take a message as its sender in this process made it: its arrays are read-only, and ours are the same."""
        if not self._is_next(serial):
            return
        self.expected = serial + 1
        items = Items(self.layout, dict(sent.fields), sent.count)
        items.first, items.message, items.sent = sent.first, sent.message, sent.sent
        items.final, items.absent = sent.final, sent.absent
        items.serial = serial
        self.queue.append(items)

    def _be_opened(self, header: wire.Header, parts: list[Any]) -> None:
        if len(parts) != 1:
            raise WireError("parts", f"an answer has 1 part, got {len(parts)}")
        sent = read_descriptor(memoryview(parts[0])[wire.HEADER_BYTES :])
        reason = mismatch(sent, self.layout)
        if reason:
            raise WireError("stream", f"{self.edge.sender} does not send what {self.edge.receiver} takes: {reason}")
        anew = header.epoch != self.epoch
        if self._joining and (anew or header.serial > self.next):  # another sender, or it has forgotten what we ask for
            self.epoch = header.epoch
            self.next = self.expected = header.serial
            self.committed = header.first
            self.dropped = Counter({"bad": header.message} if header.message else {})
            self.joined += anew
        self.open = True

    def acknowledge(self, urgent: bool) -> None:
        """Tell the sender how far we are, at the latest when half of its credit, in messages or bytes, is used up."""
        owing = self.owing
        if owing and (urgent or owing >= self._owing_limit or 2 * self._owing_bytes >= self.edge.budget):
            if self.keep is not None:
                self.keep()
            self._say(wire.ACK)

    def want(self, interval: float) -> None:
        """Tell the sender of a lossy edge that the newest message in so many seconds is enough; 0: all are wanted."""
        if interval != self._interval:
            self._interval = interval
            if self.open:  # else HELLO will say it
                if self.keep is not None:
                    self.keep()
                self._say(wire.ACK)

    def move(self, connect: str) -> None:
        """The sender has a new process."""
        with contextlib.suppress(zmq.ZMQError):  # a connection that failed in its handshake is not there any more
            self.socket.disconnect(self._connected)
        self.socket.connect(connect)
        self._connected = connect
        self._inline = False
        self._reader.forget()
        self.hello()

    def doubt(self) -> None:
        """Where nothing has come for long: say HELLO, and where the last one was not answered, connect anew.

        A ROUTER whose peer comes back twice at almost the same time may keep the older connection and leave the newer one
        open, with nobody behind it. The sender may as well be slow: the questions become rare. After the end of the stream
        they go on: what was said last may have been lost with the connection, and the sender waits for it.
        """
        now = time.monotonic()
        if self.queue or self.expected != self._seen:
            self._seen, self._asked, self._patience = self.expected, now, SILENCE
        elif now - self._asked > self._patience:
            self._asked, self._patience = now, min(2 * self._patience, _LONGEST_SILENCE)
            if self.open:
                self.hello()
            else:
                self.move(self._connected)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(0)
