"""The threads of a flowgraph in one process: as many at work as there are cores, each at whatever block has something to do.

A thread for every block would be simpler, and slower: Python runs one of them at a time, and every message would wake a
thread for every block on its way, which costs more than the work of a small block. Here a thread that has done what there
was for one block goes on with the next one that has something to do, and only when there is none does it sleep.

Every block brings its thread into the crew, so that there are as many threads as blocks. At most `places` of them work,
unless one block takes long, waiting for a radio say: then another thread takes its place after a moment, so that nothing
that is ready waits for a block that waits.

Two threads that run Python get into each other's way: each call of a kernel gives the interpreter's lock away, and getting it
back means waking up. That costs some 200 us a message and block, more than a short turn takes. So only one thread at a time
takes short turns; long ones, which are nearly all kernels, run beside it.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

from isacblocks.stream.bell import Bell

_PATIENCE = 0.01  # seconds that something ready waits for a place before another thread takes it on
_LONGEST = 1.0  # seconds
_SHORT = 5e-4  # seconds of processor time: a turn that takes less gains nothing from a thread beside another
_FOLLOW = 0.1  # how fast what a turn takes is followed

_IDLE, _READY, _RUNNING, _AGAIN, _OVER = range(5)


class Turn(Bell):
    """A block's turns. run: set it before it is served; does what there is to do now, and returns the seconds after which it
    wants another turn, None where this was the last. It must not raise.

    To ring it is to say that there is something to do.
    """

    __slots__ = ("_crew", "cost", "due", "run", "since", "state")

    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self._crew = crew
        self.run: Callable[[], float | None] = lambda: None
        self.state = _OVER  # until it is served
        self.cost = 0.0  # seconds of processor time that a turn takes
        self.due = 0.0  # while idle: when it is to run at the latest; time.monotonic()
        self.since = 0.0  # while ready: since when

    @property
    def short(self) -> bool:
        """Whether its turns are short."""
        return self.cost < _SHORT

    def ring(self) -> None:
        """There is something to do; many rings are as one."""
        if self.state in (_IDLE, _RUNNING):  # asked again under the lock
            self._crew.call(self)


class Crew:
    """See the module. places: how many threads work at a time, by default as many as there are cores for this process."""

    def __init__(self, places: int | None = None) -> None:
        self.places = places or len(os.sched_getaffinity(0))
        self._lock = threading.Lock()  # of all below and of the turns' states
        self._turns: list[Turn] = []
        self._ready: deque[Turn] = deque()
        self._working = 0
        self._short = 0  # threads at a short turn
        self._due = 0.0  # no idle turn is due before
        # Who sleeps. Only the first one looks at the time; who went to sleep last is woken first.
        self._beds: list[threading.Lock] = []
        self._watcher: threading.Lock | None = None  # the first one's

    def serve(self, turn: Turn) -> None:
        """Bring a block, and this thread, in; return when the block has had its last turn."""
        bed = threading.Lock()
        bed.acquire()
        with self._lock:
            turn.state = _IDLE
            self._turns.append(turn)
        self.call(turn)
        while (current := self._next(turn, bed)) is not None:
            short, began = current.short, time.thread_time()
            wait = current.run()
            self._back(current, wait, time.thread_time() - began, short)

    def call(self, turn: Turn) -> None:
        """A turn has something to do."""
        with self._lock:
            bed = None
            if turn.state == _RUNNING:
                turn.state = _AGAIN
            elif turn.state == _IDLE:
                self._make_ready(turn, time.monotonic())
                bed = self._helper()
        if bed is not None:
            bed.release()

    def wanted(self) -> bool:
        """Whether another block has something to do and waits for a thread."""
        return bool(self._ready)

    def _make_ready(self, turn: Turn, now: float) -> None:
        turn.state = _READY
        turn.since = now
        self._ready.append(turn)

    def _next(self, mine: Turn, bed: threading.Lock) -> Turn | None:
        """The next turn to take, as soon as there is one and a place; None where `mine` is over."""
        while True:
            with self._lock:
                if self._watcher is bed:
                    self._watcher = None
                if mine.state == _OVER:
                    return None
                now = time.monotonic()
                if now >= self._due:
                    self._call_due(now)
                turn = self._choose(now)
                if turn is not None:
                    return self._take(turn)
                timeout = _PATIENCE if self._ready or self._working >= self.places else self._due - now
                if self._watcher is None:
                    self._watcher = bed
                    self._beds.insert(0, bed)
                else:
                    self._beds.append(bed)
                    timeout = -1
            if not bed.acquire(timeout=min(timeout, _LONGEST)):
                with self._lock:
                    if bed in self._beds:
                        self._beds.remove(bed)
                    else:  # called while its time ran out
                        bed.acquire()

    # The lock is held in all that follows but _back

    def _choose(self, now: float) -> Turn | None:
        """The turn to take: the one that has been ready for the longest time of those that may be taken now."""
        if not self._ready:
            return None
        if now - self._ready[0].since > _PATIENCE:
            return self._ready[0]
        if self._working >= self.places:
            return None
        if not self._short:
            return self._ready[0]
        return next((turn for turn in self._ready if not turn.short), None)

    def _helper(self) -> threading.Lock | None:
        """Who is to be woken for what is ready."""
        if not self._beds or self._choose(0.0) is None:
            return None
        return self._beds.pop()

    def _take(self, turn: Turn) -> Turn:
        self._ready.remove(turn)
        turn.state = _RUNNING
        self._working += 1
        self._short += turn.short
        bed = self._helper()
        if bed is None and self._watcher is None and self._beds:  # it was this thread: another one has to look at the time
            bed = self._beds.pop(0)
        if bed is not None:
            bed.release()
        return turn

    def _call_due(self, now: float) -> None:
        """Turns whose time has come are ready."""
        self._due = now + _LONGEST
        for turn in self._turns:
            if turn.state == _IDLE:
                if turn.due <= now:
                    self._make_ready(turn, now)
                else:
                    self._due = min(self._due, turn.due)

    def _back(self, turn: Turn, wait: float | None, took: float, short: bool) -> None:
        """A turn has been taken. took: seconds of processor time; short: whether it was counted as short."""
        beds: list[threading.Lock] = []
        with self._lock:
            self._working -= 1
            self._short -= short
            turn.cost += _FOLLOW * (took - turn.cost)
            if wait is None:
                turn.state = _OVER
                self._turns.remove(turn)
                beds, self._beds = self._beds, []
            else:
                now = time.monotonic()
                if turn.state == _AGAIN or wait <= 0.0:
                    self._make_ready(turn, now)
                else:
                    turn.state = _IDLE
                    turn.due = now + wait
                    self._due = min(self._due, turn.due)
        for bed in beds:  # one of them may be the block's own
            bed.release()
