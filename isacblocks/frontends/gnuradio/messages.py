"""Sends items of any record as GNU Radio messages, one PMT each: a dictionary of its fields, or a PDU."""

from __future__ import annotations

from collections.abc import Sequence

from isacblocks.frontends.gnuradio.leaving import Leaving
from isacblocks.frontends.gnuradio.line import SINKS, Wiring
from isacblocks.frontends.gnuradio.pdu import make_pdus
from isacblocks.stream import Reading
from isacblocks.stream.spec import Items


class GnuRadioMessages(Leaving):
    """Items as messages for ZMQ SUB, PULL or REQ Message Source.

    endpoint, pattern, bind, lossless, patience, linger, high_water, exposed: as for
    :class:`~isacblocks.frontends.gnuradio.sink.GnuRadioSink`; fields: what is told of an item, all fields by default;
    vector: the field that is a PDU's vector, None for a dictionary alone. Every item has "sequence", its number in the
    stream. Arrays are flat uniform vectors.
    """

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
        self._set_up(Wiring(endpoint, pattern, bind, "", high_water, 1 << 20, exposed, SINKS), lossless, patience, linger)
        self.fields = None if fields is None else tuple(fields)
        self.vector = vector

    def _asked(self) -> list[str]:
        names = self.fields if self.fields is not None else self.items.layout.names
        self._names = [name for name in names if name != self.vector]
        return [*self._names, *([self.vector] if self.vector else [])]

    def process(self, items: Items) -> None:
        """One message per item; waits while the receiver is slow."""
        told = {name: items.fields[name] for name in self._names}
        for message in make_pdus(items.first, len(items), told, items.fields[self.vector] if self.vector else None):
            gone = self._hand_over(message)
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
