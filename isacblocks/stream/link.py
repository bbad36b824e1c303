"""Links: an Outlet sends what an output port makes, an Inlet receives what an input port takes, by credit.

One ROUTER socket per output port, one DEALER socket per input port. The receiver opens with HELLO (which message it
wants next), the sender answers OPEN (its descriptor) and sends; the receiver acknowledges what has been processed, not
merely received, and the sender keeps every message until then. So the sender knows, at every moment, for every edge

    produced = committed + in flight + dropped

and a receiver that comes back asks for what it has not committed. Policies, per edge:

- ``block``: at most `depth` messages or `budget` bytes are on their way, then the sender's block waits. Nothing is lost.
- ``drop-oldest``: while the receiver is behind, a queue of `depth` messages; the oldest one makes place for a new one.
- ``latest``: while the receiver is behind, only the newest message is kept. With an ``interval`` the receiver is
  sent one message in that time at most, the newest, so that one that only looks on costs nobody more than it asks for.

Small fields travel behind the header. Large ones lie in shared memory between processes, are buffers of their own over tcp,
and inside a process messages are handed over as they are (:mod:`isacblocks.stream.memory`, :mod:`isacblocks.stream.box`).

A peer is known by a token that only the two ends have; whatever comes from elsewhere is counted and ignored.
"""

from __future__ import annotations

import msgspec
import zmq

from isacblocks.stream.errors import WireError

POLICIES = ("block", "drop-oldest", "latest")
LARGEST_PART = 1 << 31  # bytes; libzmq closes a connection that claims more
_WAITING_REQUESTS = 64  # of one receiver
LARGEST_REQUEST = 1 << 16  # bytes, of a receiver's words
RECEIVERS_REASONS = frozenset(("unmatched", "bad"))  # for which a receiver drops items; all others are the sender's


def has_arrived(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message can be received at once."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def gather(socket: zmq.Socket[bytes], most: int) -> list[zmq.Frame]:
    """A message's parts, received without waiting. Raises zmq.Again where none has come, WireError for more than `most`.

    What is beyond is let go of as it comes, so that a message without end takes no memory here.
    """
    parts = [socket.recv(zmq.NOBLOCK, copy=False)]
    more, beyond = parts[0].more, 0
    while more:
        part = socket.recv(zmq.NOBLOCK, copy=False)
        more = part.more
        if len(parts) < most:
            parts.append(part)
        else:
            beyond += 1
    if beyond:
        raise WireError("parts", f"expected at most {most} parts, got {most + beyond}")
    return parts


def make_socket(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> zmq.Socket[bytes]:
    """A socket for one end of a link. What may be on its way is bounded by credit, not by the socket.

    A ROUTER is a sender's: only requests come to it, and who claims a larger part is cut off before memory is taken for it.
    Who sends them faster than they are looked at has to wait, in its own memory.
    """
    socket = context.socket(kind)
    socket.linger = 0
    socket.sndhwm = 0
    socket.rcvhwm = _WAITING_REQUESTS if kind == zmq.ROUTER else 0
    socket.maxmsgsize = LARGEST_REQUEST if kind == zmq.ROUTER else LARGEST_PART
    return socket


class EdgeSpec(msgspec.Struct, frozen=True):
    """One edge as both of its ends need to know it. lag: of a feedback; None with `feedback` means the latest."""

    sender: str  # "block.port"
    receiver: str
    token: bytes
    policy: str = "block"
    depth: int = 16  # messages
    budget: int = 16 << 20  # bytes; one message may always be on its way
    feedback: bool = False
    lag: int | None = None
    interval: float = 0.0  # seconds between two messages, at least; of "latest"
    onlooker: bool = False  # of the receiver: no checkpoint knows the edge


class EdgeCount(msgspec.Struct):
    """The books of one edge, in items: produced = committed + in_flight + sum of dropped, at every moment.

    sender, receiver: both ends, "block.port"; dropped: by reason; messages: how many were made.
    """

    sender: str
    receiver: str
    produced: int = 0
    committed: int = 0
    in_flight: int = 0
    dropped: dict[str, int] = {}
    messages: int = 0

    @property
    def lost(self) -> int:
        """Items dropped for any reason."""
        return sum(self.dropped.values())

    @property
    def balanced(self) -> bool:
        """Whether the law holds, with numbers that can be counts."""
        counts = self.committed, self.in_flight, *self.dropped.values()
        return self.produced == sum(counts) and min(counts) >= 0
