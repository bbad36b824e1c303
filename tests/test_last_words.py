"""What a block says last, its final state and counts, reaches the program that stops it, however late it comes."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from typing import Any

import pytest
import zmq
from stream_blocks import Collect, Counter, Scale

from isacblocks.stream import Flowgraph, Source, State, control, ending
from isacblocks.stream.nursery_messages import receive, send
from isacblocks.stream.runner import Runner
from isacblocks.stream.worker import Worker

PATIENCE = 60.0  # seconds, against hanging
_DELAY = 1.0  # seconds: more than processes take to end


class Waits(Source):
    """Learns something in start(), which takes until somebody says so."""

    learned = State("float64")

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def start(self) -> None:
        self.learned = 7.0
        self.begun.set()
        assert self.go_on.wait(PATIENCE)

    def produce(self, first: int, count: int) -> None:
        return None


class Late:
    """The runner's socket, on which every report comes a while after it was sent."""

    def __init__(self, real: zmq.Socket[bytes]) -> None:
        self._real = real
        self._coming: deque[tuple[float, list[bytes]]] = deque()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def poll(self, timeout: int) -> bool:
        end = time.monotonic() + 1e-3 * timeout
        while True:
            while self._real.poll(0):
                self._coming.append((time.monotonic() + _DELAY, self._real.recv_multipart()))
            if self._coming and self._coming[0][0] <= time.monotonic():
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(1e-3)

    def recv_multipart(self) -> list[bytes]:
        return self._coming.popleft()[1]


def test_a_process_stays_until_its_last_report_has_been_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a busy machine the news of its end overtook the report."""
    monkeypatch.setattr(ending, "GRACE", PATIENCE)
    halt = Runner._halt

    def late(self: Runner) -> None:
        self._board.socket = Late(self._board.socket)  # type: ignore[assignment]
        halt(self)

    monkeypatch.setattr(Runner, "_halt", late)
    sink = Collect()
    fg = Flowgraph("late")
    fg.connect(Counter(), Scale(), sink)
    fg.start(placement="processes")
    while not (fg.status.phase == "running" and fg.status.blocks["collect"].items_in):
        assert not fg.wait(0.01)
    fg.stop()
    assert "did not answer" not in caplog.text
    assert [block.phase for block in fg.status.blocks.values()] == ["stopped"] * 3
    assert len(sink.numbers) == fg.status.blocks["collect"].items_in


def test_who_is_told_to_go_and_to_stop_at_once_answers() -> None:
    """The others may have run already: what start() has learned is the block's last state."""
    block = Waits()
    reports = []
    with zmq.Context() as context, context.socket(zmq.ROUTER) as there:
        there.linger = 0
        there.bind("inproc://there")
        worker = Worker(block, control.WorkerSpec("waits", "inproc://there", [], [], 1), context)
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        there.send_multipart([there.recv_multipart()[0], control.encode(control.Connect({}))])
        assert block.begun.wait(PATIENCE)
        for order in (control.Go(), control.Stop()):
            there.send_multipart([b"waits", control.encode(order)])
        block.go_on.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        while there.poll(0):
            reports.append(control.decode_report(there.recv_multipart()[1]))
    ready, last = reports
    assert isinstance(ready, control.Ready)
    assert isinstance(last, control.Finished)
    assert last.status.phase == "stopped"
    assert block.learned == 7.0
    assert last.state == worker._learned()


def test_a_program_that_ends_with_something_unread_is_gone_and_no_error() -> None:
    """The nursery's news of deaths may come when the program has closed its end: the system then says "reset"."""
    program, nursery = socket.socketpair()
    with nursery:
        send(nursery, b"a death")
        program.close()
        assert receive(nursery) is None
