"""What is to be run and how it stands: the flowgraph's blocks and edges, what each worker is told of them, the status."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from isacblocks.stream import control
from isacblocks.stream.block import Block
from isacblocks.stream.keeper import Restart
from isacblocks.stream.link import EdgeCount, EdgeSpec

PLACEMENTS = ("threads", "processes", "tcp")


class Status(msgspec.Struct, frozen=True):
    """A flowgraph at one moment.

    phase: starting, running, restarting, finished, stopped or failed; seconds: since the first block began to run; blocks:
    by name, in the order of the drawing.
    """

    phase: str
    seconds: float
    blocks: dict[str, control.BlockStatus]

    @property
    def edges(self) -> list[EdgeCount]:
        """The books of every edge."""
        return [edge for block in self.blocks.values() for edge in block.edges]


class Plan(msgspec.Struct, frozen=True):
    """What to run: edges as (sender, port, receiver, port, EdgeSpec)."""

    name: str
    blocks: dict[str, Block]
    edges: list[tuple[str, str, str, str, EdgeSpec]]
    placement: str
    port: int  # the first one for tcp, 0 for any
    limit: int | None
    batches: dict[str, int]  # items per message of the sources that do not say
    checkpoint: Path | None
    checkpoint_every: int
    restart: Restart | None = None


def worker_specs(plan: Plan, endpoint: Callable[[str], str], resume: int | None) -> dict[str, control.WorkerSpec]:
    """What every worker of a run is told, by block. endpoint: where something is bound; resume: the message of the cut to go
    on from.
    """
    epoch = secrets.randbits(63)
    specs = {}
    port = plan.port
    for name, block in plan.blocks.items():
        inlets, outlets = [], []
        for sender, out, receiver, into, edge in plan.edges:
            if receiver == name:
                layout = plan.blocks[sender].ports[out].layout
                inlets.append(control.InletSpec(into, edge, layout))
        for out in block.outputs():
            edges = [e for s, o, _, _, e in plan.edges if (s, o) == (name, out)]
            if edges:
                bind = endpoint(f"{name}.{out}")
                if plan.placement == "tcp":
                    bind = f"tcp://127.0.0.1:{port or '*'}"
                    port += bool(port)
                outlets.append(control.OutletSpec(out, bind, block.ports[out].layout, edges))
        specs[name] = control.WorkerSpec(
            name=name,
            control=endpoint("control"),
            inlets=inlets,
            outlets=outlets,
            epoch=epoch,
            limit=plan.limit,
            batch=plan.batches.get(name, 1),
            checkpoint=None if plan.checkpoint is None or block.onlooker else str(plan.checkpoint),
            checkpoint_every=plan.checkpoint_every,
            resume=resume,
            restart=plan.restart is not None,
        )
    return specs
