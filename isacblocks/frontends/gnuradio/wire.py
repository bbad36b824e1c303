"""What GNU Radio's ZeroMQ stream blocks send: items as they lie in memory, with pass_tags behind a header of tags.

Header, in the sender's byte order (little-endian is assumed, as everywhere here): u16 0x5FF0, u8 version 1, u64 number of
the first item since the sender's start, u64 number of tags; a tag: u64 number of its item, then key, value, source as PMTs.
Nothing says what the items are: both ends must be told the same dtype and vector length.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from isacblocks.frontends.gnuradio import pmt

MAGIC = 0x5FF0
VERSION = 1
_HEADER = struct.Struct("<HBQQ")
_OFFSET = struct.Struct("<Q")
_SMALLEST_TAG = _OFFSET.size + 3  # three PMTs of a byte each
MOST_TAGS = 1 << 16  # in a message
FARTHEST = 1 << 62  # the number of no item is larger


class Tag(NamedTuple):
    """A tag on item number `offset` of a stream."""

    offset: int
    key: Any
    value: Any
    source: Any = None


class MessageError(ValueError):
    """A message that cannot be read; ``reason`` is one word, for the counters."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def pack(offset: int, tags: Sequence[Tag] = ()) -> bytes:
    """The header of a message whose first item is number `offset`."""
    parts = [_OFFSET.pack(tag.offset) + b"".join(map(pmt.encode, tag[1:])) for tag in tags]
    return _HEADER.pack(MAGIC, VERSION, offset, len(tags)) + b"".join(parts)


def has_header(data: bytes | memoryview) -> bool:
    """Whether a message begins as one with tags does; samples as good as never do: 73 of these bits are fixed."""
    if len(data) < _HEADER.size:
        return False
    magic, version, offset, count = _HEADER.unpack_from(data)
    return (magic, version) == (MAGIC, VERSION) and offset < FARTHEST and count <= MOST_TAGS


def unpack(data: bytes | memoryview) -> tuple[int, list[Tag], int]:
    """Number of the first item, tags, and where the items begin. Raises MessageError."""
    if len(data) < _HEADER.size:
        raise MessageError("short", f"{len(data)} bytes, expected a tag header of at least {_HEADER.size}")
    magic, version, offset, count = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise MessageError(
            "magic", f"begins with {magic:#06x}, expected a tag header ({MAGIC:#06x}): does the sender set pass_tags?"
        )
    if version != VERSION:
        raise MessageError("version", f"a tag header of version {version}, expected {VERSION}")
    if count > min(MOST_TAGS, (len(data) - _HEADER.size) // _SMALLEST_TAG):
        raise MessageError("tags", f"{count} tags claimed in {len(data)} bytes, at most {MOST_TAGS} are read")
    if offset >= FARTHEST:
        raise MessageError("offset", f"begins with item {offset}, more than any stream has sent")
    if not count:
        return offset, [], _HEADER.size
    reader = pmt.Reader(data, _HEADER.size)
    tags = []
    try:
        for _ in range(count):
            (where,) = _OFFSET.unpack(reader.take(_OFFSET.size))
            tags.append(Tag(where, reader.value(), reader.value(), reader.value()))
    except pmt.PmtError as error:
        raise MessageError("tags", f"tag {len(tags)} of {count}: {error}") from error
    return offset, tags, reader.position
