"""A flowgraph: which port leads to which; and its run, in threads, in processes or over tcp, without a change in any block.

fg = Flowgraph("online calibration")
fg.connect(source, channel, image, detector, calibrator)
fg.feedback(calibrator.kappa, image.kappa, lag=2)
fg.run(items=4096, placement="processes")
"""

from __future__ import annotations

import importlib
import math
import re
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from types import TracebackType

from isacblocks.stream import checks
from isacblocks.stream.block import Block, Source
from isacblocks.stream.checks import Edge
from isacblocks.stream.errors import PlacementError, WiringError
from isacblocks.stream.keeper import Restart
from isacblocks.stream.link import POLICIES, EdgeSpec
from isacblocks.stream.offer import mismatch
from isacblocks.stream.plan import PLACEMENTS, Plan, Status
from isacblocks.stream.ports import In, Out, Port
from isacblocks.stream.runner import Runner
from isacblocks.stream.spec import ANY

_BUDGET = 16 << 20  # bytes on their way on an edge
_NO_BUDGET = 1 << 62  # of a feedback with a lag: fewer messages than the lag would let its loop wait for ever
_VIEW_INTERVAL = 0.1  # seconds between calls of a view
# Of the largest record of a stream as much goes into a message as keeps what it costs to send small beside the work, but not
# more than caches hold: docs/performance.md. The number of items is bounded too, since feedback counts its lag in messages.
_MESSAGE_BYTES = 9_000_000
_MESSAGE_ITEMS = 256


_VIEW = ("isacblocks.view.shown", "shown")  # imported when it is asked for: streams know nothing of views


def _view_of(flowgraph: Flowgraph) -> AbstractContextManager[None]:
    """What serves the live view of a flowgraph while it is entered."""
    module, name = _VIEW
    view: AbstractContextManager[None] = getattr(importlib.import_module(module), name)(flowgraph)
    return view


