"""Hands messages to GNU Radio: waits for a peer that is slow or not there, for as long as it was told to, and counts."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Any

import zmq

from isacblocks.frontends.gnuradio.line import OPPOSITE, Clock, Line, Wiring

_LOOK = 50  # ms
_ZERO_COPY = 1 << 16  # bytes from which libzmq takes a message as it lies


class Sender:
    """An open line for sending. patience: seconds that a message may wait before it is given up and counted.

    lossless: of a PUB sink, whether a subscriber that is slow, or not there yet, is waited for; else libzmq drops what it
    cannot queue, silently, and for that subscriber only.
    """

    def __init__(self, wiring: Wiring, lossless: bool, patience: float, log: logging.Logger) -> None:
        self.wiring = wiring
        self._lossless = lossless
        self._patience = patience
        self._log = log
        self._bad_requests = 0
        self._line = Line(wiring, lossless)

    @property
    def peers(self) -> int:
        """Who is connected."""
        self._line.watch()
        return self._line.peers

    def send(self, data: bytes | bytearray | memoryview, attend: Callable[[], None] | None) -> bool:
        """One message by PUB or PUSH; False where patience has ended. attend: called while waiting."""
        parts: list[Any] = [self.wiring.key.encode()] if self.wiring.key else []
        parts.append(data)
        if self._try(parts):
            return True
        clock = Clock()
        while not self._try(parts):
            if clock.idle > self._patience:
                return False
            self._line.socket.poll(_LOOK, zmq.POLLOUT)
            self._wait(clock, attend)
        return True

    def _try(self, parts: list[Any]) -> bool:
        if self.wiring.pattern == "pub" and self._lossless:
            self._line.watch()
            if self._line.subscriptions < 1:
                return False
        try:
            self._line.socket.send_multipart(parts, zmq.NOBLOCK, copy=len(parts[-1]) < _ZERO_COPY)
        except zmq.Again:
            return False
        return True

    def request(self, attend: Callable[[], None] | None) -> int | None:
        """How many items a REQ source asks for, at least 1; None where patience has ended."""
        clock = Clock()
        while clock.idle <= self._patience:
            if self._line.socket.poll(_LOOK):
                asked = self._line.socket.recv()
                if len(asked) == 4 and (wanted := struct.unpack("<I", asked)[0]):
                    return int(wanted)
                self._bad_requests += 1
                if self._bad_requests & (self._bad_requests - 1) == 0:
                    self._log.warning(
                        "answered a bad request of %d bytes with nothing, expected a number of items in 4 bytes (%d "
                        "so far); nothing is lost; only a ZMQ REQ source may connect to %s",
                        len(asked),
                        self._bad_requests,
                        self.wiring.endpoint,
                    )
                self._line.socket.send(b"")
            self._wait(clock, attend)
        return None

    def answer(self, data: bytes | bytearray | memoryview) -> None:
        """What a request gets."""
        self._line.socket.send(data, zmq.NOBLOCK, copy=len(data) < _ZERO_COPY)

    def _wait(self, clock: Clock, attend: Callable[[], None] | None) -> None:
        if attend is not None:
            attend()
        self._line.watch()
        self._line.mend()
        if clock.due():
            block = f"a ZMQ {OPPOSITE[self.wiring.pattern].upper()} source"
            nobody = (
                f"who was there could not be understood; is it {block}?"
                if self._line.refused
                else "nobody is there; start it"
            )
            who = f"{self._line.peers} connected, not taking any" if self._line.peers else nobody
            where, long = self.wiring.endpoint, clock.idle
            self._log.warning("%s: waiting for %s for %.0f s, and the flowgraph with it: %s", where, block, long, who)

    def close(self, linger: float, attend: Callable[[], None] | None) -> None:
        """Close; what is on its way gets `linger` seconds where nobody waits for an end, less where one is asked for."""
        self._line.close(300 if attend is None else round(1000 * linger), attend)
