"""The runner starts the workers of a flowgraph, watches over them and ends them within a second, whatever they do."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import zmq

from isacblocks.stream import checkpoint, codec, control, descriptors
from isacblocks.stream.block import MAIN
from isacblocks.stream.crew import Crew
from isacblocks.stream.directory import SocketDirectory
from isacblocks.stream.errors import BlockError, CheckpointError, PlacementError
from isacblocks.stream.hand import Hand
from isacblocks.stream.heir import disown_in_children
from isacblocks.stream.keeper import Keeper, cause_of
from isacblocks.stream.nursery import Nursery
from isacblocks.stream.nursery_messages import Setup
from isacblocks.stream.plan import Plan, Status, worker_specs
from isacblocks.stream.silence import Silence, is_stopped

_GRACE = 0.5  # seconds that workers have to end by themselves when told to stop
_GRACE_FROZEN = 0.2  # the same for processes that are stopped (SIGSTOP): longer than a debugger takes for a look


def _make_checkpoint_directory(path: Path) -> None:
    """See that checkpoints can be written before anything runs. Raises CheckpointError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise CheckpointError(
            f"{path}: no checkpoints can be written there: {error.strerror}; take another directory"
        ) from error


def _log_levels() -> dict[str, int]:
    """What is to be logged, for other processes: the root's level as "", and those of our loggers that have their own."""
    known = [name for name in logging.root.manager.loggerDict if name.startswith("isacblocks.")]
    own = {name: level for name in known if (level := logging.getLogger(name).level) != logging.NOTSET}
    return {"": logging.getLogger().getEffectiveLevel()} | own


def _end_after(threads: list[threading.Thread], context: zmq.Context[zmq.Socket[bytes]]) -> None:
    """Threads that hang in a call end when it returns; the context with the last of them."""
    for thread in threads:
        thread.join()
    context.destroy(0)


