"""What a message looks like on a link: a fixed header of 72 bytes, then one buffer per field. Documented in docs/wire.md.

Everything is little-endian. Nothing is allocated before the sizes that a message claims have been compared with the
descriptor and with the buffers that came. No pickle, no eval.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isacblocks.stream.errors import WireError
from isacblocks.stream.spec import Items, Layout

MAGIC = b"ISAC"
VERSION = 1
DATA, HELLO, OPEN, ACK = 1, 2, 3, 4  # kinds
FINAL = 1  # flag: end of stream, the last message of a link
MAX_COUNT = 1 << 24  # items per message

_HEAD = struct.Struct("<4sBBHQQQQQIIdI")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEAD.size + _CRC.size

Buffer = bytes | bytearray | memoryview


class Header(msgspec.Struct, frozen=True):
    """The header's fields. What `first` and `count` mean depends on the kind, see docs/wire.md."""

    kind: int
    flags: int
    stream: int
    epoch: int
    serial: int  # counts the messages of a port without gaps
    message: int  # the flowgraph's clock, with gaps behind a lossy link
    first: int
    count: int
    fields: int
    time: float


def pack(header: Header) -> bytes:
    """The header as it goes on the wire, with its checksum."""
    head = _HEAD.pack(
        MAGIC,
        VERSION,
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
        0,
    )
    return head + _CRC.pack(zlib.crc32(head))


def unpack(data: Buffer) -> Header:
    """Read a header. Raises WireError for a wrong length, magic, version, kind or checksum."""
    if len(data) != HEADER_BYTES:
        raise WireError("length", f"a header has {HEADER_BYTES} bytes, got {len(data)}")
    magic, version, kind, flags, *rest, _ = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise WireError("magic", f"a message begins with {MAGIC!r}, got {magic!r}: is the sender an isacblocks flowgraph?")
    if version != VERSION:
        raise WireError("version", f"this program speaks version {VERSION} of the wire, the message has version {version}")
    if _CRC.unpack_from(data, _HEAD.size)[0] != zlib.crc32(memoryview(data)[: _HEAD.size]):
        raise WireError("checksum", "the header's checksum does not fit its bytes")
    if kind not in (DATA, HELLO, OPEN, ACK):
        raise WireError("kind", f"unknown kind of message {kind}")
    return Header(kind, flags, *rest)


def encode(items: Items, epoch: int, serial: int) -> list[Any]:
    """The parts of a DATA message: header and, unless it is empty, one C-contiguous array per field, by reference."""
    layout = items.layout
    parts: list[Any] = [b""]
    if items.count:
        parts += [np.ascontiguousarray(items.fields[f.name]) for f in layout.fields]
    parts[0] = pack(
        Header(
            DATA,
            FINAL if items.final else 0,
            layout.stream_id,
            epoch,
            serial,
            items.message,
            items.first,
            items.count,
            len(parts) - 1,
            items.sent,
        )
    )
    return parts


def _array(field_dtype: str, shape: tuple[int, ...], data: Any) -> NDArray[Any]:
    """A read-only array over a received buffer; small buffers that the transport left unaligned are copied."""
    array = np.frombuffer(data, dtype=field_dtype).reshape(shape)
    if not array.flags.aligned:
        array = array.copy()
    array.flags.writeable = False
    return array


def decode(header: Header, parts: Sequence[Any], layout: Layout) -> Items:
    """Items from a DATA header and the buffers that follow it. Raises WireError where they do not fit the layout."""
    if header.stream != layout.stream_id:
        wanted_id, got_id = f"{layout.stream_id:016x}", f"{header.stream:016x}"
        raise WireError("stream", f"expected a stream of {layout.record} ({wanted_id}), got {got_id}")
    if header.count > MAX_COUNT:
        raise WireError("count", f"a message holds at most {MAX_COUNT} items, this one claims {header.count}")
    wanted = len(layout.fields) if header.count else 0
    if header.fields != wanted or len(parts) != wanted:
        came = f"{len(parts)} and a claim of {header.fields}"
        raise WireError("parts", f"{layout.record}: expected {wanted} buffers, got {came}")
    fields = {}
    for field, size, part in zip(layout.fields, layout.item_sizes, parts, strict=False):
        view = memoryview(part).cast("B") if header.count else memoryview(b"")
        if view.nbytes != size * header.count:
            wanted_bytes = f"{size * header.count} bytes for {header.count} items"
            raise WireError("size", f"{layout.record}.{field.name}: expected {wanted_bytes}, got {view.nbytes}")
        fields[field.name] = _array(field.dtype, (header.count, *field.shape), view)
    if not header.count:
        fields = layout.empty(0)
    return Items(
        layout,
        fields,
        header.count,
        first=header.first,
        message=header.message,
        sent=header.time,
        final=bool(header.flags & FINAL),
    )
