"""stop() from every state a flowgraph can be in: how long it takes, and that no process, file or descriptor is left.

Whatever belongs to a flowgraph carries, in its environment, the temporary directory of the trial, so that also a process
whose parents are dead is found.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faults.case import Case, Outcome, percentile
from isacblocks.stream import Block, Field, Flowgraph, In, Items, Out, Record, Restart, Source

LIMIT = 1.0  # seconds: for stop(), and until nothing is left
_SIZE = 8000  # numbers in an item
_PATIENCE = 60.0  # seconds that a state may take to be reached, on a machine that has more to do
NUMBER = Record("number", (Field("value", "float64", ("N",)),))  # large: in shared memory between processes


class _Sized(Block):
    def dimensions(self) -> Mapping[str, int]:
        return {"N": _SIZE}


class Make(Source, _Sized):
    """Makes items; none where it is `idle`."""

    number = Out(NUMBER)

    def __init__(self, idle: bool = False) -> None:
        self.idle = idle

    def produce(self, first: int, count: int) -> Items:
        """Item k holds k."""
        count = 0 if self.idle else min(count, 8)
        return self.number.items(value=np.arange(first, first + count, dtype=float)[:, None] * np.ones(_SIZE))


class Pass(_Sized):
    """Passes on what came; the first time after `waits` seconds in start()."""

    number = In(NUMBER)
    same = Out(NUMBER)

    def __init__(self, waits: float = 0.0) -> None:
        self.waits = waits

    def start(self) -> None:
        """Maybe never to come back, as far as a test is concerned."""
        super().start()
        time.sleep(self.waits)

    def process(self, number: Items) -> Items:
        """The same numbers."""
        return self.same.items(value=number.value)


class Compile(Pass):
    """Has a new kernel compiled before it begins, and not kept."""

    @classmethod
    def prepare(cls) -> None:
        """Numba's compiler, for some seconds in one piece."""
        import numba

        lines = "\n".join(f"    x = x * {k}.5 + np.sin(x) * np.cos({k} * x)" for k in range(60))
        space: dict[str, Any] = {"np": np}
        exec(f"def kernel(x):\n{lines}\n    return x", space)
        numba.njit(space["kernel"])(1.0)


class Take(_Sized):
    """Takes what comes, slowly where it pauses."""

    number = In(NUMBER)

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def process(self, number: Items) -> None:
        """Nothing."""
        time.sleep(self.pause)


@dataclass(frozen=True)
class State:
    """blocks: of the chain; reach: brings a started flowgraph there; placements: where it exists."""

    blocks: Callable[[], tuple[Block, ...]]
    reach: Callable[[Flowgraph, random.Random], None]
    placements: tuple[str, ...] = ("threads", "processes", "tcp")
    depth: int = 16
    restart: Restart | None = None


def _plain() -> tuple[Block, ...]:
    return Make(), Pass(), Take()


def _soon(longest: float) -> Callable[[Flowgraph, random.Random], None]:
    """At any moment within `longest` seconds of the start."""
    return lambda fg, moments: time.sleep(moments.uniform(0.0, longest))


def _running(fg: Flowgraph, moments: random.Random) -> None:
    end = time.monotonic() + _PATIENCE
    while fg.status.phase != "running" and not fg.wait(0.002):
        if time.monotonic() > end:
            raise TimeoutError(f"still {fg.status.phase} after {_PATIENCE:g} s")
    time.sleep(moments.uniform(0.0, 0.15))


def _frozen(fg: Flowgraph, moments: random.Random) -> None:
    _running(fg, moments)
    os.kill(moments.choice(workers()), signal.SIGSTOP)
    time.sleep(moments.uniform(0.0, 0.1))


def _restarting(fg: Flowgraph, moments: random.Random) -> None:
    _running(fg, moments)
    os.kill(moments.choice(workers()), signal.SIGKILL)
    time.sleep(moments.uniform(0.0, 0.1))


