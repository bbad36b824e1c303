"""Takes items from a GNU Radio flowgraph that sends them by one of its ZeroMQ blocks.

    ZMQ PUB Sink  --> pattern "sub"      ZMQ PUB Message Sink  --> pattern "sub", messages=True
    ZMQ PUSH Sink --> "pull"             ZMQ PUSH Message Sink --> "pull", messages=True
    ZMQ REP Sink  --> "req"              ZMQ REP Message Sink  --> "req", messages=True

The wire does not say what the items are: dtype and shape must be told, and the sender's vector length be their product. With
pass_tags at the sender and tags=True here items are numbered, so that what is lost is seen and counted. Without tags a loss
cannot be seen by anybody; that the sender has gone can, and the next one's first item is a new start.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import zmq
from numpy.typing import NDArray

from isacblocks.frontends.gnuradio.assembly import Assembly
from isacblocks.frontends.gnuradio.drain import Drain
from isacblocks.frontends.gnuradio.line import SOURCES, Clock, Line, Tally, Wiring, endless
from isacblocks.frontends.gnuradio.reading import Reader
from isacblocks.frontends.gnuradio.wire import MessageError, Tag
from isacblocks.frontends.samples import RESTART, samples_record
from isacblocks.stream import ANY, Out, Reading, Source, State, WireError
from isacblocks.stream.link import gather
from isacblocks.stream.spec import DTYPES, Items, resolve

_WAIT = 50  # ms that produce() waits for a message
_PARTS = 2  # of a message, at most: a key and the rest
_COUNTS = ("received", "lost", "cut", "left_out", "gaps", "restarts", "ignored")


class GnuRadioSource(Source):
    """Items of a GNU Radio stream, with what its tags tell: the record of :mod:`isacblocks.frontends.samples`.

    endpoint: ipc://PATH or tcp://HOST:PORT; shape, dtype: of a GNU Radio item, whose vector length is the product of the
    shape; pattern, messages: see the module; bind: listen here instead of connecting; key: of a PUB sink; tags: the sender
    passes tags; group: how many GNU Radio items make one item here, 0 for one and no axis for them; axis: where their axis
    lies in the item's shape; field: the name of the value's field; channels: how many gains are told, by default the first
    of shape; end_after: seconds without a message after which the stream is over, once it has begun, None for never;
    high_water: messages in the queue; largest: bytes of a message, a longer one ends its connection; exposed: a bound TCP
    port may be open to other machines; newest: 0 where the sender waits while we are busy. Else a thread takes whatever
    comes at once, about so many items wait here, and older ones are left out and counted: received = passed on + left_out
    + cut + waiting, and an item's `gap` and `lost` tell of those before it. Set `rate` to leave processor time for that.
    Channels x samples as the blocks for raw samples take them ("iq"): shape=(C,), group=T, axis=1, field="iq".
    Raises ValueError for arguments that cannot be.
    """

    replayable = False
    samples = Out(ANY)
    received = State("int64")  # GNU Radio items
    lost = State("int64")  # of them, missing by their numbers
    cut = State("int64")  # left over before a gap: less than a group
    left_out = State("int64")  # taken while too many newer ones came
    gaps = State("int64")
    restarts = State("int64")  # of the sender
    ignored = State("int64")  # tags whose name or value is not understood
    bad = State(dict)  # messages that could not be read, by reason
    items_lost = Reading("items")
    items_left_out = Reading("items")
    bad_messages = Reading("messages")
    peers = Reading("peers")
    idle = Reading("s", "since the last message")

    def __init__(
        self,
        endpoint: str,
        shape: tuple[int, ...] = (),
        dtype: str = "complex64",
        *,
        pattern: str = "sub",
        messages: bool = False,
        bind: bool = False,
        key: str = "",
        tags: bool = False,
        group: int = 0,
        axis: int = 0,
        field: str = "value",
        channels: int | None = None,
        end_after: float | None = None,
        high_water: int = 100,
        largest: int = 256 << 20,
        exposed: bool = False,
        newest: int = 0,
    ) -> None:
        self.wiring = Wiring(endpoint, pattern, bind, key, high_water, largest, exposed, SOURCES)
        self.shape = tuple(int(n) for n in shape)
        if dtype not in DTYPES or any(n < 1 for n in self.shape):
            raise ValueError(
                f"dtype, shape: expected one of {', '.join(sorted(DTYPES))} and sizes from 1, got {dtype} {shape}"
            )
        if group < 0 or not 0 <= axis <= len(self.shape):
            raise ValueError(
                f"group, axis: expected at least 0, and an axis up to {len(self.shape)}, got {group} and {axis}"
            )
        if messages and tags:
            raise ValueError("tags: messages have none, what they tell stands in their dictionary; leave tags=False")
        if newest < 0 or (newest and pattern == "req"):
            raise ValueError(
                f"newest: expected at least 0, and 0 of a REP sink, which sends what it is asked for; got {newest}"
            )
        self.newest = newest
        self.dtype = np.dtype(dtype)
        self.tags, self.messages = tags, messages
        self.group, self.axis = group, axis
        self.channels = channels or (self.shape[0] if self.shape else 1)
        self.end_after = endless(end_after)
        names = [f"D{n}" for n in range(len(self.shape))]
        if (field, len(names)) == ("iq", 1):
            names = ["C"]
        if group:
            names.insert(axis, "T")
        self._sizes = dict(zip([n for n in names if n != "T"], self.shape, strict=True)) | {"T": group, "C": self.channels}
        record = samples_record(field, dtype, tuple(names))
        self.field = field
        self.samples.adopt(resolve(record, self._sizes, "GnuRadioSource"))
        self._line: Line | None = None
        self._drain: Drain | None = None

    def dimensions(self) -> Mapping[str, int]:
        """Those of the items."""
        return self._sizes

    def start(self) -> None:
        """Open the socket. Raises OSError where it cannot be bound."""
        super().start()
        self.finish()
        self._log = logging.getLogger(f"isacblocks.{self.label}")
        self._assembly = Assembly(self.group or 1, self.channels)
        self._reader = Reader(self.wiring, self.dtype, self.shape, self.tags, self.messages, self._log)
        self._tally, self._clock = Tally(self._log), Clock()
        self._asked = False
        self._gone = 0
        self._parted, self._parting = 0, False  # farewells of which what follows was told
        self._came = threading.Condition()  # also holds what the drain shares: assembly and tally
        self._line = Line(self.wiring)

    def finish(self) -> None:
        """Close the socket."""
        if self._drain is not None:
            self._drain.close()
            self._drain = None
        if self._line is not None:
            self._line.close(0)
            self._line = None

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on counting; what was sent in the meantime is not here."""
        super().restore(saved)
        self._tally.reasons.update(self.bad)
        for name in _COUNTS:
            setattr(self._assembly, name, getattr(self, name))

    def produce(self, first: int, count: int) -> Items | None:
        """What has come, at most `count` items; none where nothing has, None where the stream is over."""
        line = self._line
        assert line is not None
        if self.newest:
            self._await(line)
        else:
            self._gather(line, count)
        with self._came:
            if self.newest:
                self._assembly.shed(self.newest)
            ready = min(self._assembly.ready(), count)
            taken = self._take(ready) if ready else None
            self._count()
        if taken is None:
            return None if self._is_over(line) else self.samples.items(**self.samples.layout.empty(0))
        return self.samples.items(**taken)

    def _gather(self, line: Line, count: int) -> None:
        """Receive until there are `count` items, or nothing more."""
        assembly, wait = self._assembly, _WAIT
        until = time.monotonic() + 2e-3 * _WAIT  # however many messages come that have no items
        while assembly.ready() < count and time.monotonic() < until:
            self._ask(line, count * (self.group or 1))
            came = self._receive(line.socket)
            if came is None and (assembly.ready() or not line.socket.poll(wait)):
                break
            if came is False:
                wait = 0

    def _await(self, line: Line) -> None:
        """Until the drain has something; it begins with the first call, when what was counted before is known."""
        if self._drain is None:
            socket = line.socket
            self._drain = Drain(lambda: self._receive(socket) is not None, lambda: socket.poll(_WAIT), self.label)
        self._drain.check()
        with self._came:
            if not self._assembly.ready():
                self._came.wait(1e-3 * _WAIT)

    def _take(self, ready: int) -> dict[str, NDArray[Any]]:
        """The fields of so many items."""
        fields = self.samples.allocate(ready)
        value = fields[self.field]
        across = self.group > 0 and self.axis > 0  # the rows' axis is not the first of an item
        rows = np.empty((ready, self.group, *self.shape), self.dtype) if across else value
        told = self._assembly.take(ready, rows.reshape(-1, *self.shape))
        if across:
            np.copyto(value, np.moveaxis(rows, 1, 1 + self.axis))
        return {**fields, **told}

    def _ask(self, line: Line, rows: int) -> None:
        """Of a REP sink, for items; again where the one who was asked has gone."""
        if self.wiring.pattern != "req":
            return
        if not (self._asked and line.socket.poll(0)):
            line.watch()
        gone = line.farewells + line.refused
        if not self._asked:
            self._gone = gone
        elif gone > self._gone and not line.socket.poll(0):  # by now the last that it had sent would have come
            self._gone, self._asked = gone, False
        if not self._asked and line.socket.poll(0, zmq.POLLOUT):
            line.socket.send(struct.pack("<i" if self.messages else "<I", 1 if self.messages else min(rows, 2**32 - 1)))
            self._asked = True

    def _receive(self, socket: zmq.Socket[bytes]) -> bool | None:
        """One message; False where it had no items, None where none is there."""
        if self.wiring.pattern == "req" and not self._asked:  # nobody is there to be asked
            return self._nothing()
        try:
            rows, offset, tags = self._read(socket)
        except zmq.Again:
            return self._nothing()
        except (MessageError, WireError) as error:
            self._asked = False
            self._clock.start()
            with self._came:
                self._tally.add(error.reason, str(error))
            return True
        with self._came:
            self._assembly.feed(rows, offset, tags)
            if self.newest and (ready := self._assembly.ready()):
                if ready > self.newest + self.newest // 2:  # not for every message: it costs as much as one
                    self._assembly.shed(self.newest)
                self._came.notify()
        return bool(len(rows))

    def _read(self, socket: zmq.Socket[bytes]) -> tuple[NDArray[Any], int | None, list[Tag]]:
        """One message, by the reader. Raises zmq.Again where none is there, MessageError or WireError for a bad one."""
        parts = gather(socket, _PARTS)  # without a look before, which costs as much as the message
        self._asked = False
        self._clock.start()
        rows, offset, tags = self._reader.read([part.buffer for part in parts], self._assembly.expected or 0)
        self._reader.compare(offset, len(rows))
        return rows, offset, tags

    def _nothing(self) -> bool | None:
        """Nothing has come. Without numbers a sender that has gone is all that can be seen of what is missing then: what
        the next one sends is a new start. False the first time that it is seen: what it sent last may be there by now.
        """
        line = self._line
        if line is None:
            return None
        line.mend()
        if self.tags:
            return None
        with self._came:
            line.watch()
            if line.farewells > self._parted:
                self._parted, self._parting = line.farewells, True
                return False
            if self._parting:
                self._parting = False
                self._assembly.interrupt(RESTART)
        return None

    def _count(self) -> None:
        for name in _COUNTS:
            if getattr(self, name) != (count := getattr(self._assembly, name)):  # most stand still
                setattr(self, name, count)
        self.bad = dict(self._tally.reasons) if self.newest else self._tally.reasons
        self.items_left_out = float(self.left_out)
        self.items_lost, self.bad_messages = float(self.lost), float(self._tally.total)
        self.idle = self._clock.idle

    def _is_over(self, line: Line) -> bool:
        """Nothing is here: say so once in a while, and see whether it has been long enough."""
        with self._came:
            line.watch()
        self.peers = float(line.peers)
        if self._clock.due():
            self._log.warning("%s", line.hint(self._clock.idle, self.tags))
        return self._assembly.received > 0 and self._clock.idle > self.end_after
