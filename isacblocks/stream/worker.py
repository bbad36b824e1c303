"""A worker runs one block: receive, join, process, send, acknowledge, checkpoint. The same in a thread and in a process."""

from __future__ import annotations

import contextlib
import logging
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from isacblocks.stream import checkpoint, codec, control
from isacblocks.stream.block import Block, Source
from isacblocks.stream.ears import Ears
from isacblocks.stream.errors import WiringError
from isacblocks.stream.inlet import Inlet
from isacblocks.stream.junction import Joint, Junction
from isacblocks.stream.link import has_arrived
from isacblocks.stream.outlet import Outlet
from isacblocks.stream.spec import Items

STATUS_INTERVAL = 0.1  # seconds between reports
_POLL = 50  # ms: how long an idle worker sleeps at most
_GLANCE = 0.002  # seconds: how often a worker that has enough to do looks at all of its sockets
_LINGER = 5  # ms: how long an acknowledgement that the sender does not wait for may wait for the next one


class _StopError(Exception):
    """The runner wants an end."""


class Worker:
    """One block at work. `context` is shared by the threads of a process, so that inproc links find each other."""

    def __init__(self, block: Block, spec: control.WorkerSpec, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.block = block
        self.spec = spec
        self.context = context
        self.inlets: dict[str, Inlet] = {}
        self.outlets: dict[str, Outlet] = {}
        self.junction = Junction({})
        self._log = logging.getLogger(f"isacblocks.{spec.name}")
        self._control = context.socket(zmq.DEALER)
        self._control.linger = 200
        self._control.routing_id = spec.name.encode()
        self._control.connect(spec.control)
        self._ears = Ears(self._control, self._orders)
        self._phase = "starting"
        self._connect: dict[str, str] | None = None
        self._go = False
        self._where: str | Joint = "in start()"  # in words, or what is being processed
        self._message = 0  # number of the next message: the clock
        self._position = 0  # source: number of the next item
        self._items_in = self._items_out = self._messages = 0
        self._work = self._work_cpu = 0.0
        self._began = time.perf_counter()
        self._cpu_began = 0.0
        self._reported = 0.0
        self._in_ends: list[Inlet] = []
        self._out_ends: list[Outlet] = []
        self._polled = 0.0
        self._in_ports = list(block.inputs())
        self._out_ports = block.outputs()
        self._ended = False  # end of stream has been sent on
        self._finished = False

    # Life

    def run(self) -> bool:
        """Work until told to stop or failed; True where the block came to its end."""
        try:
            self._open()
            self._where = "while running"
            busy = True
            while True:
                busy = self._round(busy)
        except _StopError:
            self._stopped()
            return self._finished
        except Exception as error:
            self._phase = "failed"
            self._report(control.Failed(self._place(), f"{type(error).__name__}: {error}", traceback.format_exc()))
            self._await_stop()
            return False
        finally:
            self._close()

    def _place(self) -> str:
        """Where the block is, for messages; put into words only when it is asked for."""
        if isinstance(self._where, Joint):
            first, count = self._where.heads[0].first, self._where.heads[0].count
            return f"at items {first} to {first + count - 1} (message {self._where.number})"
        if self._where == "in produce()":
            return f"at item {self._position} (message {self._message})"
        return self._where

    def _open(self) -> None:
        for out in self.spec.outlets:
            outlet = Outlet(self.context, out.bind, out.layout, out.edges, self.spec.epoch)
            self.outlets[out.port] = outlet
            self.block.ports[out.port].connected = True
            self.block.ports[out.port].pool = outlet.pool
            self._ears.add(outlet)
        self._report(control.Bound({port: outlet.endpoint for port, outlet in self.outlets.items()}))
        while self._connect is None:
            self._await_orders()
        for into in self.spec.inlets:
            port = self.block.ports[into.port]
            port.adopt(into.layout)
            port.connected = True
            inlet = Inlet(self.context, self._connect[into.port], into.layout, into.edge, self.spec.epoch)
            self.inlets[into.port] = inlet
            self._ears.add(inlet)
        self._in_ends, self._out_ends = list(self.inlets.values()), list(self.outlets.values())
        self.junction = Junction(self.inlets)
        self.block.prepare()
        self.block.start()
        if self.spec.resume is not None and self.spec.checkpoint is not None:
            self._resume(checkpoint.load_block(Path(self.spec.checkpoint), self.spec.name, self.spec.resume))
        self._report(control.Ready())
        while not self._go:
            self._await_orders()
        self._phase = "running"
        self._began, self._cpu_began = time.perf_counter(), time.thread_time()

    def _stopped(self) -> None:
        """Told to stop: leave files whole and tell what the block has learned so far."""
        if self._phase == "starting" or self._finished:
            return
        try:
            if not self._ended:
                self.block.finish()
            self._phase = "stopped"
            self._report(control.Finished(codec.encode(self.block.save()), self._status()))
        except Exception:
            self._log.exception("finish() failed while the flowgraph was being stopped")

    def _close(self) -> None:
        for inlet in self.inlets.values():
            inlet.close()
        for name, outlet in self.outlets.items():
            self.block.ports[name].pool = None
            outlet.close()
        self._control.close(200)

    def _await_stop(self) -> None:
        """After a failure: let the runner have the report before the sockets go, and the block its files whole."""
        if self._where not in ("in start()", "in finish()"):
            with contextlib.suppress(Exception):
                self.block.finish()
        try:
            while True:
                self._await_orders()
        except _StopError:
            pass

    # Talking to the runner

    def _report(self, report: control.Report) -> None:
        self._control.send(control.encode(report))

    def _await_orders(self) -> None:
        self._control.poll()
        self._orders()

    def _orders(self) -> None:
        while has_arrived(self._control):
            order = control.decode_order(self._control.recv(zmq.NOBLOCK))
            if isinstance(order, control.Stop):
                raise _StopError
            if isinstance(order, control.Connect):
                self._connect = order.endpoints
            elif isinstance(order, control.Go):
                self._go = True
            else:
                self._change(order)

    def _change(self, change: control.Change) -> None:
        setting = self.block.settings()[change.setting]
        try:
            self.block.setting_values[change.setting] = setting.check(self.block, codec.decode(change.value))
        except ValueError as error:  # checked where it was set; a second opinion does not hurt
            self._log.error("%s", error)

    def _status(self) -> control.BlockStatus:
        return control.BlockStatus(
            phase=self._phase,
            items_in=self._items_in,
            items_out=self._items_out,
            messages=self._messages,
            work_seconds=self._work,
            wall_seconds=time.perf_counter() - self._began,
            work_cpu_seconds=self._work_cpu,
            cpu_seconds=time.thread_time() - self._cpu_began,
            bad_messages=sum(inlet.bad for inlet in self.inlets.values()),
            strangers=sum(outlet.strangers for outlet in self.outlets.values()),
            readings=dict(self.block.reading_values),
            edges=[count for outlet in self.outlets.values() for count in outlet.counts()],
        )

    # One round: take in what has come, then at most one message

    def _round(self, busy: bool) -> bool:
        """busy: something was done in the round before, so that there may be more to do at once."""
        for inlet in self._in_ends:
            if not inlet.open:
                inlet.knock()
        came = self._ears.collect()
        now = time.monotonic()
        if not busy and not came:
            self._rest()
        elif now - self._polled > _GLANCE:
            self._ears.receive(0)
            self._polled = now
        else:
            self._ears.glance()
        worked = self._step()
        for inlet in self._in_ends:
            if inlet.owing:
                inlet.acknowledge(urgent=False)
        if now - self._reported > STATUS_INTERVAL:
            self._reported = now
            self._report(self._status())
        return worked

    def _rest(self) -> None:
        """Nothing to do: sleep until something comes, say how far we are, see whether that was all."""
        owing = [inlet for inlet in self.inlets.values() if inlet.owing]
        if owing:
            # The sender has credit left: more may come, and one acknowledgement do for all of it
            if not self._ended and self._ears.receive(_LINGER):
                return
            for inlet in owing:
                inlet.acknowledge(urgent=True)
        self._finish()
        self._ears.receive(_POLL)

    def _finish(self) -> None:
        done = self._ended and all(i.ended for i in self.inlets.values()) and all(o.drained() for o in self.outlets.values())
        if done and not self._finished:
            self._finished = True
            self._phase = "finished"
            self._report(control.Finished(codec.encode(self.block.save()), self._status()))

    def _step(self) -> bool:
        if self._ended:
            return self.junction.drain()
        for outlet in self._out_ends:
            if not outlet.room():
                return False
        if isinstance(self.block, Source):
            return self._produce(self.block)
        return self._process()

    def _produce(self, block: Source) -> bool:
        count = block.batch
        if self.spec.limit is not None:
            count = min(count, self.spec.limit - self._position)
        if count <= 0:
            return self._end()
        self._where = "in produce()"
        result = self._timed(block.produce, self._position, count)
        if result is None:
            return self._end()
        outputs = self._by_port(result)
        made = max((items.count for items in outputs.values()), default=0)
        if made == 0:
            return False  # nothing there yet
        self._send(outputs, self._position, time.time(), None)
        self._position += made
        self._advance(self._message + 1)
        return True

    def _process(self) -> bool:
        joint = self.junction.look()
        if joint is None:
            return False
        if joint.final:
            self.junction.commit(joint)
            return self._end()
        self._before(joint.number)
        outputs = {} if joint.empty else self._call(joint)
        heads = joint.heads
        when = heads[0].sent if len(heads) == 1 else min(head.sent for head in heads)
        self._send(outputs, heads[0].first, when, heads)
        self.junction.commit(joint)
        self._items_in += joint.heads[0].count
        self._where = "while running"
        self._advance(joint.number + 1)
        return True

    def _call(self, joint: Joint) -> dict[str, Items]:
        self._where = joint
        inputs: dict[str, Items | None] = dict.fromkeys(self._in_ports)
        inputs.update(joint.inputs)
        return self._by_port(self._timed(self.block.process, **inputs))

    def _timed(self, work: Callable[..., Any], *args: Any, **inputs: Any) -> Any:
        began, cpu = time.perf_counter(), time.thread_time()
        result = work(*args, **inputs)
        self._work_cpu += time.thread_time() - cpu
        self._work += time.perf_counter() - began
        return result

    def _by_port(self, result: Any) -> dict[str, Items]:
        if result is None:
            return {}
        outputs = {}
        for items in result if isinstance(result, tuple) else (result,):
            if not isinstance(items, Items) or items.port not in self._out_ports:
                raise WiringError(
                    f"{self.spec.name} returned {items!r}: expected what one of its output ports' items() made"
                )
            outputs[items.port] = items
        return outputs

    def _send(self, outputs: dict[str, Items], first: int, when: float, joined: list[Items] | None) -> None:
        """One message on every connected port; its numbers come from what went in, or from the port's own count."""
        for name, outlet in self.outlets.items():
            made = outputs.get(name)
            items = made if made is not None else Items(outlet.layout, outlet.layout.nothing, 0)
            if self._out_ports[name].aligned:
                if joined is not None and items.count not in (0, joined[0].count):
                    raise WiringError(
                        f"{self.spec.name}.{name} made {items.count} items of {joined[0].count}: an aligned port makes one "
                        "for each; declare it with aligned=False"
                    )
                items.first = first
            else:
                items.first = outlet.produced
            items.message = self._message if joined is None else joined[0].message
            items.sent = when
            self._items_out += items.count
            outlet.send(items)

    def _advance(self, message: int) -> None:
        self._message = message
        self._messages += 1
        every = self.spec.checkpoint_every
        if every and message % every == 0:
            self._save(message - 1)

    def _before(self, number: int) -> None:
        """Messages were skipped by a lossy link: a cut that falls between them is made now."""
        every = self.spec.checkpoint_every
        if every and number > self._message and number // every > self._message // every:
            self._save(number // every * every - 1)
        self._message = number

    def _end(self) -> bool:
        """The stream has ended: finish the block and send that on."""
        self._where = "in finish()"
        self.block.finish()
        for outlet in self.outlets.values():
            final = Items(outlet.layout, outlet.layout.nothing, 0, message=self._message, sent=time.time(), final=True)
            outlet.send(final)
        self._ended = True
        self._where = "after its end"
        return True

    # Checkpoints

    def _save(self, message: int) -> None:
        if self.spec.checkpoint is None:
            return
        self._where = f"while saving the checkpoint after message {message}"
        values = {
            "state": self.block.save(),
            "position": self._position,
            "junction": self.junction.save(),
            "inlets": {name: inlet.save() for name, inlet in self.inlets.items()},
            "outlets": {name: outlet.save() for name, outlet in self.outlets.items()},
        }
        checkpoint.save_block(Path(self.spec.checkpoint), self.spec.name, message, values)
        self._report(control.Saved(message))

    def _resume(self, values: dict[str, Any]) -> None:
        assert self.spec.resume is not None
        self._message = self.spec.resume + 1
        self._position = values["position"]
        self.junction.restore(values["junction"])
        self.block.restore(values["state"])
        for name, inlet in self.inlets.items():
            inlet.restore(values["inlets"][name])
        for name, outlet in self.outlets.items():
            outlet.restore(values["outlets"][name])
