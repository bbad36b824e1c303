"""Memory for the large fields of messages, used again and again: shared with other processes, or this process's own.

A message's large fields lie in one *segment*. The sender takes it from its pool, the fields are written into it, once; the
receivers map it, read-only. It goes back to the pool when every edge has acknowledged its message and nobody refers to it
any more. A block may keep the arrays that it got or sent for as long as it likes: a segment that somebody still refers to is
never written to again; the pool gives it up, and its memory is freed with the last reference to it. The receiver tells
of such segments with its acknowledgement.

Shared segments are anonymous files (memfd), sealed against shrinking. They have no name, so that nothing is left behind
however a process ends; a receiver opens them by way of /proc. See docs/decisions/0018-shared-memory.md.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import sys
import weakref
from collections import deque
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isacblocks.stream.errors import WireError
from isacblocks.stream.spec import ALIGNMENT, Layout, Placing

MOST_SEGMENTS = 128  # of one pool; each has a file descriptor
_REFERENCE = struct.Struct("<QQQII")
REFERENCE_BYTES = _REFERENCE.size


class Reference(msgspec.Struct, frozen=True):
    """How a receiver finds a segment. number: never used twice by one sender."""

    number: int
    size: int
    inode: int
    process: int
    descriptor: int

    def pack(self) -> bytes:
        """As it goes on the wire."""
        return _REFERENCE.pack(self.number, self.size, self.inode, self.process, self.descriptor)

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> Reference:
        """From the wire. Raises WireError for a wrong length."""
        if len(data) != REFERENCE_BYTES:
            raise WireError("memory", f"a reference to a segment has {REFERENCE_BYTES} bytes, got {len(data)}")
        return cls(*_REFERENCE.unpack(data))


class Segment:
    """A piece of memory. kept: a receiver goes on using it, so it is not ours to write to any more."""

    __slots__ = ("_given", "buffer", "kept", "reference", "skipped", "wire")

    def __init__(self, buffer: Any, reference: Reference) -> None:
        self.buffer = buffer
        self.reference = reference
        self.wire = reference.pack()
        self.kept = False
        self.skipped = False  # found in use once
        self._given: weakref.ref[NDArray[Any]] | None = None

    def give(self) -> NDArray[np.uint8]:
        """Its memory. Every array made of it refers to this one, so it lives as long as any of them."""
        array = np.frombuffer(self.buffer, np.uint8)
        self._given = weakref.ref(array)
        self.skipped = False
        return array

    def in_use(self) -> bool:
        """Whether somebody still refers to it."""
        return self.kept or (self._given is not None and self._given() is not None)


class Lease:
    """A segment while a message lies in it; with the last reference to the lease it goes back to its pool."""

    __slots__ = ("_free", "fields", "memory", "segment")

    def __init__(self, segment: Segment, free: deque[Segment], layout: Layout, placing: Placing) -> None:
        self.segment = segment
        self._free = free
        self.memory = segment.give()
        self.fields = cut(self.memory, layout, placing)

    def __del__(self) -> None:
        self._free.append(self.segment)


class Pool:
    """The segments of one output port. shared: with other processes."""

    def __init__(self, shared: bool) -> None:
        self.shared = shared
        self._free: deque[Segment] = deque()
        self._segments: dict[int, Segment] = {}
        self._next = 0

    def take(self, layout: Layout, count: int) -> Lease | None:
        """Memory for the large fields of `count` items; None where there is no more. Raises OSError where it is refused."""
        placing = layout.placing(count)
        for _ in range(len(self._free)):
            segment = self._free.popleft()
            fits, in_use = segment.reference.size >= placing.large_bytes, segment.in_use()
            if fits and not in_use:
                return Lease(segment, self._free, layout, placing)
            if fits and not segment.kept and not segment.skipped:  # another thread may be about to let go of it
                segment.skipped = True
                self._free.append(segment)
            else:
                self._give_up(segment)
        if len(self._segments) >= MOST_SEGMENTS:
            return None
        segment = self._make(-(-placing.large_bytes // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._segments[segment.reference.number] = segment
        return Lease(segment, self._free, layout, placing)

    def _make(self, size: int) -> Segment:
        self._next += 1
        if not self.shared:
            room = np.empty(size + ALIGNMENT, np.uint8)
            start = -room.__array_interface__["data"][0] % ALIGNMENT
            return Segment(room[start : start + size].data, Reference(self._next, size, 0, os.getpid(), 0))
        descriptor = os.memfd_create("isacblocks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.posix_fallocate(descriptor, 0, size)  # now, so that there is no surprise when it is written to
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            buffer = mmap.mmap(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
        return Segment(buffer, Reference(self._next, size, os.fstat(descriptor).st_ino, os.getpid(), descriptor))

    def keep(self, number: int) -> None:
        """A receiver goes on using a segment."""
        segment = self._segments.get(number)
        if segment is not None:
            segment.kept = True

    def _give_up(self, segment: Segment) -> None:
        if self._segments.pop(segment.reference.number, None) is not None and self.shared:
            os.close(segment.reference.descriptor)

    def close(self) -> None:
        """No more receivers will come; the memory is freed when nobody refers to it."""
        for segment in list(self._segments.values()):
            self._give_up(segment)
        self._free.clear()


def can_share() -> bool:
    """Whether this system has what shared segments need."""
    return sys.platform == "linux" and hasattr(os, "memfd_create") and os.path.isdir(f"/proc/{os.getpid()}/fd")


def cut(memory: NDArray[np.uint8], layout: Layout, placing: Placing) -> dict[str, NDArray[Any]]:
    """The large fields as arrays over `memory`."""
    fields: dict[str, NDArray[Any]] = {}
    for number, offset, _, shape in placing.large:
        fields[layout.fields[number].name] = np.ndarray(shape, layout.dtypes[number], memory, offset)
    return fields


class UnreachableError(Exception):
    """A segment that cannot be mapped here: another namespace of processes, no descriptors left, a sender that died."""


class Loan:
    """A sender's segment while a message of it is looked at."""

    __slots__ = ("_given", "number")

    def __init__(self, number: int, memory: NDArray[np.uint8]) -> None:
        self.number = number
        self._given = weakref.ref(memory)

    def in_use(self) -> bool:
        """Whether somebody still refers to it."""
        return self._given() is not None


