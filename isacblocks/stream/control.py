"""What the runner and the workers of a flowgraph say to each other, beside the streams."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from isacblocks.stream.decoder import Decoder
from isacblocks.stream.errors import WireError
from isacblocks.stream.link import EdgeCount, EdgeSpec
from isacblocks.stream.spec import Layout

# What one worker is to do


class InletSpec(msgspec.Struct, frozen=True):
    """An input port and the edge that leads to it."""

    port: str
    edge: EdgeSpec
    layout: Layout


class OutletSpec(msgspec.Struct, frozen=True):
    """An output port, where it is to be bound, and the edges that leave it."""

    port: str
    bind: str
    layout: Layout
    edges: list[EdgeSpec]


class WorkerSpec(msgspec.Struct, frozen=True):
    """Everything one worker has to know about its place in the flowgraph."""

    name: str
    control: str  # endpoint of the runner's control socket
    inlets: list[InletSpec]
    outlets: list[OutletSpec]
    epoch: int
    limit: int | None = None  # items, for sources
    batch: int = 1  # items per message of a source that does not say
    checkpoint: str | None = None  # directory
    checkpoint_every: int = 0  # messages
    resume: int | None = None  # message number of the cut to resume from
    restart: bool = False  # keep snapshots, so that another process can go on when this one is killed


# Worker to runner


class Bound(msgspec.Struct, frozen=True, tag=True):
    """The output ports are bound; their endpoints by name."""

    endpoints: dict[str, str]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """start() is done."""


class BlockStatus(msgspec.Struct, frozen=True, tag=True):
    """How a block is getting on; totals since the start."""

    phase: str = "starting"  # running, finished, stopped, failed; and what only the runner sees: restarting, silent, frozen
    process: int = 0  # its id
    items_in: int = 0
    items_out: int = 0
    messages: int = 0
    work_seconds: float = 0.0  # inside process()
    wall_seconds: float = 0.0
    work_cpu_seconds: float = 0.0  # the block's thread inside process()
    cpu_seconds: float = 0.0  # the block's thread altogether: the rest is the runtime's own cost
    restarts: int = 0  # how often its process died and was replaced
    bad_messages: int = 0  # that came to input ports and could not be taken
    strangers: int = 0  # requests to output ports that could not be taken
    refused: dict[str, int] = {}  # both, by reason, and what came twice or too early
    readings: dict[str, float] = {}
    edges: list[EdgeCount] = []

    @property
    def overhead(self) -> float:
        """What the runtime costs in the block's thread, as a share of the block's own work."""
        own = self.cpu_seconds - self.work_cpu_seconds
        return own / self.work_cpu_seconds if self.work_cpu_seconds > 0 else 0.0


class Saved(msgspec.Struct, frozen=True, tag=True):
    """The block's part of the cut after `message` is on disk."""

    message: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The block raised."""

    where: str
    cause: str
    trace: str


class Finished(msgspec.Struct, frozen=True, tag=True):
    """Everything has been processed and acknowledged. state: the block's final state, encoded."""

    state: bytes
    status: BlockStatus


# Runner to worker


class Connect(msgspec.Struct, frozen=True, tag=True):
    """Where the senders of the input ports are, by port."""

    endpoints: dict[str, str]


class Move(msgspec.Struct, frozen=True, tag=True):
    """The senders of these input ports have a new process, and are here now."""

    endpoints: dict[str, str]


class Go(msgspec.Struct, frozen=True, tag=True):
    """All blocks are ready."""


class Change(msgspec.Struct, frozen=True, tag=True):
    """Set a setting between two messages. value: encoded."""

    setting: str
    value: bytes


class Stop(msgspec.Struct, frozen=True, tag=True):
    """End now, whatever is on its way."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """As Stop, to a worker whose last report has been taken: nobody needs its process any more."""


Report: TypeAlias = Bound | Ready | BlockStatus | Saved | Failed | Finished
Order: TypeAlias = Connect | Move | Go | Change | Stop | Leave

encode = msgspec.msgpack.Encoder().encode
_LARGEST = 1 << 31  # bytes: a block's final state is in its last report


def _refuse(text: str) -> WireError:
    return WireError("control", text)


decode_report: Decoder[Report] = Decoder(msgspec.msgpack.Decoder(Report).decode, "a report", _LARGEST, _refuse)
decode_order: Decoder[Order] = Decoder(msgspec.msgpack.Decoder(Order).decode, "an order", _LARGEST, _refuse)
