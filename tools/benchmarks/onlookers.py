"""A flowgraph that runs with somebody who looks on, or nobody, and is measured a slice of time at a time.

Between its slices it is paused, and who looks on is stopped (SIGSTOP): several of them can take turns on one machine.
"""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.viewed import flowgraph
from isacblocks import OfdmRadar, Scene
from isacblocks.stream import Source
from isacblocks.view.client import NearClient
from isacblocks.view.dashboard import Dashboard
from isacblocks.view.feed import Feed
from isacblocks.view.live import LiveView
from isacblocks.view.radar_desk import RadarDesk
from isacblocks.view.shown import watch_all

FIGURES = ("map_before", "map_after", "plane", "error", "phases", "plan", "detection", "gains", "speed", "wiring")
_CLOCK_OF_A_PROCESS = 2  # clock_getcpuclockid(3) makes a clock's number of it and the process's
_SETTLED = 0.2  # seconds of a slice before what is measured
_LOOK = 0.1  # seconds between two calls of a view, as Flowgraph.run makes them
_PATIENCE = 30.0  # seconds for which a view's server may do nothing at all on a machine with much else to do
_LOADED = 1.5  # seconds until a server that has been looked at has loaded what it needs to draw


def cpu_seconds(pid: int) -> float:
    """What a process has used of a core since its start, to the nanosecond: /proc tells hundredths of a second."""
    return time.clock_gettime((~pid << 3) | _CLOCK_OF_A_PROCESS)


class Run:
    """One flowgraph. manner: None for nobody, "reads" and "stalls" for a viewer in the place of a browser, "table" for the
    table on a terminal. Enter it: the flowgraph then runs, and waits for its first slice.
    """

    def __init__(self, manner: str | None, placement: str) -> None:
        self.manner, self.placement = manner, placement
        self.fg, self.live, _ = flowgraph(manner in ("reads", "stalls"))
        self._stack = contextlib.ExitStack()
        self._processes: list[int] = []
        self._dashboard: Dashboard | None = None

    def __enter__(self) -> Run:
        if self.live is not None:
            self._stack.enter_context(self.live)
            self._processes.append(self._stack.enter_context(_viewer(str(self.manner), self.live)))
            assert self.live.server_pid is not None
            self._processes.append(self.live.server_pid)
        if self.manner == "table":
            desk = RadarDesk(self.fg, OfdmRadar(), Scene())
            watch_all(desk, self.fg, frames=False)
            self._stack.enter_context(desk)
            self._dashboard = self._stack.enter_context(_dashboard(desk))
        self._stack.enter_context(self.fg)
        self.fg.start(placement=self.placement)
        while self.fg.status.phase == "starting":
            time.sleep(0.01)
        time.sleep(_LOADED)
        self._rest()
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._processes:
            os.kill(pid, signal.SIGCONT)
        self._stack.close()

    def _rest(self) -> None:
        self._pause(True)
        for pid in self._processes:
            os.kill(pid, signal.SIGSTOP)

    def _pause(self, paused: bool) -> None:
        for block in self.fg.blocks.values():
            if isinstance(block, Source):
                block.paused = paused

    def _wait(self, seconds: float) -> None:
        """As Flowgraph.run waits."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK))
            if self._dashboard is not None:
                self._dashboard(self.fg.status)

    def slice(self, seconds: float) -> tuple[float, float]:
        """Frames/s over so many seconds, and the server's share of a core.

        A slice with a reading viewer goes on until the server has done something: before that, nobody has been served.
        """
        for pid in self._processes:
            os.kill(pid, signal.SIGCONT)
        self._pause(False)
        self._wait(_SETTLED)
        before, used, began = self.fg.status.blocks["evaluation"], self._server_used(), time.monotonic()
        self._wait(seconds)
        while self.manner == "reads" and self._server_used() == used:
            if time.monotonic() - began > _PATIENCE:
                raise RuntimeError(f"the view's server has done nothing for {_PATIENCE:.0f} s, though a viewer reads")
            self._wait(_LOOK)
        after, spent = self.fg.status.blocks["evaluation"], self._server_used() - used
        lasted = time.monotonic() - began
        self._rest()
        took = after.wall_seconds - before.wall_seconds  # each when it was told
        return (after.items_in - before.items_in) / took, spent / lasted

    def _server_used(self) -> float:
        server = None if self.live is None else self.live.server_pid
        return 0.0 if server is None else cpu_seconds(server)


@contextlib.contextmanager
def _viewer(manner: str, live: LiveView) -> Iterator[int]:
    """Somebody looks on, with all pictures in sight; its process id."""
    program = str(Path(__file__).with_name("viewer.py"))
    with subprocess.Popen(
        [sys.executable, program, manner, live.url, *FIGURES], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the viewer ended with status {process.wait()}")
        yield process.pid
        process.stdin.close()


@contextlib.contextmanager
def _dashboard(desk: RadarDesk) -> Iterator[Dashboard]:
    """The table, on a terminal of its own that takes all that comes."""
    master, slave = pty.openpty()
    threading.Thread(target=_drain, args=(master,), daemon=True).start()
    kept = os.dup(2)
    os.dup2(slave, 2)
    try:
        with Dashboard(Feed(NearClient(desk)), None, "evaluation") as made:
            yield made
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(slave)


def _drain(master: int) -> None:
    with contextlib.suppress(OSError):  # nobody has the other end any more
        while os.read(master, 65536):
            pass
    os.close(master)
