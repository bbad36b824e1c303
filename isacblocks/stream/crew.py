"""The threads of a flowgraph in one process: as many at work as there are cores, each at whatever block has something to do.

A thread for every block would be simpler, and slower: Python runs one of them at a time, and every message would wake a
thread for every block on its way, which costs more than the work of a small block. Here a thread that has done what there
was for one block goes on with the next one that has something to do, and only when there is none does it sleep.

Every block brings its thread into the crew, so that there are as many threads as blocks. At most `places` of them work,
unless one block takes long, waiting for a radio say: then another thread takes its place after a moment, so that nothing
that is ready waits for a block that waits.

Two threads that run Python get into each other's way: each call of a kernel gives the interpreter's lock away, and getting
it back means waking up. That costs some 200 us a message and block, more than a short turn takes. So only one thread at a
time takes short turns; long ones, which are nearly all kernels, run beside it, and so do those that mostly wait.
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
_LONG_TURN = 1e-3  # seconds of processor time: a turn that takes less gains nothing from a thread beside another
_WAITING = 1e-3  # seconds without the processor: a turn that has more of them than of work needs no place
_FOLLOW = 0.1  # how fast what a turn takes is followed

_SHORT, _LONG, _WAITS = range(3)
_IDLE, _READY, _RUNNING, _AGAIN, _OVER = range(5)


class Turn(Bell):
    """A block's turns. run: set it before it is served; does what there is to do now, and returns the seconds after which it
    wants another turn, None where this was the last. It must not raise.

    To ring it is to say that there is something to do.
    """

    __slots__ = ("_crew", "_entered", "began", "cost", "due", "kind", "place", "run", "since", "spent", "state", "wasted")

    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self._crew = crew
        self.run: Callable[[], float | None] = lambda: None
        self.state = _OVER  # until it is served
        self.kind = _SHORT
        self.cost = self.wasted = 0.0  # seconds of processor time that a turn takes, seconds that it waits
        self.due = 0.0  # while idle: when it is to run at the latest; time.monotonic()
        self.since = 0.0  # while ready: since when
        self.began = 0.0  # while running: since when, and as one of which kind
        self.place = _SHORT
        self.spent = 0.0  # seconds of processor time in all turns, and in finding the one that came after each of them
        self._entered = 0.0  # while running: the thread's processor time when what is not yet in `spent` began

    def cpu_seconds(self) -> float:
        """Processor time spent up to now; asked from within a turn."""
        return self.spent + time.thread_time() - self._entered

    def enter(self, cpu: float) -> None:
        """A turn begins at this processor time of its thread."""
        self._entered = cpu

    def took(self, wall: float, work: float) -> None:
        """A turn took so many seconds, and so many of processor time."""
        self.spent += work
        self.cost += _FOLLOW * (work - self.cost)
        self.wasted += _FOLLOW * (wall - work - self.wasted)
        if self.wasted > _WAITING and self.wasted > self.cost:
            self.kind = _WAITS
        else:
            self.kind = _LONG if self.cost > _LONG_TURN else _SHORT

    def ring(self) -> None:
        """There is something to do; many rings are as one."""
        if self.state in (_IDLE, _RUNNING):  # asked again under the lock
            self._crew.call(self)


class Crew:
    """See the module. places: how many threads work at a time, by default as many as there are cores for this process."""

    def __init__(self, places: int | None = None) -> None:
        self.places = places or len(os.sched_getaffinity(0))
        self.over = False  # set from any thread: who is at work stops by itself, without waiting to be told
        self._patience, self._longest = _PATIENCE, _LONGEST
        self._lock = threading.Lock()  # of all below and of the turns' states
        self._turns: list[Turn] = []
        self._ready: deque[Turn] = deque()
        self._at = [0, 0, 0]  # threads at turns of every kind
        self._due = 0.0  # no idle turn is due before
        # Who sleeps. Only the first one looks at the time; who went to sleep last is woken first.
        self._beds: list[threading.Lock] = []
        self._watcher: threading.Lock | None = None  # the first one's
        self._watched_until = 0.0

    def serve(self, turn: Turn) -> None:
        """Bring a block, and this thread, in; return when the block has had its last turn."""
        bed = threading.Lock()
        bed.acquire()
        with self._lock:
            turn.state = _IDLE
            self._turns.append(turn)
        self.call(turn)
        cpu = time.thread_time()
        current = self._next(turn, bed)
        while current is not None:
            current.enter(cpu)
            wait = current.run()
            before, cpu = cpu, time.thread_time()
            current = self._back(current, wait, cpu - before, turn) or self._next(turn, bed)

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
                    self._pass_watch(None)
                    return None
                now = time.monotonic()
                if now >= self._due:
                    self._call_due(now)
                turn = self._choose(now)
                if turn is not None:
                    return self._take(turn, now)
                timeout = self._lie_down(bed, now)
            if not bed.acquire(timeout=timeout):
                with self._lock:
                    if bed in self._beds:
                        self._beds.remove(bed)
                    else:  # called while its time ran out
                        bed.acquire()

    # The lock is held in all that follows but _back, which takes it

    def _lie_down(self, bed: threading.Lock, now: float) -> float:
        """Among those who sleep; for how long, -1 where another one looks at the time."""
        until = min(self._due, now + (self._patience if self._ready or not self._place() else self._longest))
        if self._watcher is not None and self._watched_until <= until:
            self._beds.append(bed)
            return -1
        self._watcher, self._watched_until = bed, until
        self._beds.insert(0, bed)
        return max(until - now, 0.0)

    def _place(self) -> bool:
        """Whether one more may work."""
        return self._at[_SHORT] + self._at[_LONG] < self.places

    def _choose(self, now: float) -> Turn | None:
        """The turn to take: the one that has been ready for the longest time of those that may be taken now."""
        if not self._ready:
            return None
        if now - self._ready[0].since > self._patience:
            return self._ready[0]
        for turn in self._ready:
            if turn.kind == _WAITS or (self._place() and (turn.kind == _LONG or not self._at[_SHORT])):
                return turn
        return None

    def _helper(self) -> threading.Lock | None:
        """Who is to be woken for what is ready."""
        if not self._beds or not self._ready or self._choose(0.0) is None:
            return None
        return self._beds.pop()

    def _take(self, turn: Turn, now: float) -> Turn:
        self._ready.remove(turn)
        turn.state = _RUNNING
        turn.began, turn.place = now, turn.kind
        self._at[turn.place] += 1
        if self._beds:
            self._pass_watch(self._helper())
        return turn

    def _pass_watch(self, helper: threading.Lock | None) -> None:
        """This thread does not look at the time any more: if nobody does, one of those who sleep has to.

        helper: who is woken in any case, and sees to it.
        """
        if helper is None and self._watcher is None and self._beds:
            helper = self._beds.pop(0)
        if helper is not None:
            helper.release()

    def _call_due(self, now: float) -> None:
        """Turns whose time has come are ready."""
        self._due = now + self._longest
        for turn in self._turns:
            if turn.state == _IDLE:
                if turn.due <= now:
                    self._make_ready(turn, now)
                else:
                    self._due = min(self._due, turn.due)

    def _back(self, turn: Turn, wait: float | None, work: float, mine: Turn) -> Turn | None:
        """A turn has been taken; the next one, where there is one to be taken at once and `mine` is not over.

        work: seconds of processor time.
        """
        with self._lock:
            now = time.monotonic()
            self._at[turn.place] -= 1
            turn.took(now - turn.began, work)
            if wait is None:
                turn.state = _OVER
                self._turns.remove(turn)
                beds, self._beds = self._beds, []
            else:
                beds = []
                if turn.state == _AGAIN or wait <= 0.0:
                    self._make_ready(turn, now)
                else:
                    turn.state = _IDLE
                    turn.due = now + wait
                    self._due = min(self._due, turn.due)
                if mine.state != _OVER and now < self._due and (chosen := self._choose(now)) is not None:
                    return self._take(chosen, now)
        for bed in beds:  # one of them may be the block's own
            bed.release()
        return None
