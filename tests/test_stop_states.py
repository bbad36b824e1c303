"""stop() from every state: it comes back, and no process, socket, memory or descriptor is left; tools/chaos.py times it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT
from faults import stops

from isacblocks.stream import Flowgraph

PATIENCE = 300.0  # seconds for a program of its own
GENEROUS = 60.0  # seconds, against hanging; what is promised is measured on a quiet machine
PAIRS = [(name, placement) for name, state in stops.STATES.items() for placement in state.placements]


@pytest.mark.parametrize(("name", "placement"), PAIRS, ids=lambda value: value)
def test_stop_leaves_nothing(name: str, placement: str) -> None:
    trial = stops.stop_once(stops.STATES[name], placement, random.Random(f"{name} {placement}"), patience=GENEROUS)
    assert trial.left == []
    assert trial.stop < GENEROUS


def nothing_is_left(before: tuple[int, set[str]]) -> None:
    """Soon: the kernel ends the children of a killed process when it comes to it."""
    end = time.monotonic() + GENEROUS
    while (found := stops.left_behind(before)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not found


GONE = """
import sys, zmq
sys.path.insert(0, {root!r})
from isacblocks.stream import control
from isacblocks.stream.orders import Orders, StopError
context = zmq.Context()
runner = context.socket(zmq.ROUTER)
runner.bind("inproc://gone")
orders = Orders(context, "late", "inproc://gone", lambda change: None, lambda move: None)
orders.report(control.Ready())
runner.close(0)
try:
    while True:  # the news of the other end's close may come after the first ones
        orders.report(control.Ready())
except StopError:
    print("told to stop")
context.destroy(0)
"""


def test_a_worker_whose_runner_is_gone_does_not_wait_for_it() -> None:
    """A thread that was left behind in a long call has its report to send when nobody is there to take it."""
    program = [sys.executable, "-c", GONE.format(root=str(ROOT))]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout) == (0, "told to stop\n"), done.stderr


def test_stop_from_many_threads_at_once() -> None:
    with stops.place_of_its_own():
        before = stops.standing()
        fg = Flowgraph("many")
        fg.connect(stops.Make(), stops.Pass(), stops.Take())
        fg.start(placement="processes")
        stops._running(fg, random.Random(1))
        threads = [threading.Thread(target=fg.stop) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(GENEROUS)
        assert fg.wait(GENEROUS)
        assert fg.status.phase == "stopped"
        nothing_is_left(before)


def test_a_frozen_nursery_does_not_hold_up_the_end() -> None:
    with stops.place_of_its_own():
        before = stops.standing()
        fg = Flowgraph("nursery")
        fg.connect(stops.Make(), stops.Pass(), stops.Take())
        fg.start(placement="processes")
        stops._running(fg, random.Random(1))
        nurseries = [pid for pid, parent in stops.relatives().items() if parent == os.getpid()]
        assert len(nurseries) == 1
        os.kill(nurseries[0], signal.SIGSTOP)
        fg.stop()
        assert fg.wait(GENEROUS)
        nothing_is_left(before)


def test_a_start_that_fails_half_way_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may refuse a thread after others have begun."""
    real, begun = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if thread.name == "isacblocks take":
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        real(thread)

    with stops.place_of_its_own():
        before = stops.standing()
        fg = Flowgraph("refused")
        fg.connect(stops.Make(), stops.Pass(), stops.Take())
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            fg.start()
        monkeypatch.undo()
        for thread in begun:
            thread.join(GENEROUS)
        assert len(begun) == 2
        assert not any(thread.is_alive() for thread in begun)
        nothing_is_left(before)


ORPHAN = """
import sys, time
sys.path[:0] = [{tools!r}, {root!r}]
from faults import stops
from isacblocks.stream import Flowgraph
if __name__ == "__main__":
    fg = Flowgraph("orphans")
    fg.connect(stops.Make(), stops.Pass(), stops.Take())
    fg.start(placement="processes")
    while fg.status.phase != "running":
        time.sleep(0.01)
    print("running", flush=True)
    time.sleep(600)
"""


def test_the_search_for_what_is_left_sees_processes_whose_parents_are_dead(tmp_path: Path) -> None:
    """And everything else: a search that finds nothing must be able to find something."""
    path = tmp_path / "orphans.py"
    path.write_text(ORPHAN.format(tools=str(ROOT / "tools"), root=str(ROOT)))
    with stops.place_of_its_own():
        before = stops.standing()
        with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "running\n"
            pids = stops.relatives()
            assert len(pids) == 5  # the program, its nursery and three blocks
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)  # so that none tidies up behind another
            program.kill()
            program.wait(GENEROUS)
            with (Path(tempfile.gettempdir()) / "file").open("wb"):
                found = stops.left_behind(before)
                assert sum(line.startswith("process ") for line in found) == 4
                assert any("file descriptors" in line for line in found)
                assert any("isacblocks-run-" in line for line in found)
            for pid in pids:
                if pid != program.pid:
                    os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + GENEROUS
        while stops.relatives() and time.monotonic() < end:
            time.sleep(0.01)
        assert not stops.relatives()
