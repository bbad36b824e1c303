"""Sends items of any record as GNU Radio messages, one PMT each: a dictionary of its fields, or a PDU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from isacblocks.frontends.gnuradio.line import SINKS, Wiring, endless
from isacblocks.frontends.gnuradio.pdu import make_pdu
from isacblocks.frontends.gnuradio.pmt import UInt64
from isacblocks.frontends.gnuradio.sending import Sender
from isacblocks.stream import ANY, Block, In, Reading, State, WiringError
from isacblocks.stream.spec import Items


class GnuRadioMessages(Block):
    """Items as messages for ZMQ SUB, PULL or REQ Message Source.

    endpoint, pattern, bind, lossless, patience, linger, high_water, exposed: as for
    :class:`~isacblocks.frontends.gnuradio.sink.GnuRadioSink`; fields: what is told of an item, all fields by default;
    vector: the field that is a PDU's vector, None for a dictionary alone. Every item has "sequence", its number in the
    stream. Arrays are flat uniform vectors.
    """

    items = In(ANY)
    sent = State("int64")
    dropped = State("int64")
    sent_messages = Reading("messages")
    dropped_messages = Reading("messages")

    def __init__(
        self,
        endpoint: str,
        *,
        pattern: str = "push",
        fields: Sequence[str] | None = None,
        vector: str | None = None,
        bind: bool = True,
        lossless: bool = True,
        patience: float | None = None,
        linger: float = 5.0,
        high_water: int = 256,
        exposed: bool = False,
    ) -> None:
        self.wiring = Wiring(endpoint, pattern, bind, "", high_water, 1 << 20, exposed, SINKS)
        self.fields = None if fields is None else tuple(fields)
        self.vector = vector
        self.lossless, self.patience, self.linger = lossless, endless(patience), endless(linger)
        self._sender: Sender | None = None

    def start(self) -> None:
        """See whether the fields are there, open the socket. Raises WiringError, OSError where it cannot be bound."""
        super().start()
        self._close(None)
        layout = self.items.layout
        self._names = [name for name in (self.fields if self.fields is not None else layout.names) if name != self.vector]
        asked = [*self._names, *([self.vector] if self.vector else [])]
        missing = [name for name in asked if name not in layout.by_name]
        if missing:
            raise WiringError(
                f"{self.label}: no field {missing[0]} in the record {layout.record} ({', '.join(layout.names)})"
            )
        log = logging.getLogger(f"isacblocks.{self.label}")
        self._sender = Sender(self.wiring, self.lossless, self.patience, log)

    def process(self, items: Items) -> None:
        """One message per item; waits while the receiver is slow."""
        for k in range(len(items)):
            told: dict[str, Any] = {"sequence": UInt64(items.first + k)}
            told |= {name: items.fields[name][k] for name in self._names}
            gone = self._hand_over(make_pdu(told, np.asarray(items.fields[self.vector][k]) if self.vector else None))
            self.sent += gone
            self.dropped += not gone
        self.sent_messages, self.dropped_messages = float(self.sent), float(self.dropped)

    def _hand_over(self, message: bytes) -> bool:
        assert self._sender is not None
        if self.wiring.pattern != "rep":
            return self._sender.send(message, self.attend)
        if self._sender.request(self.attend) is None:
            return False
        self._sender.answer(message)
        return True

    def finish(self) -> None:
        """The last messages leave, then the socket is closed."""
        self._close(self.attend)

    def _close(self, attend: Any) -> None:
        if self._sender is not None:
            sender, self._sender = self._sender, None
            sender.close(self.linger, attend)
