"""What a message looks like on a link: a fixed header of 72 bytes with what is small behind it, then what is large.

Documented in docs/wire.md. Everything is little-endian. Nothing is allocated before the sizes that a message claims have
been compared with the descriptor and with the buffers that came. No pickle, no eval.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isacblocks.stream.errors import WireError
from isacblocks.stream.memory import REFERENCE_BYTES
from isacblocks.stream.spec import Items, Layout

MAGIC = b"ISAC"
VERSION = 2
DATA, HELLO, OPEN, ACK = 1, 2, 3, 4  # kinds
FINAL = 1  # flag: end of stream, the last message of a link
SHARED = 2  # flag: the large fields lie in a shared segment, the reference to it is the last of the body
INLINE = 4  # flag of HELLO: shared segments cannot be mapped here
GAP = 8  # flag: without items, and nothing of its number is to come
MAX_COUNT = 1 << 24  # items per message

_HEAD = struct.Struct("<4sBBHQQQQQIIdI")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEAD.size + _CRC.size
_PAD = tuple(bytes(n) for n in range(8))

Buffer = bytes | bytearray | memoryview


class Header(msgspec.Struct, frozen=True, gc=False):
    """The header's fields. What `first` and `count` mean depends on the kind, see docs/wire.md."""

    kind: int
    flags: int
    stream: int
    epoch: int
    serial: int  # counts the messages of a port without gaps
    message: int  # the flowgraph's clock, with gaps behind a lossy link
    first: int
    count: int
    fields: int  # buffers that follow
    time: float
    body: int = 0  # bytes behind the header


def pack(header: Header) -> bytes:
    """The header as it goes on the wire, with its checksum."""
    return _pack(
        header.kind,
        header.flags,
        header.stream,
        header.epoch,
        header.serial,
        header.message,
        header.first,
        header.count,
        header.fields,
        header.time,
        header.body,
    )


def _pack(kind: int, flags: int, *rest: Any) -> bytes:
    head = _HEAD.pack(MAGIC, VERSION, kind, flags, *rest)
    return head + _CRC.pack(zlib.crc32(head))


def unpack(data: Buffer) -> Header:
    """Read the header at the beginning of a message's first part.

    Raises WireError for a wrong length, magic, version, kind or checksum.
    """
    if len(data) < HEADER_BYTES:
        raise WireError("length", f"a header has {HEADER_BYTES} bytes, got {len(data)}")
    magic, version, kind, flags, *rest = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise WireError("magic", f"a message begins with {MAGIC!r}, got {magic!r}: is the sender an isacblocks flowgraph?")
    if version != VERSION:
        raise WireError("version", f"this program speaks version {VERSION} of the wire, the message has version {version}")
    if _CRC.unpack_from(data, _HEAD.size)[0] != zlib.crc32(memoryview(data)[: _HEAD.size]):
        raise WireError("checksum", "the header's checksum does not fit its bytes")
    if kind not in (DATA, HELLO, OPEN, ACK):
        raise WireError("kind", f"unknown kind of message {kind}")
    header = Header(kind, flags, *rest)
    if not math.isfinite(header.time):
        raise WireError("time", f"the header's time is {header.time}, expected seconds since the epoch")
    if kind != DATA and header.body != len(data) - HEADER_BYTES:  # of DATA see decode(): its place in the stream is known
        came = len(data) - HEADER_BYTES
        raise WireError("length", f"the header says that {header.body} bytes follow it, got {came}")
    return header


def _head(items: Items, flags: int, epoch: int, serial: int, fields: int, body: int) -> bytes:
    return _pack(
        DATA,
        flags | (FINAL if items.final else 0) | (GAP if items.absent else 0),
        items.layout.stream_id,
        epoch,
        serial,
        items.message,
        items.first,
        items.count,
        fields,
        items.sent,
        body,
    )


def _field(items: Items, number: int) -> NDArray[Any]:
    array = items.fields[items.layout.fields[number].name]
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _small(items: Items) -> list[Any]:
    parts: list[Any] = []
    for number, _, size, _ in items.layout.placing(items.count).small:
        parts.append(_field(items, number))
        if size & 7:
            parts.append(_PAD[-size & 7])
    return parts


