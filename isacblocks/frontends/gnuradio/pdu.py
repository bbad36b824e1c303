"""Messages of GNU Radio that carry samples: PDUs, pairs of a dictionary and a uniform vector, or the vector alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.frontends.gnuradio import pmt
from isacblocks.frontends.gnuradio.assembly import NAMES
from isacblocks.frontends.gnuradio.pmt import Pair, PmtError, UInt64
from isacblocks.frontends.gnuradio.wire import MessageError, Tag


def read_pdu(
    data: bytes | memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], first: int
) -> tuple[NDArray[Any], None, list[Tag]]:
    """Rows (n, *shape) of a message, and what its dictionary tells as tags on row number `first`. Raises MessageError."""
    try:
        value = pmt.decode(data)
    except PmtError as error:
        raise MessageError("pmt", str(error)) from error
    told, samples = (value.car, value.cdr) if isinstance(value, Pair) else (None, value)
    if not isinstance(samples, np.ndarray):
        raise MessageError("pdu", f"a {type(samples).__name__}, expected a PDU or a uniform vector of {dtype}")
    if samples.dtype != dtype or samples.size % math.prod(shape):
        raise MessageError("pdu", f"{samples.size} values of {samples.dtype}, expected {dtype} in items of {shape}")
    entries = told if isinstance(told, dict) else {}
    return samples.reshape(-1, *shape), None, [Tag(first, name, entries[name]) for name in NAMES if name in entries]


def make_pdus(first: int, count: int, told: Mapping[str, NDArray[Any]], samples: NDArray[Any] | None = None) -> list[bytes]:
    """PDUs of `count` items: a dictionary of "sequence", from `first` on, and the item's part of every array of `told`
    (count, ...), and with `samples` (count, ...) the item's as a uniform vector; without, the dictionary.

    The items of a message differ in their numbers alone, so that they are written for all of them at once; one by one only
    where an integer needs 64 bits in some of them and not in others. Raises PmtError where PMT has nothing for a field.
    """
    if not count:
        return []
    numbers = first + np.arange(count, dtype=np.uint64)
    parts = [_columns(pmt.encode({"sequence": UInt64(first)})[:-1], numbers.astype(">u8"))]
    for name, values in told.items():
        written = _written(values.reshape(count, -1) if values.ndim > 1 else values)
        if written is None:
            return [_make_pdu(k, first, told, samples) for k in range(count)]
        parts.append(_columns(pmt.encode({name: _plain(values[0])})[:-1], written))
    if samples is None:
        parts.append(_columns(pmt.encode(None), np.empty((count, 0), np.uint8)))
    else:
        flat = samples.reshape(count, -1)
        pair = pmt.encode(Pair(None, flat[0]))  # the dictionary takes the place of what is nil in it
        parts.insert(0, np.broadcast_to(np.frombuffer(pair[:1], np.uint8), (count, 1)))
        parts.append(_columns(pair[1:], flat.astype(flat.dtype.newbyteorder(">"))))
    table = np.concatenate(parts, axis=1)
    data, size = table.tobytes(), table.shape[1]
    return [data[at : at + size] for at in range(0, len(data), size)]


def _columns(one: bytes, values: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of what was written as `one` for the first item, (F, bytes), with each item's values at their end."""
    numbers = values.reshape(len(values), -1).view(np.uint8)
    head = np.frombuffer(one, np.uint8)[: len(one) - numbers.shape[1]]
    return np.concatenate([np.broadcast_to(head, (len(values), head.size)), numbers], axis=1)


def _written(values: NDArray[Any]) -> NDArray[Any] | None:
    """The values of a field as PMT has them in memory, None where not all are of one kind."""
    kind = values.dtype.kind
    if values.ndim > 1:
        return values.astype(values.dtype.newbyteorder(">"))
    if kind == "b":
        return np.where(values, *(np.frombuffer(pmt.encode(one), np.uint8) for one in (True, False)))
    if kind in "fc":
        return values.astype(">f8" if kind == "f" else ">c16")
    low, high = int(values.min()), int(values.max())
    return values.astype(">i4") if low >= -(2**31) and high < 2**31 else None


def _make_pdu(k: int, first: int, told: Mapping[str, NDArray[Any]], samples: NDArray[Any] | None) -> bytes:
    """The PDU of one item."""
    meta: dict[str, Any] = {"sequence": UInt64(first + k)} | {name: _plain(values[k]) for name, values in told.items()}
    return pmt.encode(meta if samples is None else Pair(meta, samples[k].reshape(-1)))


def _plain(value: Any) -> Any:
    """A number, or an array as a uniform vector."""
    array = np.asarray(value)
    return array.reshape(-1) if array.ndim else array.item()