STATES = {
    "starting": State(_plain, _soon(0.5)),
    "compiling": State(lambda: (Make(), Compile(), Take()), _soon(1.5)),
    "running": State(_plain, _running),
    "pressed": State(lambda: (Make(), Pass(), Take(pause=0.05)), _running, depth=1),
    "idle": State(lambda: (Make(idle=True), Pass(), Take()), _running),
    "frozen": State(_plain, _frozen, ("processes", "tcp")),
    "no peer": State(lambda: (Make(), Pass(waits=5.0), Take()), _soon(0.8), ("processes", "tcp")),
    "restarting": State(_plain, _restarting, ("processes", "tcp"), restart=Restart()),
}


def relatives() -> dict[int, int]:
    """Processes, but for this one, that were started with this temporary directory; and their parents."""
    mark = f"TMPDIR={tempfile.gettempdir()}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) != os.getpid() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    return found


def workers() -> list[int]:
    """The processes of blocks: children of the nursery."""
    return sorted(pid for pid, parent in relatives().items() if parent != os.getpid())


def left_behind(before: tuple[int, set[str]]) -> list[str]:
    """What there is of a flowgraph, in words. before: of :func:`standing`."""
    count, shared = standing()
    found = [f"process {pid}" for pid in relatives()]
    found += [str(path) for path in Path(tempfile.gettempdir()).iterdir()]
    found += sorted(shared - before[1])
    if count > before[0]:
        found.append(f"{count - before[0]} file descriptors")
    return found


def standing() -> tuple[int, set[str]]:
    """How many file descriptors are open, and what lies in shared memory that could be ours."""
    return len(os.listdir("/proc/self/fd")), {str(path) for path in Path("/dev/shm").glob("isacblocks*")}


@contextlib.contextmanager
def place_of_its_own() -> Iterator[None]:
    """A temporary directory that only this flowgraph uses, with a short name for its sockets' sake."""
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="ib", dir="/tmp") as own:
        os.environ["TMPDIR"], tempfile.tempdir = own, own
        try:
            yield
        finally:
            tempfile.tempdir = before[1]
            os.environ.pop("TMPDIR")
            if before[0] is not None:
                os.environ["TMPDIR"] = before[0]


@dataclass
class Trial:
    """stop: seconds in stop(); gone: until nothing was left; left: what was left in the end."""

    stop: float
    gone: float
    left: list[str] = field(default_factory=list)


def stop_once(state: State, placement: str, moments: random.Random, patience: float = LIMIT) -> Trial:
    """Bring a flowgraph into the state, stop it, look. patience: seconds until all is to be gone, LIMIT in stop()."""
    with place_of_its_own():
        before = standing()
        fg = Flowgraph("stops")
        fg.connect(*state.blocks(), depth=state.depth)
        fg.start(placement=placement, restart=state.restart)
        try:
            state.reach(fg, moments)
        finally:
            began = time.monotonic()
            fg.stop()
            stopped = time.monotonic()
        left = ["the flowgraph has not ended"] if not fg.wait(max(patience - LIMIT, 0.0)) else []
        _wait_for_threads()  # one that was compiling keeps its sockets until it comes back
        while (found := left_behind(before)) and time.monotonic() < stopped + patience:
            time.sleep(0.002)
        gone = time.monotonic() - began
        if not found and fg.status.phase != "stopped":
            fg._raise()
            left.append(f"the flowgraph is {fg.status.phase}, not stopped")
        return Trial(stopped - began, gone, left + found)


def _wait_for_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("isacblocks "):
            thread.join(_PATIENCE)


def _case(name: str) -> Callable[[int], Outcome]:
    def run(count: int) -> Outcome:
        logging.getLogger("isacblocks.stream").setLevel(logging.ERROR)  # that a compiler does not stop is expected here
        state, moments, outcome, times = STATES[name], random.Random(1), Outcome(), []
        for k in range(count):
            placement = state.placements[k % len(state.placements)]
            trial = stop_once(state, placement, moments)
            times.append(trial.stop)
            outcome.expect(trial.stop < LIMIT, f"{placement}: stop() took {trial.stop:.3f} s")
            outcome.expect(not trial.left, f"{placement}: left behind: {', '.join(trial.left)}")
        for share, word in ((0.5, "p50"), (0.99, "p99"), (1.0, "worst")):
            outcome.figures[f"{word} [s]"] = percentile(times, share)
        return outcome

    return run


CASES = tuple(
    Case(f"stop {name}", f"stop() while {name}: within a second, nothing left", _case(name), 6, 1000) for name in STATES
)
