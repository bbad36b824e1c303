"""What a receiver says to its sender, HELLO and ACK: a header, and words behind it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec

from isacblocks.stream import wire
from isacblocks.stream.decoder import Decoder
from isacblocks.stream.errors import WireError
from isacblocks.stream.link import LARGEST_REQUEST
from isacblocks.stream.spec import Layout

LONGEST = 3600.0  # seconds, of an interval


class Words(msgspec.Struct, omit_defaults=True):
    """What stands behind the header."""

    dropped: dict[str, int] = {}  # items by reason
    kept: list[int] = []  # segments that it goes on using, of the messages from `since` to before the header's serial
    since: Annotated[int, msgspec.Meta(ge=0)] = 0  # the serial of the word before this one, which may have been lost
    interval: Annotated[float, msgspec.Meta(ge=0.0, le=LONGEST)] = 0.0  # seconds between two messages that it wants at least


def _bad_words(text: str) -> WireError:
    return WireError("words", text)


read_words = Decoder(msgspec.msgpack.Decoder(Words).decode, "a receiver's words", LARGEST_REQUEST, _bad_words)


class Request(NamedTuple):
    """Everything before message `serial` has been committed or dropped; totals over all runs.

    kind: HELLO asks for that message and all that follow, ACK only says so; inline: shared segments cannot be mapped there.
    """

    kind: int
    epoch: int
    serial: int
    committed: int
    words: Words
    inline: bool

    def write(self, stream: int) -> bytes:
        """As it is sent. stream: the layout's stream_id."""
        words = msgspec.msgpack.encode(self.words)
        flags = wire.INLINE if self.inline else 0
        header = wire.Header(
            self.kind, flags, stream, self.epoch, self.serial, 0, self.committed, 0, 0, time.time(), len(words)
        )
        return wire.pack(header) + words


def read_request(parts: Sequence[bytes], layout: Layout) -> Request:
    """What a receiver of this layout's stream said. Raises WireError for what it cannot say."""
    if len(parts) != 1:
        raise WireError("parts", f"a request has 1 part, got {len(parts)}")
    header = wire.unpack(parts[0])
    if header.stream != layout.stream_id:
        raise WireError("stream", f"the receiver expects another stream than {layout.record}")
    if header.kind not in (wire.HELLO, wire.ACK):
        raise WireError("kind", f"a receiver does not send messages of kind {header.kind}")
    words = read_words(memoryview(parts[0])[wire.HEADER_BYTES :])
    return Request(header.kind, header.epoch, header.serial, header.first, words, bool(header.flags & wire.INLINE))
