"""A block that is stopped (SIGSTOP): it is noticed, memory stays bounded, and the stream goes on where it was."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest
from stream_blocks import Collect, Counter, HeldCounter, Scale, Trouble

from isacblocks.stream import Flowgraph, Restart
from isacblocks.stream.silence import PATIENCE, Silence, is_stopped

WAIT = 60  # seconds until a test gives up


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def running(items: int | None, restart: Restart | None = None) -> tuple[Flowgraph, Collect, HeldCounter]:
    """One that does not come to its end before `held` is moved on."""
    source, sink = HeldCounter(pause=0.001), Collect()
    source.batch, source.held = 4, 3200
    fg = Flowgraph("frozen")
    fg.connect(source, Scale(), sink, depth=8)
    fg.start(items, placement="processes", restart=restart)
    wait_until(lambda: fg.status.blocks["collect"].items_in > 100)
    wait_until(lambda: all(block.process for block in fg.status.blocks.values()))
    return fg, sink, source


def phase(fg: Flowgraph, block: str) -> str:
    return fg.status.blocks[block].phase


@pytest.mark.parametrize("restart", [None, Restart()], ids=["stop", "restart"])
@pytest.mark.parametrize("victim", ["counter", "scale", "collect"])
def test_a_frozen_block_is_noticed_and_goes_on(victim: str, restart: Restart | None) -> None:
    fg, sink, source = running(4000, restart)
    process = fg.status.blocks[victim].process
    os.kill(process, signal.SIGSTOP)
    try:
        wait_until(lambda: phase(fg, victim) == "frozen")
        time.sleep(0.5)
        assert fg.status.phase == "running"
        for edge in fg.status.edges:  # what is on its way is what the credit allows, however long it lasts
            assert edge.in_flight <= 8 * 4, edge
    finally:
        os.kill(process, signal.SIGCONT)
    wait_until(lambda: phase(fg, victim) == "running")
    source.held = 4000
    assert fg.wait(WAIT)
    assert fg.status.phase == "finished"
    assert sink.numbers == list(range(4000))
    assert all(edge.balanced and edge.lost == edge.in_flight == 0 for edge in fg.status.edges)


def test_one_that_is_frozen_can_be_killed_and_replaced() -> None:
    fg, sink, source = running(4000, Restart())
    process = fg.status.blocks["scale"].process
    os.kill(process, signal.SIGSTOP)
    wait_until(lambda: phase(fg, "scale") == "frozen")
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: fg.status.blocks["scale"].restarts == 1)
    source.held = 4000
    assert fg.wait(WAIT)
    assert fg.status.phase == "finished"
    assert fg.status.blocks["scale"].restarts == 1
    assert sink.numbers == list(range(4000))


@pytest.mark.parametrize("placement", ["threads", "processes"])
def test_a_long_call_is_silent_and_not_frozen(placement: str) -> None:
    source = Counter()
    source.batch = 16
    fg = Flowgraph("long")
    fg.connect(source, Trouble("sleep", at=100), Collect())
    fg.start(400, placement=placement)
    wait_until(lambda: (phase(fg, "trouble"), phase(fg, "collect")) == ("silent", "running"))
    wait_until(lambda: phase(fg, "trouble") != "silent")
    assert fg.wait(WAIT)
    assert fg.status.phase == "finished"


def test_a_program_that_was_away_itself_blames_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    silence = Silence()
    silence.heard("a", 1)
    now += 10 * PATIENCE  # stopped and continued, with all blocks
    assert silence.look({"a": "running"}) == {}
    for _ in range(10):
        now += PATIENCE / 4
        found = silence.look({"a": "running"})
    assert found == {"a": "silent"}
    silence.heard("a", 1)
    assert silence.look({"a": "silent"}) == {}


def test_whether_a_process_is_stopped() -> None:
    assert not is_stopped(os.getpid())
    assert not is_stopped(2**22 + 1)