class Flowgraph:
    """Blocks and the edges between them. ``with`` it, and it is stopped at the end whatever happens.

    name: for people, and for files that scripts leave.
    """

    def __init__(self, name: str = "flowgraph") -> None:
        self.name = name
        self.blocks: dict[str, Block] = {}
        self._edges: list[Edge] = []
        self._runner: Runner | None = None

    # Drawing

    def connect(
        self,
        *chain: Block | Port,
        policy: str = "block",
        depth: int = 16,
        budget: int = _BUDGET,
        interval: float = 0.0,
    ) -> None:
        """Connect blocks or ports, each to the next one; of a block, its first output and its first input are meant.

        policy: "block" (lossless: the sender waits), "drop-oldest" or "latest" (the receiver may miss items, which are
        counted); depth: messages on their way, or in the queue of a lossy edge; budget: bytes of the same, and of both
        together for a lossy edge; one message may always be on its way; interval: seconds between two messages at least, for
        a receiver of the "latest" that wants to look now and then only.
        Raises WiringError naming both ports where they do not fit.
        """
        if len(chain) < 2:
            raise WiringError("connect() takes at least two blocks or ports")
        for left, right in pairwise(chain):
            self._link(self._port(left, Out), self._port(right, In), policy, depth, budget, False, None, interval)

    def feedback(self, sender: Port, receiver: Port, lag: int | None = 1, depth: int | None = None) -> None:
        """Lead an output, `sender`, back to an optional input, `receiver`, of a block further up.

        lag: what the sender makes of message n is in force from message n + lag on, wherever the blocks run, so that a
        seeded run gives the same bits everywhere; None: the latest there is, for live use. depth: messages on their way,
        more than the lag, lag + 2 by default; so many are let through however large they are.
        Raises WiringError where the two do not fit, or such a feedback cannot be.
        """
        if lag is not None and (isinstance(lag, bool) or not isinstance(lag, int) or lag < 1):
            raise WiringError(f"feedback: lag must be a number of messages of at least 1, or None, got {lag!r}")
        into = self._port(receiver, In)
        if not (isinstance(into.spec, In) and into.spec.optional):
            raise WiringError(f"{into}: a feedback may only lead to an optional input: its first messages have none")
        if lag is not None and depth is not None and depth <= lag:
            raise WiringError(
                f"{sender} to {into}: a feedback with lag {lag} has {lag} messages on their way, and with depth {depth} its "
                "loop would wait for ever; expected a depth of more than the lag, or None"
            )
        policy, budget = ("latest", _BUDGET) if lag is None else ("block", _NO_BUDGET)
        self._link(self._port(sender, Out), into, policy, depth or (lag or 1) + 2, budget, True, lag)

    def _port(self, end: Block | Port, kind: type[In] | type[Out]) -> Port:
        if isinstance(end, Block):
            names = list(end.inputs() if kind is In else end.outputs())
            if not names:
                raise WiringError(f"{end.label} has no {'input' if kind is In else 'output'} port")
            end = end.ports[names[0]]
        if not isinstance(end, Port):
            raise WiringError(f"expected a block or one of its ports, got {end!r}")
        if not isinstance(end.spec, kind):
            raise WiringError(f"{end}: expected an {'input' if kind is In else 'output'} port")
        self._add(end.block)
        return end

    def _add(self, block: Block) -> None:
        if any(block is known for known in self.blocks.values()):
            return
        base = block.name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(block).__name__).lower()
        name, number = base, 2
        while name in self.blocks:
            if block.name:
                raise WiringError(f"two blocks are named {block.name!r}")
            name, number = f"{base}_{number}", number + 1
        block.name = name
        self.blocks[name] = block

    def _link(
        self,
        sender: Port,
        receiver: Port,
        policy: str,
        depth: int,
        budget: int,
        feedback: bool,
        lag: int | None,
        interval: float = 0.0,
    ) -> None:
        if policy not in POLICIES:
            raise WiringError(f"{sender} to {receiver}: policy must be one of {', '.join(POLICIES)}, got {policy!r}")
        if depth < 1 or budget < 1:
            raise WiringError(f"{sender} to {receiver}: depth and budget must be at least 1, got {depth} and {budget}")
        if not 0 <= interval < math.inf or (interval and policy != "latest"):
            raise WiringError(
                f"{sender} to {receiver}: interval must be a number of seconds, and is for policy 'latest' alone; got "
                f"{interval!r} with {policy!r}"
            )
        if any(edge.receiver is receiver for edge in self._edges):
            raise WiringError(f"{receiver} is connected already; an input takes one stream")
        if receiver.spec.record is not ANY:
            reason = mismatch(sender.layout, receiver.layout)
            if reason:
                raise WiringError(f"cannot connect {sender} to {receiver}: {reason}")
        receiver.adopt(sender.layout)
        token = secrets.token_bytes(16)
        looks_on = receiver.block.onlooker
        if looks_on and policy == "block":
            raise WiringError(f"{sender} to {receiver}: who only looks on holds nobody up; take 'latest' or 'drop-oldest'")
        edge = EdgeSpec(f"{sender}", f"{receiver}", token, policy, depth, budget, feedback, lag, interval, looks_on)
        self._edges.append(Edge(sender, receiver, edge))

    def remove(self, block: Block) -> None:
        """Take a block and its edges out again. Raises WiringError while the flowgraph runs."""
        if self._runner is not None and not self._runner.wait(0):
            raise WiringError(f"{self.name} is running; stop it first")
        self._edges = [edge for edge in self._edges if block not in (edge.sender.block, edge.receiver.block)]
        self.blocks = {name: known for name, known in self.blocks.items() if known is not block}

    def edges(self) -> list[EdgeSpec]:
        """The edges in the order in which they were drawn."""
        return [edge.spec for edge in self._edges]

    def check(self) -> None:
        """See whether what is drawn can run. Raises WiringError saying what is missing."""
        checks.check(self.name, self.blocks, self._edges)

    def suited_batch(self, source: Source) -> int:
        """The most items per message of a source whose `batch` is 0: a power of two, by the stream's widest record."""
        reached = checks.reach(self._edges, source, forward=True)
        widest = max((e.sender.layout.item_bytes for e in self._edges if e.sender.block.label in reached), default=1)
        fitting = max(1, _MESSAGE_BYTES // max(1, widest))
        return int(min(_MESSAGE_ITEMS, 1 << (fitting.bit_length() - 1)))

    # Running

    def start(
        self,
        items: int | None = None,
        *,
        placement: str = "threads",
        port: int = 0,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 16,
        restart: Restart | None = None,
    ) -> None:
        """Start and return at once; see :meth:`run` for the arguments. Raises WiringError, PlacementError as it does."""
        if self._runner is not None and not self._runner.wait(0):
            raise WiringError(f"{self.name} is running already")
        if placement not in PLACEMENTS:
            raise WiringError(f"placement: expected one of {', '.join(PLACEMENTS)}, got {placement!r}")
        if items is not None and items < 1:
            raise WiringError(f"items: expected at least 1, got {items!r}")
        if restart is not None and placement == "threads":
            raise PlacementError(
                "restart: blocks in threads die with the program; take placement='processes' or 'tcp', or no restart"
            )
        self.check()
        edges = [(e.sender.block.label, e.sender.name, e.receiver.block.label, e.receiver.name, e.spec) for e in self._edges]
        where = None if checkpoint is None else Path(checkpoint)
        every = checkpoint_every if where is not None else 0
        batches = {name: self.suited_batch(block) for name, block in self.blocks.items() if isinstance(block, Source)}
        blocks = dict(self.blocks)
        self._runner = Runner(Plan(self.name, blocks, edges, placement, port, items, batches, where, every, restart))
        self._runner.start()

    def run(
        self,
        items: int | None = None,
        *,
        placement: str = "threads",
        port: int = 0,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 16,
        restart: Restart | None = None,
        view: Callable[[Status], None] | bool | None = None,
    ) -> Status:
        """Run to the end of the stream and return the final status; afterwards the blocks hold their final state.

        items: how many every source makes, None for as many as there are; placement: "threads" (inproc), "processes" (ipc)
        or "tcp" (processes, tcp on loopback), all with the same result; port: the first of the TCP ports, 0 for free ones
        that the system chooses; checkpoint: a directory for checkpoints every
        `checkpoint_every` messages, from which a run that was cut off goes on; restart: what happens when a block's process
        dies, by default the end of the flowgraph; with a :class:`Restart` another process takes its place and goes on where
        it was, so that nothing is lost or doubled (not in threads); view: called with the status ten times a
        second; True: a live view in the browser is served while it runs, its address on the standard error output.
        Raises WiringError, PlacementError for what cannot be started, BlockError where a block raises or its process dies.
        On Ctrl-C everything is ended and KeyboardInterrupt goes on.
        """
        every = checkpoint_every
        if view is True:
            where = {"placement": placement, "port": port, "checkpoint": checkpoint, "restart": restart}
            with _view_of(self):
                return self.run(items, checkpoint_every=every, **where)  # type: ignore[arg-type]
        view = view or None
        self.start(items, placement=placement, port=port, checkpoint=checkpoint, checkpoint_every=every, restart=restart)
        try:
            while not self.wait(_VIEW_INTERVAL):
                if view is not None:
                    view(self.status)
        finally:
            self.stop()
        status = self.status
        if view is not None:
            view(status)
        self._raise()
        return status

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flowgraph has ended, or `timeout` seconds; True where it has."""
        return True if self._runner is None else self._runner.wait(timeout)

    def stop(self) -> None:
        """End the flowgraph, whatever it is doing, within a second. Does nothing where it has ended."""
        if self._runner is not None:
            self._runner.stop()

    @property
    def status(self) -> Status:
        """How every block and every edge is getting on."""
        if self._runner is None:
            return Status("not started", 0.0, {})
        return self._runner.status

    def _raise(self) -> None:
        if self._runner is not None and self._runner.error is not None:
            raise self._runner.error

    def __enter__(self) -> Flowgraph:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        if error is None:
            self._raise()
