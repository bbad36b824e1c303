"""A wait that Ctrl-C cuts off at whatever point leaves behind what can be waited for and set again."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import Any

import pytest
from stream_blocks import Collect, Counter

from isacblocks.stream import Flowgraph
from isacblocks.stream.mark import Mark

_LONG = 60.0  # seconds: against hanging only


class Cut(BaseException):
    """What a signal's handler raises."""


def cut_at(step: int, work: Any, *names: str) -> bool:
    """Do `work` and raise Cut before its `step`-th instruction in one of these files; True where it came to that."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.endswith(names):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += 1
            if count == step:
                raise Cut
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Cut:
        return True
    finally:
        sys.settrace(before)
    return False


def does(work: Any) -> bool:
    """Whether it comes to an end, in a thread of its own."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_LONG)
    return not thread.is_alive()


def test_a_wait_cut_off_anywhere_leaves_a_mark_that_can_be_set_and_waited_for() -> None:
    steps = 1
    while True:
        mark = Mark()
        cut = cut_at(steps, lambda mark=mark: mark.wait(0.001), "mark.py")
        if not cut:
            break
        assert not mark.is_set()
        assert does(mark.set)
        assert does(mark.wait), steps
        assert mark.wait(0.0)
        steps += 1
    assert steps > 20


def test_a_set_mark_lets_all_who_wait_go_on_though_one_of_them_is_cut_off() -> None:
    steps = 1
    while True:
        mark = Mark()
        mark.set()
        if not cut_at(steps, lambda mark=mark: mark.wait(None), "mark.py"):
            break
        assert does(mark.wait), steps
        assert does(mark.set), steps
        steps += 1
    other = Mark()
    waiting = [threading.Thread(target=other.wait, daemon=True) for _ in range(3)]
    for one in waiting:
        one.start()
    other.set()
    other.set()
    for one in waiting:
        one.join(_LONG)
        assert not one.is_alive()


def test_a_mark_that_nobody_sets_is_waited_for_as_long_as_was_said() -> None:
    mark = Mark()
    assert not mark.wait(0.01)
    assert not mark.wait(0.0)


@pytest.mark.parametrize("part", range(4))
def test_a_flowgraph_that_was_waited_for_can_be_stopped_wherever_the_wait_was_cut_off(part: int) -> None:
    """Also in the standard library's own waits: what is traced is what the wait runs through, in Python."""
    step = part + 1
    while True:
        fg = Flowgraph("cut")
        fg.connect(Counter(), Collect())
        fg.start()
        cut = cut_at(step, lambda fg=fg: fg.wait(0.001), "mark.py", "threading.py", "runner.py", "flowgraph.py")
        assert does(fg.stop), step
        assert fg.wait(_LONG)
        if not cut:
            break
        step += 4
