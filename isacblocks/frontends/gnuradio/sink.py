"""Sends a field of any record to a GNU Radio flowgraph, which takes it by one of its ZeroMQ blocks.

pattern "pub"  --> ZMQ SUB Source       "push" --> ZMQ PULL Source       "rep" --> ZMQ REQ Source
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.frontends.gnuradio import wire
from isacblocks.frontends.gnuradio.leaving import Leaving
from isacblocks.frontends.gnuradio.line import SINKS, Wiring
from isacblocks.frontends.gnuradio.pmt import UInt64
from isacblocks.frontends.gnuradio.wire import Tag
from isacblocks.stream import Reading, WiringError
from isacblocks.stream.spec import DTYPES, Items

SOURCE = "isacblocks"  # the srcid of our tags
_SETTINGS = {"rate": "rx_rate", "frequency": "rx_freq", "gain": "gain"}  # fields of front ends' records, and their tags


class GnuRadioSink(Leaving):
    """Items of one field as a GNU Radio stream.

    endpoint, bind, key, high_water, exposed: as for the source; by default the sink binds, as GNU Radio's do; pattern: see
    the module; field: what is sent, by default the record's first; dtype: as what, where the field's own is not one that GNU
    Radio has (kappa is complex128, GNU Radio's complex is complex64); axis: None for one GNU Radio item per item, else the
    axis of an item along which its GNU Radio items lie; tags: whether messages have a tag header (set pass_tags there), with
    the tags that front ends tell (rx_time, rx_rate, rx_freq, gain) and, on every item, the fields named in `fields`;
    lossless: whether slow subscribers of "pub" are waited for, :class:`~isacblocks.frontends.gnuradio.sending.Sender`;
    patience: seconds that a message may wait for its receiver before it is dropped and counted, None for as long as it
    takes; linger: seconds that the last messages have to leave, at the end of the stream.
    The tag header counts items by their numbers in the stream: what a lossy link dropped before is a jump there.
    Raises ValueError for arguments that cannot be.
    """

    sent_items = Reading("items")
    dropped_items = Reading("items")
    peers = Reading("peers")

    def __init__(
        self,
        endpoint: str,
        *,
        pattern: str = "push",
        field: str | None = None,
        dtype: str | None = None,
        axis: int | None = None,
        bind: bool = True,
        key: str = "",
        tags: bool = False,
        fields: Sequence[str] = (),
        lossless: bool = True,
        patience: float | None = None,
        linger: float = 5.0,
        high_water: int = 16,
        exposed: bool = False,
    ) -> None:
        self._set_up(Wiring(endpoint, pattern, bind, key, high_water, 1 << 20, exposed, SINKS), lossless, patience, linger)
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"dtype: expected one of {', '.join(sorted(DTYPES))}, got {dtype!r}")
        if fields and not tags:
            raise ValueError("fields: they travel as tags, say tags=True and set pass_tags at the other end")
        self.field, self.dtype, self.axis = field, dtype, axis
        self.tags, self.fields = tags, tuple(fields)

    def _asked(self) -> list[str]:
        return [*self.fields, self.field or self.items.layout.names[0]]

    def _expect(self, fields: Iterable[str]) -> None:
        super()._expect(fields)
        shape = self.items.layout.by_name[self._asked()[-1]].shape
        if self.axis is not None and not 0 <= self.axis < len(shape):
            raise WiringError(f"{self.label}: axis {self.axis} of a field of shape {shape}")
        self._told: dict[str, Any] = {}

    def process(self, items: Items) -> None:
        """Send the items; waits while the receiver is slow."""
        array = items.fields[self.field or items.layout.names[0]]
        if self.dtype is not None:
            array = array.astype(self.dtype, casting="same_kind", copy=False)
        if self.axis is not None:
            array = np.moveaxis(array, 1 + self.axis, 1)
        each = 1 if self.axis is None else array.shape[1]
        rows = np.ascontiguousarray(array).reshape(len(items) * each, -1)
        first = items.first * each
        tags = self._tags(items, each) if self.tags else []
        if self.wiring.pattern == "rep":
            self._answer(rows, first, tags)
        else:
            self._send(rows, first, tags)
        self.sent_items, self.dropped_items = float(self.sent), float(self.dropped)

    def _send(self, rows: NDArray[Any], first: int, tags: list[Tag]) -> None:
        assert self._sender is not None
        gone = self._sender.send(self._message(rows, first, tags), self.attend)
        self.sent += len(rows) if gone else 0
        self.dropped += 0 if gone else len(rows)
        self.peers = float(self._sender.peers)

    def _answer(self, rows: NDArray[Any], first: int, tags: list[Tag]) -> None:
        """One request after the other, until all has been fetched."""
        assert self._sender is not None
        done = 0
        while done < len(rows):
            wanted = self._sender.request(self.attend)
            if wanted is None:
                self.dropped += len(rows) - done
                return
            part = rows[done : done + wanted]
            begin, end = first + done, first + done + len(part)
            self._sender.answer(self._message(part, begin, [tag for tag in tags if begin <= tag.offset < end]))
            done += len(part)
            self.sent += len(part)

    def _message(self, rows: NDArray[Any], first: int, tags: list[Tag]) -> bytearray | memoryview:
        """The bytes; without tags, those of the rows themselves."""
        data = rows.data.cast("B") if rows.size else memoryview(b"")
        if not self.tags:
            return data
        message = bytearray(wire.pack(first, tags))
        message += data
        return message

    def _tags(self, items: Items, each: int) -> list[Tag]:
        """What the items' other fields tell, on the first GNU Radio item of each."""
        found = []
        for k in range(len(items)):
            offset = (items.first + k) * each
            entries = {name: _plain(items.fields[name][k]) for name in self.fields}
            entries |= self._news(items, k)
            found += [Tag(offset, name, value, SOURCE) for name, value in entries.items()]
        return found

    def _news(self, items: Items, k: int) -> dict[str, Any]:
        """How the receiver is set, where that has changed, and the time where it does not follow from the last one told."""
        if not items.layout.by_name.keys() >= {"seconds", "fraction", *_SETTINGS}:
            return {}
        news = {}
        for name, tag in _SETTINGS.items():
            value = items.fields[name][k]
            if np.isfinite(value).all() and not np.array_equal(self._told.get(name, ()), value):
                self._told[name] = np.array(value)
                news[tag] = _plain(value)
        fraction = float(items.fraction[k])
        if math.isfinite(fraction) and (news or items.gap[k] or "time" not in self._told):
            self._told["time"] = True
            news["rx_time"] = (UInt64(max(0, int(items.seconds[k]))), fraction)
        return news


def _plain(value: Any) -> Any:
    """A number as Python's own, an array as a uniform vector."""
    array = np.asarray(value)
    return array.reshape(-1) if array.size > 1 else array.reshape(-1)[0].item()