class Runner:
    """One run of a flowgraph, watched by a thread of its own."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.error: Exception | None = None
        self.phase = "starting"
        self._log = logging.getLogger("isacblocks.stream.runner")
        self._status = {name: control.BlockStatus() for name in plan.blocks}
        self._cuts: dict[int, set[str]] = {}
        self._finished: dict[str, bytes] = {}
        self._dead: set[str] = set()
        self._threads: dict[str, threading.Thread] = {}
        self._hands: dict[str, Hand] = {}
        self._crew: Crew | None = None
        self._nursery: Nursery | None = None
        self._keeper: Keeper | None = None if plan.restart is None else Keeper(plan.restart)
        self._names = {name.encode(): name for name in plan.blocks}  # by their identities
        self._silence = Silence()
        self._worker_specs: dict[str, control.WorkerSpec] = {}
        self._bound: dict[str, str] = {}  # endpoints of the output ports, by "block.port"
        self._began = self._ended = 0.0
        self._stop = threading.Event()
        self._over = threading.Event()
        self._orders: list[tuple[str, control.Order]] = []
        self._lock = threading.Lock()
        if plan.checkpoint is not None:
            _make_checkpoint_directory(plan.checkpoint)
        self._kept = sorted(name for name, block in plan.blocks.items() if not block.onlooker)  # what checkpoints hold
        self._resume = self._cut_to_resume()
        descriptors.expect(self._descriptors(), f"the flowgraph {plan.name}, in {plan.placement},")
        self._directory = None if plan.placement == "threads" else SocketDirectory()
        try:
            self._control_endpoint = self._endpoint("control")
            self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            self._control = self._context.socket(zmq.ROUTER)
            self._control.linger = 0
            self._control.router_handover = True  # a block's next process takes the place of the one that died
            self._control.bind(self._control_endpoint)
        except BaseException:
            if self._directory is not None:
                self._directory.remove()
            raise
        disown_in_children(self)
        self._thread = threading.Thread(target=self._watch, name="isacblocks runner", daemon=True)

    def _cut_to_resume(self) -> int | None:
        if self.plan.checkpoint is None:
            return None
        manifest = checkpoint.load_manifest(self.plan.checkpoint, self.plan.name, self._kept)
        return None if manifest is None else manifest.message

    def _descriptors(self) -> int:
        """How many file descriptors this process will need."""
        if self.plan.placement != "threads":
            return descriptors.CONTEXT + 2 * len(self.plan.blocks)
        return descriptors.CONTEXT + 2 * len(self.plan.blocks) + 2 * len(self.plan.edges)

    def _endpoint(self, what: str) -> str:
        if self._directory is None:
            return f"inproc://{id(self)}/{what}"
        return self._directory.endpoint(what)

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

    def _remote(self, name: str) -> Callable[[str, Any], None]:
        def change(setting: str, value: Any) -> None:
            with self._lock:
                self._orders.append((name, control.Change(setting, codec.encode(value))))
            if self._nursery is not None:  # the thread's own block is the one that the caller sees
                self.plan.blocks[name].setting_values[setting] = value

        return change

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; True where it has come."""
        return self._over.wait(timeout)

    def stop(self) -> None:
        """End now, in whatever state; returns within a second."""
        self._stop.set()
        if self._crew is not None:  # busy threads can keep the interpreter from the runner for more than a second
            self._crew.over = True
        self._over.wait(1.8 * _GRACE)  # a compiler in one of our threads may keep the interpreter for a while more

    def disown(self) -> None:
        """In a process that was forked from the user's program: the flowgraph goes on there, and for us it is over."""
        self._stop, self._over, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._threads = {}
        self.error = PlacementError(f"{self.plan.name} runs in the process that this one was forked from, and goes on there")
        self.phase = "failed"
        self._over.set()

    @property
    def status(self) -> Status:
        """What the workers last reported."""
        seconds = (self._ended or time.perf_counter()) - self._began if self._began else 0.0
        return Status(self.phase, seconds, dict(self._status))

    # Workers

    def _spawn(self) -> None:
        specs = self._worker_specs = worker_specs(self.plan, self._endpoint, self._resume)
        if self.plan.placement == "threads":
            self._crew = crew = Crew()
            for name, spec in specs.items():
                hand = self._hands[name] = Hand(self.plan.blocks[name], spec, self._context, crew)
                self._threads[name] = threading.Thread(target=hand.run, name=f"isacblocks {name}", daemon=True)
            for thread in self._threads.values():
                thread.start()
            return
        descriptions = {name: block.describe() for name, block in self.plan.blocks.items()}
        kinds = sorted({(type(b).__module__, type(b).__qualname__) for b in self.plan.blocks.values()})
        in_main = any(module == "__main__" for module, _ in kinds)
        classes = [(MAIN if module == "__main__" else module, name) for module, name in kinds]
        main = getattr(sys.modules["__main__"], "__file__", None) if in_main else None
        if in_main and main is None:
            raise PlacementError(
                "blocks defined at a prompt cannot be made in another process; run with placement='threads'"
            )
        assert self._directory is not None
        self._nursery = Nursery(Setup(classes, main, sys.path, str(self._directory.path), _log_levels()))
        for name, spec in specs.items():
            self._nursery.bear(spec, descriptions[name])

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
            if self.phase in ("starting", "restarting") and self._directory is not None:
                self._directory.check()
            self._listen()
            if not self._control.poll(20):
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
                    self._tell_all(control.Go())
            elif isinstance(report, control.Finished) and self._all_finished():
                self.phase = "finished"
                return
        self.phase = "stopped"

    def _all_finished(self) -> bool:
        """Whether all have come to their end, and not because they were stopped."""
        return len(self._finished) == len(self.plan.blocks) and not self._stop.is_set()

    def _receive(self) -> tuple[str, control.Report | None]:
        """The next report and who it is from. What a process has left behind whose place another one has taken is not one:
        its connection has lost its name to the other's.
        """
        identity, data = self._control.recv_multipart()
        name = self._names.get(identity)
        return ("", None) if name is None else (name, control.decode_report(data))

    def _hear(self) -> tuple[str, control.Report | None]:
        name, report = self._receive()
        if isinstance(report, control.BlockStatus):
            self._silence.heard(name, report.process)
            self._status[name] = report if self._keeper is None else self._keeper.dated(name, report)
        elif isinstance(report, control.Ready) and self._keeper is not None:
            self._keeper.down.discard(name)
        elif isinstance(report, control.Saved):
            self._note_cut(name, report.message)
        elif isinstance(report, control.Finished):
            self._note_end(name, report)
        elif isinstance(report, control.Failed):
            raise BlockError(name, report.where, report.cause, report.trace)
        return name, report

    def _note_cut(self, name: str, message: int) -> None:
        saved = self._cuts.setdefault(message, set())
        saved.add(name)
        if len(saved) == len(self._kept) and self.plan.checkpoint is not None:
            manifest = checkpoint.Manifest(self.plan.name, self._kept, message)
            checkpoint.save_manifest(self.plan.checkpoint, manifest)
            self._cuts = {m: names for m, names in self._cuts.items() if m > message}

    def _connect(self, names: Iterable[str]) -> None:
        for name in names:
            edges = [edge for edge in self.plan.edges if edge[2] == name]
            self._tell(name, control.Connect({into: self._bound[f"{s}.{o}"] for s, o, _, into, _ in edges}))

    def _listen(self) -> None:
        """Mark the blocks that have not reported for a while; with their next report they are as they say."""
        phases = {name: status.phase for name, status in self._status.items()}
        for name, phase in self._silence.look(phases).items():
            self._status[name] = msgspec.structs.replace(self._status[name], phase=phase)

    # Blocks that died and are to go on

    def _bear_again(self) -> None:
        if self._keeper is None or self._nursery is None:
            return
        for name in self._keeper.due():
            self._dead.discard(name)
            self._nursery.bear(self._keeper.moved(self._worker_specs[name]), self.plan.blocks[name].describe())

    def _move_to(self, name: str) -> None:
        """A block's next process is there: tell it where its senders are, and its receivers where it is."""
        self._connect([name])
        for sender, out, receiver, into, _ in self.plan.edges:
            if sender == name:
                self._tell(receiver, control.Move({into: self._bound[f"{sender}.{out}"]}))

    def _go_again(self, name: str) -> None:
        for setting, value in self.plan.blocks[name].setting_values.items():  # what was set while it was not there
            self._tell(name, control.Change(setting, codec.encode(value)))
        self._tell(name, control.Go())
        if self._keeper is not None and not self._keeper.down:
            self.phase = "running"

    def _tell(self, name: str, order: control.Order) -> None:
        self._control.send_multipart([name.encode(), control.encode(order)])

    def _tell_all(self, order: control.Order) -> None:
        for name in self.plan.blocks:
            self._tell(name, order)

    def _relay(self) -> None:
        with self._lock:
            orders, self._orders = self._orders, []
        for name, order in orders:
            self._tell(name, order)

    def _bury(self) -> None:
        """Notice processes that ended without being told to."""
        for death in self._nursery.deaths() if self._nursery is not None else []:
            self._dead.add(death.block)
            if not death.block:
                raise PlacementError(death.text)
            if self._keeper is None:
                raise BlockError(death.block, "while running", cause_of(death))
            self._keeper.died(death)
            self._finished.pop(death.block, None)  # its last acknowledgements may have died with it
            self._status[death.block] = self._keeper.dated(death.block, self._status[death.block])
            if self._began:
                self.phase = "restarting"

    def _halt(self) -> None:
        """Tell every worker to stop, give them the grace, then take them down."""
        patience = _GRACE if self._began or self._nursery is None else 0.0  # what has not begun has nothing to finish
        began = time.perf_counter()
        again = 0.0
        while time.perf_counter() < began + patience and not self._all_gone(began + _GRACE_FROZEN):
            if time.perf_counter() > again:  # one that was only just starting may not have been there the first time
                self._tell_to_stop(self.plan.blocks)
                again = time.perf_counter() + 0.05
            if self._control.poll(5):
                self._last_words()
        while self._control.poll(0):
            self._last_words()
        left = [name for name, thread in self._threads.items() if thread.is_alive() and not self._hands[name].over]
        if left:
            self._log.warning(
                "%s did not stop within %.1f s and was left behind in its thread; it ends when its present call returns, "
                "and what it does until then is lost; with placement 'processes' it could have been ended",
                ", ".join(left),
                _GRACE,
            )
        silent = [name for name in self.plan.blocks if name not in self._finished]
        if silent and self._nursery is not None and self._began and self.error is None:
            self._log.warning(
                "%s did not answer within %.1f s of being told to stop; what it learned since its last checkpoint is lost; "
                "shorter messages (--batch) answer sooner, a process that is stopped (SIGSTOP) cannot",
                ", ".join(silent),
                time.perf_counter() - began,
            )

    def _last_words(self) -> None:
        """What a worker still reports after it was told to stop; its failures do not matter any more."""
        name, report = self._receive()
        if isinstance(report, control.Finished):
            if self._keeper is not None:
                self._keeper.down.discard(name)
            self._note_end(name, report)
            self._tell_to_stop([name])

    def _tell_to_stop(self, names: Iterable[str]) -> None:
        """A process that was told to stop stays until its last report has been taken, so that none is missed."""
        for name in names:
            self._tell(name, control.Leave() if name in self._finished else control.Stop())

    def _note_end(self, name: str, report: control.Finished) -> None:
        self._status[name] = report.status if self._keeper is None else self._keeper.dated(name, report.status)
        self._finished[name] = report.state

    def _all_gone(self, later: float) -> bool:
        """Whether nobody is left who could still end by himself. later: from when on none is whose process is stopped."""
        if self._nursery is None:
            return not any(thread.is_alive() for thread in self._threads.values())
        self._dead.update(death.block for death in self._nursery.deaths())
        if "" in self._dead:
            return True
        left = self.plan.blocks.keys() - self._dead
        return not left or (time.perf_counter() > later and all(is_stopped(self._status[name].process) for name in left))

    def _clean(self) -> None:
        for block in self.plan.blocks.values():
            block.remote = None
        if self._nursery is not None:
            self._nursery.end(at_once=not self._began)
        if self._directory is not None:
            self._directory.remove()
        self._control.close(0)
        left = [thread for thread in self._threads.values() if thread.is_alive()]
        if left:  # they have sockets of the context
            threading.Thread(target=_end_after, args=(left, self._context), name="isacblocks end", daemon=True).start()
        else:
            self._context.destroy(0)  # with the sockets of workers whose threads could not be started
        if self._nursery is not None:
            for name, state in self._finished.items():  # the caller's blocks end up as those in the processes did
                self.plan.blocks[name].state_values = codec.decode(state)
