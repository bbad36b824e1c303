"""A worker runs one block: receive, work, acknowledge, report, round after round. The same in a thread and in a process."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import traceback

import zmq

from isacblocks.stream import codec, control
from isacblocks.stream.ahead import AheadOutlet, cannot_be_made_again
from isacblocks.stream.bell import Bell
from isacblocks.stream.block import Block
from isacblocks.stream.ears import Ears
from isacblocks.stream.inlet import Inlet
from isacblocks.stream.journal import Journal
from isacblocks.stream.orders import Orders, StopError
from isacblocks.stream.outlet import Outlet
from isacblocks.stream.refusals import total
from isacblocks.stream.snapshots import Snapshots
from isacblocks.stream.task import Task

STATUS_INTERVAL = 0.1  # seconds between reports
_POLL = 50  # ms: how long an idle worker sleeps at most
LINGER = 5  # ms: how long an acknowledgement that the sender does not wait for may wait for the next one


class Worker:
    """One block at work. `context` is shared by the threads of a process, so that inproc links find each other.

    journal: where its snapshots go, if another process is to go on when this one is killed.
    """

    def __init__(
        self,
        block: Block,
        spec: control.WorkerSpec,
        context: zmq.Context[zmq.Socket[bytes]],
        journal: Journal | None = None,
    ) -> None:
        self.block = block
        self.spec = spec
        self.context = context
        self.inlets: dict[str, Inlet] = {}
        self.outlets: dict[str, Outlet] = {}
        self._log = logging.getLogger(f"isacblocks.{spec.name}")
        self._journal = journal
        self._snapshots: Snapshots | None = None
        self._orders = Orders(context, spec.name, spec.control, self._change, self._move)
        self._ears = Ears(self._orders)
        self._task: Task | None = None  # once the ends of its links are there
        self._phase = "starting"
        self._started = False  # the block's start() has returned: what it opened is to be closed by finish()
        self._began = time.perf_counter()
        self._cpu_began = 0.0
        self._reported = 0.0
        self._finished = False
        self._moves: dict[str, str] = {}  # senders that have a new process, by input port

    # Life

    def run(self) -> bool:
        """Work until told to stop or failed; True where the block came to its end."""
        try:
            self._live(self._open())
        except Exception as error:
            self._conclude(error)
        finally:
            self._close()
        return self._finished and self._phase != "failed"

    def _live(self, task: Task) -> None:
        """Round after round; ends by an exception."""
        busy = True
        while True:
            busy = self._round(task, busy)

    def _conclude(self, error: Exception) -> None:
        """Told to stop, or something has failed."""
        if isinstance(error, StopError):
            self._stopped()
            return
        place = "in start()" if self._phase == "starting" or self._task is None else self._task.place()
        self._phase = "failed"
        cause = f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        with contextlib.suppress(StopError):
            self._orders.report(control.Failed(place, cause, trace))
            self._await_stop(place)

    def _open(self) -> Task:
        once = self._journal is not None and cannot_be_made_again(self.block, self.spec.inlets)
        for out in self.spec.outlets:
            outlet = (AheadOutlet if once else Outlet)(self.context, out.bind, out.layout, out.edges, self.spec.epoch)
            self.outlets[out.port] = outlet
            self.block.ports[out.port].connected = True
            self.block.ports[out.port].pool = outlet.pool
            self._ears.add(outlet)
        self._orders.report(control.Bound({port: outlet.endpoint for port, outlet in self.outlets.items()}))
        while self._orders.endpoints is None:
            self._orders.wait()
        for into in self.spec.inlets:
            port = self.block.ports[into.port]
            port.adopt(into.layout)
            port.connected = True
            inlet = Inlet(self.context, self._orders.endpoints[into.port], into.layout, into.edge, self.spec.epoch)
            self.inlets[into.port] = inlet
            self._ears.add(inlet)
        self._ears.hang_up_bell(self._make_bell())
        task = self._task = Task(self.block, self.spec, self.inlets, self.outlets, self._saved)
        self.block.prepare()
        self.block.start()
        self._started = True
        self._go_on(task)
        self._tell_interval()
        self._orders.report(control.Ready())
        while not self._orders.go:
            self._orders.wait()
        self._phase = "running"
        self.block.attend = self._attend
        self._began, self._cpu_began = time.perf_counter(), time.thread_time()
        return task

    def _make_bell(self) -> Bell:
        return Bell()

    def _go_on(self, task: Task) -> None:
        """From where an earlier process of this block was, or an earlier run, or from the beginning."""
        if self._journal is None:
            task.resume()
            return
        snapshots = Snapshots(self._journal, task, self.inlets, self.outlets)
        if not snapshots.restore():
            task.resume()
        snapshots.begin()
        self._snapshots = snapshots

    def _stopped(self) -> None:
        """Told to stop: leave files whole and tell what the block has learned so far."""
        self.block.attend = None  # there is no time to wait for anybody
        if not self._started or self._task is None:
            return
        try:
            if not self._finished:
                if not self._task.ended:
                    self.block.finish()
                self._phase = "stopped"  # also before the first message: all others may be further, and Go still on its way
                self._orders.report(control.Finished(self._learned(), self._status(self._task)))
            self._orders.stay()
        except StopError:  # nobody is left to be told
            return
        except Exception:
            self._log.exception("finish() failed while the flowgraph was being stopped")

    def _learned(self) -> bytes:
        """The block's state in the end, for the caller's."""
        return codec.encode(self.block.save())

    def _close(self) -> None:
        self.block.attend = None
        for inlet in self.inlets.values():
            inlet.close()
        for name, outlet in self.outlets.items():
            self.block.ports[name].pool = None
            outlet.close()
        self._orders.close()

    def _await_stop(self, place: str) -> None:
        """After a failure: let the runner have the report before the sockets go, and the block its files whole."""
        self.block.attend = None
        if self._started and place != "in finish()":
            with contextlib.suppress(Exception):
                self.block.finish()
        with contextlib.suppress(StopError):
            while True:
                self._orders.wait()

    def _saved(self, message: int) -> None:
        self._orders.report(control.Saved(message))

    def _move(self, order: control.Move) -> None:
        if self.inlets:
            self._moves |= order.endpoints  # after the message that is being processed
        elif self._orders.endpoints is not None:  # else Connect has yet to come, and knows
            self._orders.endpoints |= order.endpoints

    def _change(self, change: control.Change) -> None:
        setting = self.block.settings()[change.setting]
        try:
            self.block.setting_values[change.setting] = setting.check(self.block, codec.decode(change.value))
        except ValueError as error:  # checked where it was set; a second opinion does not hurt
            self._log.error("%s", error)

    def _status(self, task: Task) -> control.BlockStatus:
        inlets, outlets = self.inlets.values(), self.outlets.values()
        return control.BlockStatus(
            phase=self._phase,
            process=os.getpid(),
            items_in=task.items_in,
            items_out=task.items_out,
            messages=task.messages,
            work_seconds=task.work,
            wall_seconds=time.perf_counter() - self._began,
            work_cpu_seconds=task.work_cpu,
            cpu_seconds=self._cpu_seconds(),
            bad_messages=sum(inlet.refusals.bad for inlet in inlets),
            strangers=sum(outlet.refusals.bad for outlet in outlets),
            refused=total([inlet.refusals for inlet in inlets] + [outlet.refusals for outlet in outlets]),
            readings=dict(self.block.reading_values),
            edges=[count for outlet in outlets for count in outlet.counts()],
        )

    def _cpu_seconds(self) -> float:
        """Processor time since the block began to run."""
        return time.thread_time() - self._cpu_began

    def _attend(self) -> None:
        """While the block waits for the world outside: take orders, say that it lives. Raises StopError."""
        self._orders.take()
        now = time.monotonic()
        if self._task is not None and now - self._reported > STATUS_INTERVAL:
            self._reported = now
            self._orders.report(self._status(self._task))

    # One round: take in what has come, then at most one message

    def _round(self, task: Task, busy: bool) -> bool:
        """busy: something was done in the round before, so that there may be more to do at once."""
        inlets = self.inlets.values()
        for inlet in inlets:
            if not inlet.open:
                inlet.knock()
        came = self._ears.collect()
        now = time.monotonic()
        if busy or came:
            self._ears.glance(now)
        else:
            self._rest(task)
        worked = task.step()
        for inlet in inlets:
            if inlet.owing:
                inlet.acknowledge(urgent=False)
        if self.block.onlooker:
            self._tell_interval()
        if self._snapshots is not None:
            self._keep_up(self._snapshots)
        if now - self._reported > STATUS_INTERVAL:
            self._reported = now
            self._orders.report(self._status(task))
        return worked

    def _tell_interval(self) -> None:
        interval = self.block.interval_wanted()
        if interval is not None:
            for inlet in self.inlets.values():
                inlet.want(interval)

    def _rest(self, task: Task) -> None:
        """Nothing to do: sleep until something comes, say how far we are, see whether that was all."""
        owing = [inlet for inlet in self.inlets.values() if inlet.owing]
        if owing:
            # The sender has credit left: more may come, and one acknowledgement do for all of it
            if not task.ended and self._ears.receive(LINGER):
                return
            for inlet in owing:
                inlet.acknowledge(urgent=True)
        if self._snapshots is not None and not self.inlets:
            self._snapshots.take()
        for outlet in self.outlets.values():
            outlet.look_at_the_time()
        self._finish(task)
        for inlet in self.inlets.values():
            if inlet.remote:
                inlet.doubt()
        self._ears.receive(_POLL)

    def _keep_up(self, snapshots: Snapshots) -> None:
        """Where blocks may be replaced: snapshots of a source, new connections, and questions after silence."""
        if snapshots.due():
            snapshots.take()
        if self._moves:  # a sender that was killed may leave out what we have processed: what we say to it must hold that
            snapshots.take()
        while self._moves:
            port, endpoint = self._moves.popitem()
            self.inlets[port].move(endpoint)
        for inlet in self.inlets.values():
            inlet.doubt()

    def _finish(self, task: Task) -> None:
        """Tell the runner when everything has come to its end."""
        if not task.ended or self._finished:
            return
        if all(i.ended for i in self.inlets.values()) and all(o.drained() for o in self.outlets.values()):
            self._finished = True
            self._phase = "finished"
            self._ears.take_down_bell()
            self._orders.report(control.Finished(self._learned(), self._status(task)))
