"""Messages of GNU Radio that carry samples: PDUs, pairs of a dictionary and a uniform vector, or the vector alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.frontends.gnuradio import pmt
from isacblocks.frontends.gnuradio.assembly import NAMES
from isacblocks.frontends.gnuradio.pmt import Pair, PmtError
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


def make_pdu(told: Mapping[str, Any], samples: NDArray[Any] | None) -> bytes:
    """A PDU of a dictionary and samples of any shape; without samples, the dictionary."""
    meta = {name: value if isinstance(value, int) else _plain(value) for name, value in told.items()}
    return pmt.encode(meta if samples is None else Pair(meta, samples.reshape(-1)))


def _plain(value: Any) -> Any:
    """A number, or an array as a uniform vector."""
    array = np.asarray(value)
    return array.reshape(-1) if array.ndim else array.item()
