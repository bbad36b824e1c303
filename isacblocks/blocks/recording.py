"""The recording format: one file, a JSON header and then items of a fixed size. Documented in docs/formats.md.

A recording is appended to while it grows and memory-mapped while it is read, so it may be larger than memory. A program
that is killed leaves at most one broken item at the end, which readers ignore and writers cut off. Every item carries its
sequence number: what a lossy link dropped is a gap that can be seen. No pickle, no eval; the header is checked before use.
"""

from __future__ import annotations

import datetime
import os
import struct
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from isacblocks._version import __version__
from isacblocks.radar import OfdmRadar
from isacblocks.stream.decoder import UNREADABLE
from isacblocks.stream.errors import WireError
from isacblocks.stream.files import replacing
from isacblocks.stream.offer import examine
from isacblocks.stream.spec import Items, Layout

MAGIC = b"ISACREC1"
VERSION = 1
_HEAD = struct.Struct("<8sQ")  # magic, bytes of JSON
_PAGE = 4096
_LARGEST_HEADER = 1 << 20
_LARGEST_NPZ = 2 << 30
SEQUENCE = "sequence"  # the field that every item begins with


class Meta(msgspec.Struct, kw_only=True):
    """The header's JSON."""

    format: str = "isacblocks recording"
    version: int = VERSION
    layout: Layout
    radar: dict[str, Any] | None = None
    created: str = ""
    software: str = f"isacblocks {__version__}"
    metadata: dict[str, Any] = {}


class RecordingError(ValueError):
    """A file that is not a recording, is damaged, or does not fit; the message names it."""


def item_dtype(layout: Layout) -> np.dtype[Any]:
    """How an item lies in the file: its sequence number, then its fields, each on its natural alignment."""
    if SEQUENCE in layout.by_name:
        raise RecordingError(f"a field cannot be named {SEQUENCE!r} in a recording; every item has that already")
    fields = [(SEQUENCE, "<u8")] + [(f.name, np.dtype(f.dtype).newbyteorder("<"), f.shape) for f in layout.fields]
    return np.dtype(fields, align=True)


def _meta_of(data: bytes, path: Path) -> Meta:
    try:
        meta = msgspec.json.decode(data, type=Meta)
    except UNREADABLE as error:
        raise RecordingError(f"{path}: its header is damaged: {error}") from error
    if meta.version != VERSION:
        raise RecordingError(f"{path}: a recording of version {meta.version}; this program reads version {VERSION}")
    try:
        examine(meta.layout)
        item_dtype(meta.layout)
    except (WireError, ValueError) as error:
        raise RecordingError(f"{path}: its header is damaged: {error}") from error
    return meta


