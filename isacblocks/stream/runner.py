"""The runner starts the workers of a flowgraph, watches over them and ends them within a second, whatever they do.

It knows the course of a run: who is told what, and when. switchboard.py has the lines to the workers, staff.py their threads
or processes, roll.py what they have reported, cuts.py what they have saved, and ending.py knows how they are stopped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from isacblocks.stream import codec, control, descriptors, ending
from isacblocks.stream.cuts import Cuts
from isacblocks.stream.directory import SocketDirectory
from isacblocks.stream.errors import BlockError, PlacementError
from isacblocks.stream.heir import disown_in_children
from isacblocks.stream.keeper import Keeper, cause_of
from isacblocks.stream.mark import Mark
from isacblocks.stream.plan import Plan, Status, worker_specs
from isacblocks.stream.roll import Roll
from isacblocks.stream.staff import Staff
from isacblocks.stream.switchboard import Switchboard


def _descriptors(plan: Plan) -> int:
    """How many file descriptors this process will need."""
    edges = len(plan.edges) if plan.placement == "threads" else 0
    return descriptors.CONTEXT + 2 * len(plan.blocks) + 2 * edges


class Runner:
    """One run of a flowgraph, watched by a thread of its own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.error: Exception | None = None
        self.phase = "starting"
        self._log = logging.getLogger("isacblocks.stream.runner")
        self._keeper: Keeper | None = None if plan.restart is None else Keeper(plan.restart)
        self._roll = Roll(plan.blocks, self._keeper)
        self._worker_specs: dict[str, control.WorkerSpec] = {}
        self._bound: dict[str, str] = {}  # endpoints of the output ports, by "block.port"
        self._began = self._ended = 0.0
        self._stop = Mark()
        self._over = Mark()
        self._orders: list[tuple[str, control.Order]] = []
        self._lock = threading.Lock()
        kept = sorted(name for name, block in plan.blocks.items() if not block.onlooker)  # what checkpoints hold
        self._cuts = None if plan.checkpoint is None else Cuts(plan.checkpoint, plan.name, kept)
        descriptors.expect(_descriptors(plan), f"the flowgraph {plan.name}, in {plan.placement},")
        self._directory = None if plan.placement == "threads" else SocketDirectory()
        self._board = Switchboard(plan.blocks, self._directory)
        self._staff = Staff(plan.blocks)
        self._ending = ending.Ending(self._board, self._staff, self._roll)
        disown_in_children(self)
        self._thread = threading.Thread(target=self._watch, name="isacblocks runner", daemon=True)

    # From the caller's thread

    def start(self) -> None:
        """Start the workers and return at once."""
        try:
            self._spawn()
        except BaseException:
            self.phase = "failed"
            self._halt()  # those that have been started
            self._clean()
            self._over.set()
            raise
        for name, block in self.plan.blocks.items():
            block.remote = self._remote(name)
        self._thread.start()

    def _spawn(self) -> None:
        resume = None if self._cuts is None else self._cuts.resume
        specs = self._worker_specs = worker_specs(self.plan, self._board.endpoint, resume)
        if self._directory is None:
            self._staff.start_threads(specs, self._board.context)
        else:
            self._staff.start_processes(specs, self._directory.path)

    def _remote(self, name: str) -> Callable[[str, Any], None]:
        def change(setting: str, value: Any) -> None:
            with self._lock:
                self._orders.append((name, control.Change(setting, codec.encode(value))))
            if self._staff.elsewhere:  # the thread's own block is the one that the caller sees
                self.plan.blocks[name].setting_values[setting] = value

        return change

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; True where it has come."""
        return self._over.wait(timeout)

    def stop(self) -> None:
        """End now, in whatever state; returns within a second."""
        self._stop.set()
        self._staff.hurry()  # busy threads can keep the interpreter from the runner for more than a second
        self._over.wait(1.8 * ending.GRACE)  # a compiler in one of our threads may keep the interpreter for a while more

    def disown(self) -> None:
        """In a process that was forked from the user's program: the flowgraph goes on there, and for us it is over."""
        self._stop, self._over, self._lock = Mark(), Mark(), threading.Lock()
        self._staff.disown()
        self.error = PlacementError(f"{self.plan.name} runs in the process that this one was forked from, and goes on there")
        self.phase = "failed"
        self._over.set()

    @property
    def status(self) -> Status:
        """What the workers last reported."""
        seconds = (self._ended or time.perf_counter()) - self._began if self._began else 0.0
        return Status(self.phase, seconds, dict(self._roll.status))

    # The watching thread

    def _watch(self) -> None:
        try:
            self._serve()
        except Exception as error:
            self.error = error
            self._log.debug("the runner failed", exc_info=True)
        try:
            self._halt()
        except Exception as error:
            self.error = self.error or error
        finally:
            self._ended = time.perf_counter()
            self._clean()
            if self.error is not None:
                self.phase = "failed"
            self._over.set()

    def _serve(self) -> None:
        waiting, ready = set(self.plan.blocks), set(self.plan.blocks)
        while not self._stop.is_set():
            self._relay()
            self._bury()
            self._bear_again()
            if self.phase in ("starting", "restarting"):
                self._board.check()
            self._roll.listen()
            if not self._board.poll(20):
                continue
            name, report = self._hear()
            if isinstance(report, control.Bound):
                self._bound |= {f"{name}.{port}": endpoint for port, endpoint in report.endpoints.items()}
                if waiting:
                    waiting.discard(name)
                    self._connect(() if waiting else self.plan.blocks)
                else:
                    self._move_to(name)
            elif isinstance(report, control.Ready):
                ready.discard(name)
                if self._began:
                    self._go_again(name)
                elif not ready:
                    self._began = time.perf_counter()
                    self.phase = "running"
                    self._board.tell_all(control.Go())
            elif isinstance(report, control.Finished) and not self._roll.unheard() and not self._stop.is_set():
                self.phase = "finished"  # all have come to their end, and not because they were stopped
                return
        self.phase = "stopped"

    def _hear(self) -> tuple[str, control.Report | None]:
        name, report = self._board.receive()
        if isinstance(report, control.BlockStatus):
            self._roll.reported(name, report)
        elif isinstance(report, control.Ready):
            self._roll.ready(name)
        elif isinstance(report, control.Saved) and self._cuts is not None:
            self._cuts.saved(name, report.message)
        elif isinstance(report, control.Finished):
            self._roll.ended(name, report)
        elif isinstance(report, control.Failed):
            raise BlockError(name, report.where, report.cause, report.trace)
        return name, report

    def _connect(self, names: Iterable[str]) -> None:
        for name in names:
            edges = [edge for edge in self.plan.edges if edge[2] == name]
            self._board.tell(name, control.Connect({into: self._bound[f"{s}.{o}"] for s, o, _, into, _ in edges}))

    def _relay(self) -> None:
        with self._lock:
            orders, self._orders = self._orders, []
        for name, order in orders:
            self._board.tell(name, order)

    # Blocks that died, and are to go on

    def _bury(self) -> None:
        """Notice processes that ended without being told to."""
        for death in self._staff.deaths():
            if not death.block:
                raise PlacementError(death.text)
            if self._keeper is None:
                raise BlockError(death.block, "while running", cause_of(death))
            self._keeper.died(death)
            self._roll.died(death)
            if self._began:
                self.phase = "restarting"

    def _bear_again(self) -> None:
        if self._keeper is None:
            return
        for name in self._keeper.due():
            self._staff.replace(self._keeper.moved(self._worker_specs[name]))

    def _move_to(self, name: str) -> None:
        """A block's next process is there: tell it where its senders are, and its receivers where it is."""
        self._connect([name])
        for sender, out, receiver, into, _ in self.plan.edges:
            if sender == name:
                self._board.tell(receiver, control.Move({into: self._bound[f"{sender}.{out}"]}))

    def _go_again(self, name: str) -> None:
        for setting, value in self.plan.blocks[name].setting_values.items():  # what was set while it was not there
            self._board.tell(name, control.Change(setting, codec.encode(value)))
        self._board.tell(name, control.Go())
        if self._keeper is not None and not self._keeper.down:
            self.phase = "running"

    # The end

    def _halt(self) -> None:
        took = self._ending.halt(bool(self._began))
        self._ending.tell(took, silent=bool(self._began) and self.error is None)

    def _clean(self) -> None:
        for block in self.plan.blocks.values():
            block.remote = None
        self._board.close(self._staff.end(at_once=not self._began))
        if self._staff.elsewhere:
            for name, state in self._roll.finished.items():  # the caller's blocks end up as those in the processes did
                self.plan.blocks[name].state_values = codec.decode(state)
