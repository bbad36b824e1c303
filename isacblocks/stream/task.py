"""A block's work, message by message: take what belongs together, process it, send what it led to, count, save.

What is done for every message is written out, without helpers where they would cost: in threads all blocks of a flowgraph
share one interpreter, and what one of them spends here the others wait for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter, thread_time, time
from typing import Any

from isacblocks.stream import checkpoint
from isacblocks.stream.block import Block, Source
from isacblocks.stream.control import WorkerSpec
from isacblocks.stream.errors import WiringError
from isacblocks.stream.inlet import Inlet
from isacblocks.stream.junction import Joint, Junction
from isacblocks.stream.outlet import Outlet
from isacblocks.stream.pace import Pace
from isacblocks.stream.spec import Items

_FIRST_BATCH = 16  # items per message where a stream begins
_SHARE = 8  # of what has been sent, a message is at most one part in so many


def grown_batch(position: int, most: int) -> int:
    """Items in the message that begins with item `position` of a stream whose messages have at most `most`.

    What comes back by feedback comes a few messages late. A stream begins with short messages, so that what is learned from
    its first items is in force soon, and a message grows with what has been sent before it.
    """
    return min(most, max(_FIRST_BATCH, 1 << max(position // _SHARE, 1).bit_length() - 1))


class Task:
    """The work of one block between its inlets and outlets, both by port. saved: called when a cut has been written."""

    def __init__(
        self,
        block: Block,
        spec: WorkerSpec,
        inlets: dict[str, Inlet],
        outlets: dict[str, Outlet],
        saved: Callable[[int], None],
    ) -> None:
        self.block = block
        self.spec = spec
        self.inlets = inlets
        self.outlets = outlets
        self.junction = Junction(inlets)
        self.where: str | Joint = "while running"  # in words, or what is being processed
        self.ended = False  # end of stream has been sent on
        self.items_in = self.items_out = self.messages = 0
        self.work = self.work_cpu = 0.0  # seconds inside the block
        self._saved = saved
        self._message = 0  # number of the next message: the clock
        self._position = 0  # source: number of the next item
        self._pace = Pace()  # of a source
        self._every = spec.checkpoint_every if spec.checkpoint is not None else 0
        ports = block.outputs()
        self._out_ports = frozenset(ports)
        self._outlets = [(name, outlet, ports[name].aligned) for name, outlet in outlets.items()]
        self._lossless = [peer for outlet in outlets.values() for peer in outlet.lossless()]
        self._unconnected = {name: None for name in block.inputs() if name not in inlets}

    def place(self) -> str:
        """Where the block is, for messages; put into words only when it is asked for."""
        if isinstance(self.where, Joint):
            first, count = self.where.heads[0].first, self.where.heads[0].count
            return f"at items {first} to {first + count - 1} (message {self.where.number})"
        if self.where == "in produce()":
            return f"at item {self._position} (message {self._message})"
        return self.where

    def step(self) -> bool:
        """At most one message; False where there was nothing to do."""
        if self.ended:
            return self.junction.drain()
        for peer in self._lossless:
            if not peer.room():
                return False
        if isinstance(self.block, Source):
            return self._produce(self.block)
        return self._process()

    def _produce(self, block: Source) -> bool:
        count = block.batch or grown_batch(self._position, self.spec.batch)
        if self.spec.limit is not None:
            count = min(count, self.spec.limit - self._position)
        if count <= 0:
            return self._end()
        if block.paused or not self._pace.allows(block.rate, perf_counter()):
            return False
        self.where = "in produce()"
        began, cpu = perf_counter(), thread_time()
        result = block.produce(self._position, count)
        self.work_cpu += thread_time() - cpu
        self.work += perf_counter() - began
        if result is None:
            return self._end()
        outputs = self._by_port(result)
        made = max((items.count for items in outputs.values()), default=0)
        if made == 0:
            return False  # nothing there yet
        self._send(outputs, self._position, self._message, time(), None)
        self._position += made
        self._pace.spend(made)
        self._advance(self._message + 1)
        return True

    def _process(self) -> bool:
        joint = self.junction.look()
        if joint is None:
            return False
        if joint.final:
            return self._end()
        number, heads = joint.number, joint.heads
        if self._every and number > self._message:
            self._before(number)
        self._message = number
        head = heads[0]
        outputs: dict[str, Items] = {}
        if not joint.empty:
            self.where = joint
            began, cpu = perf_counter(), thread_time()
            result = self.block.process(**self._unconnected, **joint.inputs)
            self.work_cpu += thread_time() - cpu
            self.work += perf_counter() - began
            if result is not None:
                outputs = self._by_port(result)
        if self._outlets:
            when = head.sent if len(heads) == 1 else min(one.sent for one in heads)
            self._send(outputs, head.first, head.message, when, head.count, joint.gap)
        self.junction.commit(joint)
        if not joint.gap:
            self.items_in += head.count
        self.where = "while running"
        self._advance(number + 1)
        return True

    def _by_port(self, result: Any) -> dict[str, Items]:
        if isinstance(result, Items) and result.port in self._out_ports:
            return {result.port: result}
        outputs = {}
        for items in result if isinstance(result, tuple) else (result,):
            if not isinstance(items, Items) or items.port not in self._out_ports:
                raise WiringError(
                    f"{self.spec.name} returned {items!r}: expected what one of its output ports' items() made"
                )
            outputs[items.port] = items
        return outputs

    def _send(
        self, outputs: dict[str, Items], first: int, message: int, when: float, came: int | None, gap: bool = False
    ) -> None:
        """One message on every connected port; its numbers come from what went in, or from the port's own count.

        came: items that came in; None for a source; gap: what came had no partner.
        """
        for name, outlet, aligned in self._outlets:
            items = outputs.get(name)
            if items is None:
                items = Items(outlet.layout, outlet.layout.nothing, 0)
            count = items.count
            if aligned:
                if came is not None and count and count != came:
                    raise WiringError(
                        f"{self.spec.name}.{name} made {count} items of {came}: an aligned port makes one "
                        "for each; declare it with aligned=False"
                    )
                items.first = first
            else:
                items.first = outlet.produced
            items.message = message
            items.sent = when
            items.absent = gap
            self.items_out += count
            outlet.send(items)

    def _end(self) -> bool:
        """The stream has ended: finish the block and send that on."""
        self.where = "in finish()"
        self.block.finish()
        for outlet in self.outlets.values():
            final = Items(outlet.layout, outlet.layout.nothing, 0, message=self._message, sent=time(), final=True)
            outlet.send(final)
        self.ended = True
        self.where = "after its end"
        return True

    # Checkpoints

    def _advance(self, message: int) -> None:
        self._message = message
        self.messages += 1
        if self._every and message % self._every == 0:
            self._save(message - 1)

    def _before(self, number: int) -> None:
        """Messages were skipped by a lossy link: a cut that falls between them is made now."""
        if number // self._every > self._message // self._every:
            self._save(number // self._every * self._every - 1)

    def _save(self, message: int) -> None:
        assert self.spec.checkpoint is not None
        self.where = f"while saving the checkpoint after message {message}"
        values = {
            "state": self.block.save(),
            "position": self._position,
            "junction": self.junction.save(),
            "inlets": {name: inlet.save() for name, inlet in self.inlets.items()},
            "outlets": {name: saved for name, outlet in self.outlets.items() if (saved := outlet.save())},
        }
        checkpoint.save_block(Path(self.spec.checkpoint), self.spec.name, message, values)
        self._saved(message)

    # Snapshots: what a block that is killed goes on from

    def save(self) -> dict[str, Any]:
        """Where the task is between two messages, beside the ends of its links."""
        return {
            "state": self.block.save(),
            "junction": self.junction.save(),
            "position": self._position,
            "message": self._message,
            "ended": self.ended,
            "counts": [self.items_in, self.items_out, self.messages],
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from :meth:`save`; the block has been started."""
        self._position, self._message, self.ended = saved["position"], saved["message"], saved["ended"]
        self.items_in, self.items_out, self.messages = saved["counts"]
        self.junction.restore(saved["junction"])
        if self.ended:  # finish() has been: files are closed, and nothing but what the block knows is wanted of it
            Block.restore(self.block, saved["state"])
        else:
            self.block.restore(saved["state"])

    def resume(self) -> None:
        """Continue from the cut that the flowgraph is to go on from, where there is one."""
        if self.spec.resume is None or self.spec.checkpoint is None:
            return
        values = checkpoint.load_block(Path(self.spec.checkpoint), self.spec.name, self.spec.resume)
        self._message = self.spec.resume + 1
        self._position = values["position"]
        self.junction.restore(values["junction"])
        self.block.restore(values["state"])
        for name, inlet in self.inlets.items():
            inlet.restore(values["inlets"][name])
        for name, outlet in self.outlets.items():
            outlet.restore(values["outlets"].get(name, {}))