def _read_head(file: IO[bytes], path: Path) -> tuple[Meta, int]:
    """The header and where the items begin."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size or head[:8] != MAGIC:
        raise RecordingError(f"{path}: not an isacblocks recording (it does not begin with {MAGIC!r})")
    length = _HEAD.unpack(head)[1]
    if length > _LARGEST_HEADER:
        raise RecordingError(f"{path}: its header claims {length} bytes, more than any recording's")
    data = file.read(length)
    if len(data) < length:
        raise RecordingError(f"{path}: ends inside its header")
    return _meta_of(data, path), -(-(_HEAD.size + length) // _PAGE) * _PAGE


class Recording:
    """A recording, read. ``items`` is a read-only memory map with one structured element per item.

    Raises RecordingError for a file that is not a recording, FileNotFoundError where there is none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with open(self.path, "rb") as file:
            self.meta, self.offset = _read_head(file, self.path)
            size = os.fstat(file.fileno()).st_size
        self.dtype = item_dtype(self.meta.layout)
        count = max(0, size - self.offset) // self.dtype.itemsize
        self.broken_tail = max(0, size - self.offset) % self.dtype.itemsize != 0
        self.items: NDArray[Any] = np.empty(0, self.dtype)
        if count:
            self.items = np.memmap(self.path, self.dtype, "r", self.offset, (count,))

    def __len__(self) -> int:
        return int(self.items.shape[0])

    @property
    def layout(self) -> Layout:
        """The layout of the items."""
        return self.meta.layout

    def radar(self) -> OfdmRadar | None:
        """The radar's parameters, where they were recorded."""
        if self.meta.radar is None:
            return None
        try:
            return msgspec.convert(self.meta.radar, OfdmRadar)
        except UNREADABLE as error:
            raise RecordingError(f"{self.path}: the radar's parameters are damaged: {error}") from error

    def field(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """One field of the items start .. stop - 1, copied out of the file, contiguous."""
        return np.ascontiguousarray(self.items[name][start:stop])

    def gaps(self) -> int:
        """Items that are missing between the first one and the last one."""
        sequence = self.items[SEQUENCE]
        if not len(sequence):
            return 0
        steps = np.diff(sequence.astype(np.int64))
        return int(np.maximum(steps - 1, 0).sum())


class Writer:
    """Writes a recording. mode: "create" (the file must not exist), "replace" or "append" (to the same layout).

    keep: with "append", how many items of the file stay; None for all whole ones.
    Raises RecordingError saying what is in the way.
    """

    def __init__(
        self,
        path: str | Path,
        layout: Layout,
        mode: str = "create",
        radar: OfdmRadar | None = None,
        metadata: dict[str, Any] | None = None,
        keep: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.layout = layout
        self.dtype = item_dtype(layout)
        self.count = 0
        try:
            if mode == "append" and self.path.exists():
                self._file = self._reopen(keep)
            elif mode in ("create", "append"):
                self._file = self.path.open("xb")
                self._begin(radar, metadata or {})
            else:
                self._file = self.path.open("wb")
                self._begin(radar, metadata or {})
        except FileExistsError:
            raise RecordingError(f"{self.path}: exists; choose another name, or mode 'append' or 'replace'") from None
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _begin(self, radar: OfdmRadar | None, metadata: dict[str, Any]) -> None:
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        meta = Meta(layout=self.layout, radar=None if radar is None else asdict(radar), created=now, metadata=metadata)
        data = msgspec.json.encode(meta)
        head = _HEAD.pack(MAGIC, len(data)) + data
        self._file.write(head + b"\0" * (-len(head) % _PAGE))
        self._file.flush()

    def _reopen(self, keep: int | None) -> IO[bytes]:
        known = Recording(self.path)
        if known.layout != self.layout:
            raise RecordingError(f"{self.path}: holds another kind of items ({known.layout.record}) and cannot be continued")
        self.count = len(known) if keep is None else keep
        if self.count > len(known):
            raise RecordingError(f"{self.path}: has {len(known)} items, expected at least {self.count} to continue from")
        end = known.offset + self.count * self.dtype.itemsize
        del known
        file = self.path.open("r+b")
        file.truncate(end)
        file.seek(end)
        return file

    def write(self, items: Items) -> None:
        """Append items; OSError (a full disk, say) is raised with everything before them intact."""
        rows = np.zeros(len(items), self.dtype)
        rows[SEQUENCE] = np.arange(items.first, items.first + len(items))
        for field in self.layout.fields:
            rows[field.name] = items.fields[field.name]
        self._file.write(rows.tobytes())
        self.count += len(items)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Flush to the disk and close; calling it twice does no harm."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def export_npz(recording: str | Path, target: str | Path) -> None:
    """Write a small recording as a compressed .npz: one array per field, ``sequence``, and ``meta`` as JSON text.

    numpy.load reads it without pickle. Raises RecordingError where it would need more than 2 GiB of memory.
    """
    source = Recording(recording)
    size = len(source) * source.dtype.itemsize
    if size > _LARGEST_NPZ:
        raise RecordingError(f"{source.path}: {size / 2**30:.1f} GiB are too many for an .npz; read the recording itself")
    arrays = {f.name: source.field(f.name) for f in source.layout.fields}
    meta = np.array(msgspec.json.encode(source.meta).decode())
    with replacing(Path(target)) as file:
        np.savez_compressed(file, meta=meta, sequence=source.field(SEQUENCE), **arrays)  # type: ignore[arg-type]
