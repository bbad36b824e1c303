"""Reads messages of a GNU Radio sender, one by one, and says where they cannot be what was told of them."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isacblocks.frontends.gnuradio import wire
from isacblocks.frontends.gnuradio.line import Wiring
from isacblocks.frontends.gnuradio.pdu import read_pdu
from isacblocks.frontends.gnuradio.wire import MessageError, Tag

_SUSPICIOUS = 8  # jumps in a row, each by a multiple of what came
_AGREE = "do type and vector length agree with the sender's"


class Reader:
    """Reads the messages of one sender.

    wiring: its key and endpoint; dtype, shape: of a GNU Radio item; tags: messages begin with a header; messages: they are
    PMTs; log: is told where the sender's numbers do not fit.
    """

    def __init__(
        self, wiring: Wiring, dtype: np.dtype[Any], shape: tuple[int, ...], tags: bool, messages: bool, log: logging.Logger
    ) -> None:
        self._wiring, self._dtype, self._shape = wiring, dtype, shape
        self._tags, self._messages, self._log = tags, messages, log
        self._row_bytes = dtype.itemsize * math.prod(shape)
        self._jumps = 0  # in a row
        self._before = 0, 0  # number of the last message's first item, and how many it held

    def read(self, parts: list[memoryview], expected: int) -> tuple[NDArray[Any], int | None, list[Tag]]:
        """The rows of a message, the number of the first one where it is told, and its tags. Raises MessageError.

        expected: the number of the next row, for messages that tell none.
        """
        if len(parts) != 1 + bool(self._wiring.key):
            wanted = "a key and one more part" if self._wiring.key else "one part; is a key set at the sender?"
            raise MessageError("parts", f"{len(parts)} parts, expected {wanted}")
        if self._wiring.key and parts[0] != self._wiring.key.encode():
            raise MessageError("key", f"the key is {bytes(parts[0][:64])!r}, expected {self._wiring.key!r}")
        data = parts[-1]
        if self._messages:
            return read_pdu(data, self._dtype, self._shape, expected)
        if not self._tags and wire.has_header(data):  # whose bytes could be items, and would not be what was sent
            raise MessageError("header", "begins with a tag header, expected items: say tags=True, or unset pass_tags there")
        offset, tags, position = wire.unpack(data) if self._tags else (None, [], 0)
        size = len(data) - position
        if size % self._row_bytes:
            raise MessageError(
                "size",
                f"{size} bytes are no whole number of items of {self._row_bytes} ({self._dtype} {self._shape}): {_AGREE}?",
            )
        rows = np.frombuffer(data[position:], self._dtype).reshape(-1, *self._shape) if size else np.empty((0, *self._shape))
        return rows, offset, tags

    def compare(self, offset: int | None, count: int) -> None:
        """Raises MessageError where the sender counts fewer items than its messages hold: another vector length.

        Where it counts more they may be lost: that is said, too, but taken for a gap.
        """
        if offset is None:
            return
        first, held = self._before
        self._before, step = (offset, count), offset - first
        if 0 < step < held:
            raise MessageError("length", f"{self._counts(step, held)}: {_AGREE}?")
        if step == held or not 0 < held < step or step % held:  # as most often: nothing is missing
            self._jumps = 0
            return
        self._jumps += 1
        if self._jumps == _SUSPICIOUS:
            self._log.warning(
                "%s: %s, %d times in a row: %s, or does somebody else take a part of its messages? The rest counts as lost",
                self._wiring.endpoint,
                self._counts(step, held),
                self._jumps,
                _AGREE,
            )

    def _counts(self, step: int, held: int) -> str:
        return f"the sender counts {step} items where {held} of {self._row_bytes} bytes came ({self._dtype} {self._shape})"
