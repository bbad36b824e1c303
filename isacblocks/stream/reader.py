"""From the parts of a DATA message to its items, wherever its fields are, and which shared segments are still looked at."""

from __future__ import annotations

from typing import Any

from isacblocks.stream import wire
from isacblocks.stream.errors import WireError
from isacblocks.stream.memory import REFERENCE_BYTES, Loan, Mappings, Reference
from isacblocks.stream.spec import Items, Layout


class Reader:
    """What one inlet reads with. mapped: segments that it keeps mapped at most."""

    def __init__(self, mapped: int) -> None:
        self._maps = Mappings(mapped)
        self._loans: list[tuple[int, Loan]] = []  # segments of messages that are still to be acknowledged, by serial

    def read(self, header: wire.Header, parts: list[Any], layout: Layout) -> Items:
        """The items. Raises WireError for what does not fit the layout, UnreachableError for a segment out of reach."""
        if not header.flags & wire.SHARED:
            return wire.decode(header, parts, layout)
        wire.check(header, layout)
        if len(parts[0]) < wire.HEADER_BYTES + REFERENCE_BYTES:
            raise WireError("memory", "a message without the reference to its segment")
        reference = Reference.unpack(parts[0][-REFERENCE_BYTES:])
        large, loan = self._maps.borrow(reference, layout, header.count)
        items = wire.decode(header, parts, layout, large)
        items.lease = loan
        return items

    def forget(self) -> None:
        """The sender is gone, or may be: what is mapped of it is let go. What is still looked at is remembered."""
        self._maps.clear()

    def done(self, items: Items) -> None:
        """A message is about to be acknowledged."""
        if isinstance(items.lease, Loan):
            self._loans.append((items.serial, items.lease))

    def kept(self, serial: int) -> list[int]:
        """Segments of the messages done before `serial` that somebody still refers to: their sender is told so with the word
        that acknowledges them, once, and gives them up."""
        if not self._loans:
            return []
        kept = [loan.number for number, loan in self._loans if number < serial and loan.in_use()]
        self._loans = [(number, loan) for number, loan in self._loans if number >= serial]
        for number in kept:
            self._maps.forget(number)
        return kept