def encode(items: Items, epoch: int, serial: int) -> list[Any]:
    """A DATA message by itself: the header with the small fields, then the large fields, one buffer each, by reference."""
    placing = items.layout.placing(items.count)
    head = _head(items, 0, epoch, serial, len(placing.large), placing.small_bytes)
    return [b"".join([head, *_small(items)]), *(_field(items, number) for number, *_ in placing.large)]


def encode_shared(items: Items, epoch: int, serial: int, reference: bytes) -> list[Any]:
    """A DATA message whose large fields lie in a shared segment: header, small fields, reference."""
    placing = items.layout.placing(items.count)
    head = _head(items, SHARED, epoch, serial, 0, placing.small_bytes + REFERENCE_BYTES)
    return [b"".join([head, *_small(items), reference])]


def _array(dtype: np.dtype[Any], shape: tuple[int, ...], data: Any) -> NDArray[Any]:
    """A read-only array over a received buffer; one that the transport left unaligned is copied."""
    array = np.frombuffer(data, dtype=dtype).reshape(shape)
    if not array.flags.aligned:
        array = array.copy()
    array.flags.writeable = False
    return array


def check(header: Header, layout: Layout) -> None:
    """Raises WireError for a DATA header of another stream, or with a count that cannot be."""
    if header.stream != layout.stream_id:
        wanted_id, got_id = f"{layout.stream_id:016x}", f"{header.stream:016x}"
        raise WireError("stream", f"expected a stream of {layout.record} ({wanted_id}), got {got_id}")
    if header.count > MAX_COUNT:
        raise WireError("count", f"a message holds at most {MAX_COUNT} items, this one claims {header.count}")


def _items_of(header: Header, layout: Layout, fields: dict[str, NDArray[Any]]) -> Items:
    """Items with the numbers that the header gives them."""
    items = Items(
        layout,
        fields,
        header.count,
        first=header.first,
        message=header.message,
        sent=header.time,
        final=bool(header.flags & FINAL),
    )
    items.absent = bool(header.flags & GAP) and not header.count
    return items


def decode(header: Header, parts: Sequence[Any], layout: Layout, large: dict[str, NDArray[Any]] | None = None) -> Items:
    """Items from a DATA header and its parts, the first of which it is from.

    large: the large fields where they came by a shared segment. Raises WireError where the parts do not fit the layout.
    """
    check(header, layout)
    placing = layout.placing(header.count)
    wanted = len(placing.large) if large is None else 0
    if header.fields != wanted or len(parts) != wanted + 1:
        came = f"{len(parts) - 1} and a claim of {header.fields}"
        raise WireError("parts", f"{layout.record}: expected {wanted} buffers, got {came}")
    body = placing.small_bytes + (REFERENCE_BYTES if large is not None else 0)
    if header.body != body or len(parts[0]) != HEADER_BYTES + body:
        claim = f"{body} bytes for {header.count} items"
        raise WireError("size", f"{layout.record}: expected {claim} behind the header, got {header.body}")
    if not header.count:
        return _items_of(header, layout, layout.nothing)
    fields: dict[str, NDArray[Any]] = {}
    for number, offset, _, shape in placing.small:
        fields[layout.fields[number].name] = np.ndarray(shape, layout.dtypes[number], parts[0], HEADER_BYTES + offset)
    if large is not None:
        fields.update(large)
        return _items_of(header, layout, fields)
    for (number, _, size, shape), part in zip(placing.large, parts[1:], strict=True):
        name = layout.fields[number].name
        view = memoryview(part).cast("B")
        if view.nbytes != size:
            wanted_bytes = f"{size} bytes for {header.count} items"
            raise WireError("size", f"{layout.record}.{name}: expected {wanted_bytes}, got {view.nbytes}")
        fields[name] = _array(layout.dtypes[number], shape, view)
    return _items_of(header, layout, fields)
