"""A sink that shows the newest of a stream to a desk, a few times a second, and holds nobody up.

It sits behind a lossy edge of policy "latest" and says how often it wants a message, more rarely while nobody looks on: in
between its sender has nothing to do but to keep its newest one.
"""

from __future__ import annotations

import contextlib
from typing import Any

import zmq

from isacblocks.stream import Block, In, Setting, codec
from isacblocks.stream.spec import ANY, Items

PREFIX = "view_"  # of the names of blocks that are there only to look on
_OFTEN = 0.08  # seconds between two messages that are shown
_RARELY = 1.0  # the same while nobody looks on: for who comes, and for what is saved


def looks_on(block: str) -> bool:
    """Whether a block, by its name, is there only for a view: what it misses is not lost to anybody."""
    return block.startswith(PREFIX)


class Tap(Block):
    """Sends the last `newest` items of a message, of all that comes, to the desk at `endpoint`.

    kind: under which name the desk keeps them; fields: names of those that are sent, all by default; whole: of these, those
    that are sent of all items of the message. Where the desk is behind or away, nothing is sent.
    """

    onlooker = True
    items = In(ANY)
    watched = Setting(bool, initial=False, doc="whether anybody looks on")

    def __init__(
        self, kind: str, endpoint: str, fields: list[str] | None = None, newest: int = 1, whole: tuple[str, ...] = ()
    ) -> None:
        self.kind = kind
        self.endpoint = endpoint
        self.fields = fields
        self.newest = newest
        self.whole = whole
        self.name = PREFIX + kind
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None

    def start(self) -> None:
        """Open the line to the desk."""
        super().start()
        self._close()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        self._socket.linger = 0
        self._socket.sndhwm = 1
        self._socket.connect(self.endpoint)

    def interval_wanted(self) -> float:
        """As often as it is looked at."""
        return _OFTEN if self.watched else _RARELY

    def process(self, items: Items) -> None:
        """Show the newest items."""
        assert self._socket is not None
        rows, every = slice(max(0, len(items) - self.newest), None), slice(None)
        shown = {name: items.fields[name][every if name in self.whole else rows] for name in self.fields or items.fields}
        message: dict[str, Any] = {"first": items.first + int(rows.start), "sent": items.sent, "fields": shown}
        with contextlib.suppress(zmq.Again):
            self._socket.send_multipart([self.kind.encode(), codec.encode(message)], zmq.NOBLOCK)

    def finish(self) -> None:
        """Close the line."""
        self._close(linger=100)

    def _close(self, linger: int = 0) -> None:
        if self._socket is not None:
            self._socket.close(linger)
            self._socket = None
        if self._context is not None:
            self._context.term()
            self._context = None
