"""A message on its way, kept by its sender until every edge has acknowledged it."""

from __future__ import annotations

from typing import Any

from isacblocks.stream import wire
from isacblocks.stream.memory import Lease
from isacblocks.stream.spec import Items


class Parcel:
    """One message of a port. `parts` are its bytes as they go on the wire, made when they are first wanted."""

    __slots__ = ("_inline", "_short", "count", "epoch", "final", "gap", "items", "serial", "size")

    def __init__(self, items: Items, epoch: int, serial: int) -> None:
        self.items: Items | None = items
        self.epoch = epoch
        self.serial = serial
        self.count = items.count
        self.size = size_of(items)
        self.final = items.final
        self.gap = items.absent
        self._inline: list[Any] | None = None
        self._short: list[Any] | None = None

    @classmethod
    def again(cls, parts: list[Any]) -> Parcel:
        """A message that a checkpoint or a snapshot kept."""
        header = wire.unpack(parts[0])
        parcel = cls.__new__(cls)
        parcel.items = None
        parcel.epoch, parcel.serial, parcel.count = header.epoch, header.serial, header.count
        parcel.final = bool(header.flags & wire.FINAL)
        parcel.gap = bool(header.flags & wire.GAP)
        parcel.size = sum(len(part) for part in parts)
        parcel._inline = parcel._short = parts
        return parcel

    def inline(self) -> list[Any]:
        """Header, small fields and large fields: complete by itself."""
        if self._inline is None:
            assert self.items is not None
            self._inline = wire.encode(self.items, self.epoch, self.serial)
        return self._inline

    def short(self) -> list[Any]:
        """The shortest form: large fields that lie in a shared segment are referred to."""
        if self._short is None:
            assert self.items is not None
            items, lease = self.items, self.items.lease
            if isinstance(lease, Lease) and lease.segment.reference.inode:
                self._short = wire.encode_shared(items, self.epoch, self.serial, lease.segment.wire)
            else:
                self._short = self.inline()
        return self._short

    def give_up(self) -> None:
        """Its segment, if it has one, is not to be written to again."""
        if self.items is not None and isinstance(self.items.lease, Lease):
            self.items.lease.segment.kept = True


def size_of(items: Items) -> int:
    """Bytes of a message, as they count for the budget of a link; the same for its sender and its receiver."""
    return items.layout.item_bytes * items.count + wire.HEADER_BYTES
