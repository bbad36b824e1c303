"""Where a block's snapshots lie so that they outlive its process: anonymous memory that the nursery keeps open.

A journal is three files without names: two slots for snapshots, written in turn, and a shelf for messages that were sent and
not yet acknowledged, each written once. A snapshot counts from the moment at which the head of its slot is written, after
its body; a process that is killed before that leaves the other slot, whole. What a dead process has written to such a file
is there, since the memory is the kernel's: this holds for kill -9, not for a machine that loses its power.
"""

from __future__ import annotations

import errno
import os
import struct
import tempfile
import zlib
from collections.abc import Hashable, Sequence
from typing import Any

import msgspec

from isacblocks.stream.errors import CheckpointError

_MAGIC = b"ISACJRN1"
_HEAD = struct.Struct("<8sQQQI")  # magic, number, progress, bytes of the body, CRC-32 of these
_BODY = 64  # where the body begins
_ALIGN = 4096


class Head(msgspec.Struct, frozen=True):
    """number: of the snapshot, from 1; progress: how far the block was, in messages."""

    number: int
    progress: int
    size: int


def open_files() -> tuple[int, int, int]:
    """Descriptors of a new journal: two slots and a shelf. Raises OSError where there are none."""
    return _anonymous(), _anonymous(), _anonymous()


def _anonymous() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("isacblocks", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _read_head(descriptor: int) -> Head | None:
    data = os.pread(descriptor, _HEAD.size, 0)
    if len(data) < _HEAD.size:
        return None
    magic, number, progress, size, check = _HEAD.unpack(data)
    if magic != _MAGIC or check != zlib.crc32(data[:-4]):
        return None
    return Head(number, progress, size)


def progress_of(descriptors: Sequence[int]) -> int:
    """How far the block was when it last took a snapshot, in messages; -1 where it never did."""
    heads = [_read_head(descriptor) for descriptor in descriptors[:2]]
    return max((head.progress for head in heads if head is not None), default=-1)


def _write(descriptor: int, parts: Sequence[Any], offset: int) -> int:
    size = sum(memoryview(part).nbytes for part in parts)
    if size and os.pwritev(descriptor, parts, offset) != size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return size


class Shelf:
    """Byte strings by key, each written once to a place where nothing lies that the last snapshot needs."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.places: dict[Hashable, list[int]] = {}  # key: offset, then the sizes of the parts

    def put(self, key: Hashable, parts: Sequence[Any]) -> list[int]:
        """Write what is not there yet; returns its place."""
        place = self.places.get(key)
        if place is None:
            sizes = [memoryview(part).nbytes for part in parts]
            place = [self._gap(sum(sizes)), *sizes]
            _write(self._descriptor, parts, place[0])
            self.places[key] = place
        return place

    def _gap(self, size: int) -> int:
        """The first offset at which `size` bytes are free."""
        end = 0
        for offset, *sizes in sorted(self.places.values()):
            if offset - end >= size:
                break
            end = -(-(offset + sum(sizes)) // _ALIGN) * _ALIGN
        return end

    def get(self, key: Hashable, place: list[int]) -> list[bytes]:
        """Read what lies at a place, which is taken from now on."""
        self.places[key] = place
        offset, *sizes = place
        parts = []
        for size in sizes:
            parts.append(os.pread(self._descriptor, size, offset))
            if len(parts[-1]) != size:
                raise CheckpointError(f"a snapshot refers to {size} bytes at {offset} that were never written")
            offset += size
        return parts

    def clear(self, wanted: set[Hashable]) -> None:
        """Only `wanted` is needed from now on."""
        self.places = {key: place for key, place in self.places.items() if key in wanted}


class Journal:
    """The snapshots of one block, over the descriptors of :func:`open_files`."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._slots = tuple(descriptors[:2])
        self.shelf = Shelf(descriptors[2])
        heads = [_read_head(slot) for slot in self._slots]
        self._last = max((head.number for head in heads if head is not None), default=0)

    def save(self, body: bytes, progress: int) -> None:
        """Put a snapshot in the place of the last but one. Raises OSError where there is no memory for it."""
        number = self._last + 1
        slot = self._slots[number % 2]
        _write(slot, [body], _BODY)  # under an old head, which is not the last one
        head = _HEAD.pack(_MAGIC, number, progress, len(body), 0)[:-4]
        os.pwrite(slot, head + zlib.crc32(head).to_bytes(4, "little"), 0)
        self._last = number

    def load(self) -> bytes | None:
        """The last whole snapshot, None where there is none."""
        found = [(head, slot) for slot in self._slots if (head := _read_head(slot)) is not None]
        if not found:
            return None
        head, slot = max(found, key=lambda pair: pair[0].number)
        return os.pread(slot, head.size, _BODY)