class Mappings:
    """The segments of one sender as its receiver sees them, read-only.

    limit: how many are kept mapped. The receiver is not told when the sender gives one up; a mapping that has not been used
    for the longest time is let go, and made again should its segment come back.
    """

    def __init__(self, limit: int = 32) -> None:
        self._limit = limit
        self._maps: dict[int, tuple[Reference, mmap.mmap]] = {}  # the longest unused ones first

    def borrow(self, reference: Reference, layout: Layout, count: int) -> tuple[dict[str, NDArray[Any]], Loan]:
        """The large fields of `count` items. Raises WireError where the reference cannot be true, UnreachableError."""
        placing = layout.placing(count)
        if placing.large_bytes > reference.size:
            raise WireError("memory", f"a segment of {reference.size} bytes does not hold {placing.large_bytes} bytes")
        known = self._maps.pop(reference.number, None)
        if known is None:
            known = reference, _map(reference)
        self._maps[reference.number] = known
        if known[0] != reference and known[0].process != reference.process:  # a sender that came back counts from 1 again
            known = self._maps[reference.number] = reference, _map(reference)
        if known[0] != reference:
            raise WireError("memory", f"segment {reference.number} is {known[0]}, the message says {reference}")
        if len(self._maps) > self._limit:
            del self._maps[next(iter(self._maps))]
        memory = np.frombuffer(known[1], np.uint8)
        return cut(memory, layout, placing), Loan(reference.number, memory)

    def clear(self) -> None:
        """The sender is gone."""
        self._maps.clear()

    def forget(self, number: int) -> None:
        """The sender will not use a segment again."""
        self._maps.pop(number, None)


def _map(reference: Reference) -> mmap.mmap:
    path = f"/proc/{reference.process}/fd/{reference.descriptor}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            if (found.st_ino, found.st_size) != (reference.inode, reference.size):
                raise UnreachableError(f"{path} is not the segment that is meant")
            if not fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:  # else reading could kill us
                raise UnreachableError(f"{path} is not sealed")
            return mmap.mmap(descriptor, reference.size, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise UnreachableError(f"{path}: {error}") from error
