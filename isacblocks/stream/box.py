"""Between the two ends of an edge in one process: what is said and sent lies in a box, the sockets only wake who sleeps.

Every call of a socket lets go of the interpreter's lock, and on a busy flowgraph another thread takes it: a handful of such
calls per message cost more than all the rest. So an end looks into the box first and goes to sleep, on its bell or else on
its socket, where it finds nothing. Whoever puts something into the box of a sleeper rings, or sends an empty message. The
order in which a sleeper first says that it sleeps and then looks once more, and the other end first puts and then asks,
leaves no message unheard.
"""

from __future__ import annotations

from collections import deque
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import zmq

from isacblocks.stream.bell import Bell
from isacblocks.stream.parcel import Parcel

WAKE = b""  # the message that wakes a sleeper; it says nothing

# Kind, next serial, items committed, items dropped, seconds between two messages that are wanted
Word: TypeAlias = tuple[int, int, int, dict[str, int], float]


class Box:
    """One edge's. down: to the receiver, parcels and the parts of answers; up: to the sender."""

    __slots__ = ("__weakref__", "down", "receiver_bell", "receiver_sleeps", "sender_bell", "sender_sleeps", "up")

    def __init__(self) -> None:
        self.down: deque[Parcel | list[Any]] = deque()
        self.up: deque[Word] = deque()
        self.receiver_sleeps = self.sender_sleeps = True
        self.receiver_bell: Bell | None = None  # without one it sleeps on its socket
        self.sender_bell: Bell | None = None


# By context, endpoint and token; a box lives as long as its outlet
_boxes: WeakValueDictionary[tuple[int, str, bytes], Box] = WeakValueDictionary()


def put_up(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, token: bytes) -> Box | None:
    """A box for an edge whose receiver is in the same process, None for others."""
    if not endpoint.startswith("inproc:"):
        return None
    box = _boxes[context.underlying, endpoint, token] = Box()
    return box


def find(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, token: bytes) -> Box | None:
    """The box of an edge, None where its sender is in another process."""
    return _boxes.get((context.underlying, endpoint, token))
