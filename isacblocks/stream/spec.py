"""What flows: records of named fields with dtype, dimensions and unit, and their layout once the dimensions are known."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isacblocks.stream.errors import WiringError

if TYPE_CHECKING:
    from isacblocks.stream.memory import Lease, Loan

_INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
DTYPES = frozenset((*_INTEGERS, "float32", "float64", "complex64", "complex128"))


class Field(msgspec.Struct, frozen=True):
    """One field of an item.

    name: an identifier; dtype: of numpy, "complex64" say; dims: the names of its dimensions, () for a number; unit: "1"
    for a pure number; doc: what it is, for people.
    """

    name: str
    dtype: str
    dims: tuple[str, ...] = ()
    unit: str = "1"
    doc: str = ""


class Record(msgspec.Struct, frozen=True):
    """The kind of item that a port sends or takes.

    name, version: told in the descriptor; fields: what an item has, and what has to fit; doc: what it is, for people.
    """

    name: str
    fields: tuple[Field, ...]
    version: int = 1
    doc: str = ""


ANY = Record("any", (), doc="an input with this record takes whatever the other end sends")


class LayoutField(msgspec.Struct, frozen=True):
    """A field with its dimensions resolved to sizes."""

    name: str
    dtype: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    unit: str

    def describe(self) -> str:
        """As it is shown in error messages: complex64 (N=64, S=256) [V]."""
        dims = ", ".join(f"{d}={n}" for d, n in zip(self.dims, self.shape, strict=True))
        return f"{self.dtype} ({dims})" + (f" [{self.unit}]" if self.unit != "1" else "")


_PLACINGS = 64
LARGE = 1 << 15  # bytes; a field of a message that has more travels as a buffer of its own
ALIGNMENT = 64  # bytes, of every field in a buffer that holds several


class Placing(msgspec.Struct, frozen=True):
    """Where the fields of a message of so many items lie: (number of the field, offset, bytes, shape with the items)."""

    small: tuple[tuple[int, int, int, tuple[int, ...]], ...]  # offsets behind the header, multiples of 8
    small_bytes: int
    large: tuple[tuple[int, int, int, tuple[int, ...]], ...]  # offsets in a piece of memory, multiples of 64
    large_bytes: int
    shapes: tuple[tuple[int, ...], ...]  # of all fields, with the items


class Layout(msgspec.Struct, frozen=True, dict=True):
    """A record with every dimension known: what a link carries, and the descriptor exchanged when it opens.

    record, version: the record's name and version; fields: with their shapes.
    """

    record: str
    version: int
    fields: tuple[LayoutField, ...]

    @cached_property
    def descriptor(self) -> bytes:
        """JSON, the same bytes for the same layout."""
        return msgspec.json.encode(self)

    @cached_property
    def stream_id(self) -> int:
        """64 bits of the descriptor's digest: stamped on every message, so that a wrong stream is seen at once."""
        return int.from_bytes(hashlib.sha256(self.descriptor).digest()[:8], "little")

    @cached_property
    def by_name(self) -> dict[str, LayoutField]:
        """Fields by their names."""
        return {f.name: f for f in self.fields}

    @cached_property
    def dtypes(self) -> tuple[np.dtype[Any], ...]:
        """The fields' dtypes, in native byte order."""
        return tuple(np.dtype(f.dtype) for f in self.fields)

    @cached_property
    def item_sizes(self) -> tuple[int, ...]:
        """Bytes of one item, field by field."""
        return tuple(np.dtype(f.dtype).itemsize * math.prod(f.shape) for f in self.fields)

    @cached_property
    def item_bytes(self) -> int:
        """Bytes of one item."""
        return sum(self.item_sizes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the fields."""
        return tuple(self.by_name)

    @cached_property
    def nothing(self) -> dict[str, NDArray[Any]]:
        """The fields of no items."""
        return self.empty(0)

    @cached_property
    def _placings(self) -> dict[int, Placing]:
        return {}

    def empty(self, count: int) -> dict[str, NDArray[Any]]:
        """Uninitialised arrays for `count` items, items on the leading axis."""
        return {f.name: np.empty((count, *f.shape), f.dtype) for f in self.fields}

    def placing(self, count: int) -> Placing:
        """Where the fields of a message of `count` items lie; the same for its sender and its receiver."""
        found = self._placings.get(count)
        if found is None:
            if len(self._placings) >= _PLACINGS:  # counts come from outside: what is kept of them is bounded
                self._placings.clear()
            found = self._placings[count] = self._place(count)
        return found

    def _place(self, count: int) -> Placing:
        ends = [0, 0]
        parts: tuple[list[Any], list[Any]] = [], []
        for number, (field, item_size) in enumerate(zip(self.fields, self.item_sizes, strict=True)):
            size = item_size * count
            large = size > LARGE
            parts[large].append((number, ends[large], size, (count, *field.shape)))
            step = ALIGNMENT if large else 8
            ends[large] += -(-size // step) * step
        shapes = tuple((count, *field.shape) for field in self.fields)
        return Placing(tuple(parts[False]), ends[False], tuple(parts[True]), ends[True], shapes)


def resolve(record: Record, sizes: Mapping[str, int], owner: str) -> Layout:
    """The layout of `record` with the dimensions of the block `owner`. Raises WiringError for an unknown dimension."""
    fields = []
    for field in record.fields:
        if field.dtype not in DTYPES:
            raise WiringError(f"{owner}: field {field.name} has the dtype {field.dtype!r}, expected one of {sorted(DTYPES)}")
        if field.name in Items.__slots__:
            raise WiringError(
                f"{owner}: a field cannot be named {field.name!r}, every message has that; choose another name"
            )
        missing = [d for d in field.dims if d not in sizes]
        if missing:
            raise WiringError(
                f"{owner}: field {field.name} has the dimension {missing[0]}, but the block's dimensions() names only "
                f"{', '.join(sizes) or 'none'}"
            )
        shape = tuple(int(sizes[d]) for d in field.dims)
        fields.append(LayoutField(field.name, field.dtype, field.dims, shape, field.unit))
    return Layout(record.name, record.version, tuple(fields))


class Items:
    """A message's items as a block sees them: one array per field, items on the leading axis, read-only when received.

    ``items.theta`` is the field theta, ``fields`` are all of them by name, ``count`` is how many items there are,
    ``layout`` says what they are. ``first`` is the sequence number of the first item, ``message`` the number of the message,
    ``sent`` when its first ancestor left its source (seconds since the epoch); a ``final`` one is the last; ``absent``: it
    stands for none. ``port``: the name of the output that made them, by :meth:`~isacblocks.stream.Port.items`.
    """

    __slots__ = (
        "absent",
        "count",
        "fields",
        "final",
        "first",
        "layout",
        "lease",
        "message",
        "port",
        "sent",
        "serial",
        "spoiled",
    )

    def __init__(
        self,
        layout: Layout,
        fields: dict[str, NDArray[Any]],
        count: int,
        *,
        port: str = "",
        first: int = 0,
        message: int = 0,
        sent: float = 0.0,
        final: bool = False,
    ) -> None:
        self.layout = layout
        self.fields = fields
        self.count = count
        self.port = port
        self.first = first
        self.message = message
        self.sent = sent
        self.final = final
        self.absent = False  # in the place of a message that had no partner: nothing with its number can be joined to
        self.serial = 0  # its place on the link it came by
        self.spoiled = 0  # items that came with this message but could not be read
        self.lease: Lease | Loan | None = None  # of the memory that its large fields lie in

    def __getattr__(self, name: str) -> NDArray[Any]:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(f"record {self.layout.record} has no field {name}") from None

    def __len__(self) -> int:
        return self.count

    def slice(self, start: int, stop: int) -> Items:
        """The items start .. stop - 1 as views."""
        fields = {name: array[start:stop] for name, array in self.fields.items()}
        return Items(
            self.layout,
            fields,
            max(0, min(stop, self.count) - start),
            port=self.port,
            first=self.first + start,
            message=self.message,
            sent=self.sent,
        )
