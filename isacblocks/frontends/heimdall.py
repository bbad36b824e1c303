"""IQ frames of the HeIMDALL firmware (KrakenSDR, five coherent channels) over TCP.

The client says "streaming" once and "IQDownload" before every further frame. A frame is a header
(:mod:`~isacblocks.frontends.heimdall_header`) and the samples, complex64, channel after channel.
"""

from __future__ import annotations

import logging
import math
import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from isacblocks.frontends.gnuradio.assembly import Assembly
from isacblocks.frontends.gnuradio.line import Clock, Tally
from isacblocks.frontends.gnuradio.pmt import UInt64
from isacblocks.frontends.gnuradio.wire import Tag
from isacblocks.frontends.heimdall_header import DATA, HEADER, MOST_CHANNELS, SYNC, Header, HeimdallError, read_header
from isacblocks.frontends.samples import IQ
from isacblocks.stream import Out, Reading, Source, State
from isacblocks.stream.spec import Items

_WAIT = 0.05  # s
_RETRY = 0.5  # s between attempts to connect


class HeimdallSource(Source):
    """The channels of a KrakenSDR: the record "iq".

    host, port: of the IQ server; channels: how many are expected; group: samples per item; incoherent: take frames whose
    channels the firmware has not aligned yet, too; largest: bytes of a frame; patience: seconds without a byte after which a
    server counts as gone.
    Frames without data, taken with the noise source on, or not coherent are skipped and counted; frames that are missing by
    their numbers are a gap. A server that goes away, or falls silent, is connected to again for as long as the flowgraph
    runs; of a frame that it was in the middle of nothing is used.
    Raises ValueError for arguments that cannot be.
    """

    replayable = False
    samples = Out(IQ)
    received = State("int64")  # samples of a channel
    lost = State("int64")
    skipped = State("int64")  # frames
    overdriven = State("int64")  # frames in which an ADC was
    connections = State("int64")
    closed = State("int64")  # connections, by the server or because it fell silent
    torn = State("int64")  # frames of which only a part came
    bad = State(dict)  # headers, by reason
    items_lost = Reading("samples")
    frames_skipped = Reading("frames")
    frames_overdriven = Reading("frames")
    connections_lost = Reading("times")
    frames_torn = Reading("frames")

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 5000,
        channels: int = 5,
        group: int = 1024,
        incoherent: bool = False,
        largest: int = 256 << 20,
        patience: float = 10.0,
    ) -> None:
        if not 1 <= channels <= MOST_CHANNELS or group < 1 or not 0 < port < 65536 or largest < 8:
            raise ValueError(f"expected 1 to {MOST_CHANNELS} channels, items of at least 1 sample, a TCP port; got "
                             f"channels={channels}, group={group}, port={port}, largest={largest}")  # fmt: skip
        self.host, self.port, self.channels, self.group = host, port, channels, group
        if not patience > 0:
            raise ValueError(f"patience: expected a positive number of seconds, got {patience!r}")
        self.incoherent, self.largest, self.patience = incoherent, largest, patience
        self._socket: socket.socket | None = None

    def dimensions(self) -> Mapping[str, int]:
        """C, T."""
        return {"C": self.channels, "T": self.group}

    def start(self) -> None:
        """Nothing is connected yet: the server may come later."""
        super().start()
        self.finish()
        log = logging.getLogger(f"isacblocks.{self.label}")
        self._log, self._tally, self._clock = log, Tally(log), Clock()
        self._assembly = Assembly(self.group, self.channels)
        self._buffer = bytearray(HEADER.size)
        self._filled = 0
        self._header: Header | None = None
        self._next: int | None = None  # number of the next frame
        self._tried, self._heard = -math.inf, 0.0
        self._absent = ""  # why nothing is connected
        self._passed_over: dict[str, int] = {}  # frames that could not be used since the last one that could, by reason

    def finish(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on counting; what came in the meantime is not here, which is a gap in what follows."""
        super().restore(saved)
        self._tally.reasons.update(self.bad)
        self._assembly.succeed(self.received, self.lost)

    def produce(self, first: int, count: int) -> Items | None:
        """What has come, at most `count` items."""
        until = time.monotonic() + 2 * _WAIT
        while self._assembly.ready() < count and time.monotonic() < until:
            if not self._receive():
                break
        self.received, self.lost, self.bad = self._assembly.received, self._assembly.lost, self._tally.reasons
        self.items_lost, self.frames_skipped = float(self.lost), float(self.skipped)
        self.frames_overdriven = float(self.overdriven)
        self.connections_lost, self.frames_torn = float(self.closed), float(self.torn)
        ready = min(self._assembly.ready(), count)
        if not ready:
            if self._clock.due():
                self._log.warning("%s:%d: no samples for %.0f s: %s", self.host, self.port, self._clock.idle, self._hint())
            return self.samples.items(**self.samples.layout.empty(0))
        fields = self.samples.allocate(ready)
        rows = np.empty((ready, self.group, self.channels), np.complex64)
        told = self._assembly.take(ready, rows.reshape(-1, self.channels))
        np.copyto(fields["iq"], rows.swapaxes(1, 2))
        return self.samples.items(**{**fields, **told})

    def _hint(self) -> str:
        """Why nothing comes."""
        if self._passed_over:
            return f"frames come and are skipped: {', '.join(f'{n} {why}' for why, n in self._passed_over.items())}"
        return "connected; does its DAQ run?" if self._socket is not None else self._absent

    def _receive(self) -> bool:
        """Some more bytes; False where none came."""
        if self._socket is None and not self._connect():
            return False
        assert self._socket is not None
        try:
            count = self._socket.recv_into(memoryview(self._buffer)[self._filled :])
        except TimeoutError:
            if time.monotonic() - self._heard > self.patience:
                self._lose(f"the server has sent nothing for {self.patience:g} s, its connection was closed")
            return False
        except OSError:
            count = 0
        if not count:
            self._lose("the server has closed the connection")
            return False
        self._heard = time.monotonic()
        self._filled += count
        if self._filled == len(self._buffer):
            try:
                self._take()
            except HeimdallError as error:
                self._tally.add(error.reason, str(error))
                self._drop("what comes cannot be read, as told before")  # where the next frame begins is not known
            except OSError as error:
                self._drop(f"the connection has broken ({error.strerror})")
        return True

    def _connect(self) -> bool:
        if time.monotonic() - self._tried < _RETRY:
            time.sleep(_WAIT)
            return False
        self._tried = time.monotonic()
        try:
            self._socket = socket.create_connection((self.host, self.port), timeout=0.3)
            self._socket.settimeout(_WAIT)
            self._socket.sendall(b"streaming")
        except OSError as error:
            self.finish()
            self._absent = f"nobody is there ({error.strerror or error}); start the server, or see to the address"
            return False
        self.connections += 1
        self._heard = time.monotonic()
        self._expect(None)
        return True

    def _lose(self, what: str) -> None:
        """The server is gone; say so once in a while."""
        self.closed += 1
        inside = " in the middle of a frame" if self._header is not None or self._filled else ""
        self.torn += bool(inside)
        begun = bytes(self._buffer[: min(self._filled, 16)])
        if self._header is None and not SYNC.startswith(begun[: len(SYNC)]):
            inside = f" behind {begun!r}, which begins no frame: is a HeIMDALL IQ server there?"
        if self.closed & (self.closed - 1) == 0:
            self._log.warning(
                "%s:%d: %s%s (%d times so far); frames until it is there again are lost, and a gap in what follows; it is "
                "tried again by itself",
                self.host,
                self.port,
                what,
                inside,
                self.closed,
            )
        self._drop(what + inside)

    def _drop(self, why: str) -> None:
        """Begin anew; what is missing until then is not known unless the frames' numbers go on."""
        self.finish()
        self._absent = why
        self._passed_over.clear()
        self._assembly.interrupt()

    def _expect(self, header: Header | None) -> None:
        """Samples after a header, else a header."""
        self._header = header
        self._filled = 0
        size = HEADER.size if header is None else header.size
        if len(self._buffer) != size:
            self._buffer = bytearray(size)

    def _take(self) -> None:
        """A whole header, or all samples of a frame, are there."""
        if self._header is None:
            header = read_header(self._buffer, self.largest)
            if header.kind == DATA and header.channels != self.channels:
                told = f"{header.channels} channels, expected {self.channels}; say channels={header.channels}"
                raise HeimdallError("channels", told)
            if header.size:
                self._expect(header)
                return
            self._pass(header)
        else:
            self._pass(self._header)
        assert self._socket is not None
        self._expect(None)
        self._socket.sendall(b"IQDownload")

    def _pass(self, header: Header) -> None:
        """A frame that is complete."""
        unusable = header.unusable(self.incoherent)
        number = header.index
        jump = 0 if self._next is None else number - self._next
        self._next = number + 1
        if unusable:
            self.skipped += 1
            self._passed_over[unusable] = self._passed_over.get(unusable, 0) + 1
            self._assembly.interrupt()
            return
        self._clock.start()
        self._passed_over.clear()
        self.overdriven += bool(header.overdriven)
        expected = self._assembly.expected or 0
        offset = expected + jump * header.length if jump > 0 else expected
        if jump < 0:
            self._assembly.interrupt()
        rows = np.frombuffer(self._buffer, np.complex64).reshape(header.channels, header.length).T.copy()
        tags = [
            Tag(offset, "rx_time", (UInt64(header.time // 1000), header.time % 1000 / 1000)),
            Tag(offset, "rx_rate", float(header.rate)),
            Tag(offset, "rx_freq", float(header.frequency)),
            Tag(offset, "gain", np.array(header.gains)),
        ]
        self._assembly.feed(rows, offset, tags)
