"""Flowgraphs over every placement: same results, exact feedback, joins, policies, changes while running."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from stream_blocks import (
    Collect,
    Counter,
    EveryThird,
    HeldCounter,
    Join,
    Leaky,
    Mixer,
    Pairs,
    Running,
    Scale,
    Trouble,
    Watcher,
)

from isacblocks.stream import Flowgraph, Status, WiringError
from isacblocks.stream.task import grown_batch


def balanced(status: Status, lost: int | None = 0) -> None:
    """Every edge in balance, nothing on its way any more, and `lost` items dropped in all (None: any number)."""
    assert status.phase == "finished"
    assert status.edges
    for edge in status.edges:
        assert edge.balanced, edge
        assert edge.in_flight == 0, edge
    if lost is not None:
        assert sum(edge.lost for edge in status.edges) == lost


def loop(items: int, lag: int, placement: str, batch: int = 4) -> tuple[Collect, Mixer, Leaky, Status]:
    source, mixer, leaky, sink = Counter(), Mixer(), Leaky(), Collect()
    source.batch = batch
    fg = Flowgraph("loop")
    fg.connect(source, mixer, leaky)
    fg.connect(mixer, sink)
    fg.feedback(leaky.total, mixer.back, lag=lag)
    return sink, mixer, leaky, fg.run(items, placement=placement)


def by_hand(items: int, lag: int, batch: int = 4) -> tuple[list[float], float]:
    """The same loop in plain Python: what came of message n is in force from message n + lag on."""
    memory, held = 0.0, 0.0
    said: list[float] = []
    out: list[float] = []
    for message, first in enumerate(range(0, items, batch)):
        if message >= lag:
            held = said[message - lag]
        values = [k + 0.5 * held for k in range(first, min(first + batch, items))]
        for value in values:
            memory = 0.9 * memory + math.sin(value)
        said.append(memory)
        out += values
    return out, memory


@pytest.mark.parametrize("lag", [1, 2, 5])
def test_feedback_is_in_force_exactly_lag_messages_later(placement: str, lag: int) -> None:
    sink, mixer, leaky, status = loop(203, lag, placement)
    values, memory = by_hand(203, lag)
    np.testing.assert_allclose(sink.values, values, rtol=1e-12)
    assert leaky.memory[0] == pytest.approx(memory, rel=1e-12)
    assert mixer.heard == [[n, n - lag] for n in range(lag, 51)]
    assert sink.numbers == list(range(203))
    balanced(status)
    books = {(e.sender, e.receiver): e.produced for e in status.edges}
    assert books == {
        ("counter.number", "mixer.number"): 203,
        ("mixer.mixed", "leaky.number"): 203,
        ("mixer.mixed", "collect.number"): 203,
        ("leaky.total", "mixer.back"): 51,
    }


def test_the_same_bits_in_every_placement() -> None:
    runs = {place: loop(500, 3, place)[:3] for place in ("threads", "processes", "tcp")}
    reference = runs["threads"]
    for sink, mixer, leaky in runs.values():
        assert sink.values == reference[0].values
        assert mixer.heard == reference[1].heard
        assert leaky.memory.tobytes() == reference[2].memory.tobytes()


def test_the_latest_feedback_is_taken_where_no_lag_is_asked_for(placement: str) -> None:
    source, mixer, leaky, sink = Counter(), Mixer(), Leaky(), Collect()
    fg = Flowgraph("live")
    fg.connect(source, mixer, leaky)
    fg.connect(mixer, sink)
    fg.feedback(leaky.total, mixer.back, lag=None)
    status = fg.run(2000, placement=placement)
    balanced(status, lost=None)
    assert mixer.heard
    came = [came for _, came in mixer.heard]
    assert came == sorted(came)
    assert all(came < now for now, came in mixer.heard)
    assert sink.numbers == list(range(2000))


def test_streams_are_joined_by_message_number(placement: str) -> None:
    source, near, far, farther, join, sink = Counter(), Scale(), Scale(), Scale(), Join(), Collect()
    near.factor, far.factor, farther.factor = 1.0, 0.5, 2.0
    fg = Flowgraph("diamond")
    fg.connect(source, near, join.left)
    fg.connect(source, far, farther, join.right)
    fg.connect(join, sink)
    status = fg.run(301, placement=placement)
    balanced(status)
    assert (join.joined, join.worst) == (301, 0.0)
    assert sink.values == [0.0] * 301


def test_what_has_no_partner_behind_a_lossy_link_is_dropped_and_counted(placement: str) -> None:
    source, slow, join = Counter(pause=0.002), Collect(pause=0.02), Join()
    near, far = Scale(), Scale()
    source.batch = 2
    fg = Flowgraph("lossy")
    fg.connect(source, near)
    fg.connect(near, far, policy="drop-oldest", depth=1)
    fg.connect(far, join.left)
    fg.connect(near, join.right)
    fg.connect(far, slow, depth=1)  # holds far up, so that it misses messages
    status = fg.run(300, placement=placement)
    balanced(status, lost=None)
    books = {e.receiver: e for e in status.edges}
    missed = books["scale_2.number"].lost
    assert missed > 0
    assert books["join.right"].dropped == {"unmatched": missed}
    assert join.joined == 300 - missed
    assert slow.numbers == sorted(set(slow.numbers))
    assert len(slow.numbers) == 300 - missed


def test_feedback_behind_a_lossy_link_belongs_to_the_messages_that_came(placement: str) -> None:
    """The loop sees some of the messages only; what each of them leads to is in force `lag` numbers later, not before."""
    source, slow, mixer, leaky, sink = Counter(pause=0.002), Collect(pause=0.02), Mixer(), Leaky(), Collect()
    source.batch = 2
    fg = Flowgraph("lossy loop")
    fg.connect(source, mixer.number, policy="drop-oldest", depth=1)
    fg.connect(mixer, leaky)
    fg.connect(mixer, sink)
    fg.connect(mixer, slow, depth=1)
    fg.feedback(leaky.total, mixer.back, lag=3)
    status = fg.run(400, placement=placement)
    balanced(status, lost=None)
    messages = sorted({number // 2 for number in sink.numbers})
    assert 5 < len(messages) < 200
    expected, last = [], -1
    for number in messages:
        due = [m for m in messages if last < m <= number - 3]
        if due:
            last = due[-1]
            expected.append([number, last])
    assert mixer.heard == expected


def test_a_lossy_link_inside_a_loop_with_a_lag_is_refused() -> None:
    mixer, leaky, sink = Mixer(), Leaky(), Collect()
    fg = Flowgraph("stuck")
    fg.connect(Counter(), mixer)
    fg.connect(mixer, leaky, policy="latest")
    fg.connect(leaky, sink)
    fg.feedback(leaky.total, mixer.back, lag=2)
    with pytest.raises(WiringError, match=r"mixer\.mixed to leaky\.number is 'latest' and lies inside the loop"):
        fg.run(10)


@pytest.mark.parametrize("policy", ["drop-oldest", "latest"])
def test_a_slow_receiver_behind_a_lossy_link_does_not_hold_up_the_others(placement: str, policy: str) -> None:
    source, quick, slow = Counter(), Collect(), Collect(pause=0.05)
    fg = Flowgraph("lossy")
    fg.connect(source, quick)
    fg.connect(source, slow, policy=policy, depth=2)
    status = fg.run(4000, placement=placement)
    balanced(status, lost=None)
    assert len(quick.values) == 4000
    edge = next(e for e in status.edges if e.receiver == "collect_2.number")
    assert edge.lost + len(slow.values) == 4000
    assert edge.lost > 2000
    assert edge.dropped.keys() == {"superseded" if policy == "latest" else "overflow"}
    assert slow.numbers == sorted(slow.numbers)
    assert slow.values == [float(k) for k in slow.numbers]


def test_who_looks_now_and_then_sees_the_newest_though_the_stream_rests(placement: str) -> None:
    source, every, some = Counter(), Collect(), Scale()
    source.batch = 1
    fg = Flowgraph("now and then")
    fg.connect(source, every)
    fg.connect(source, some, policy="latest", interval=0.3)
    with fg:
        fg.start(placement=placement)
        end = time.monotonic() + 60
        while fg.status.blocks["scale"].messages < 3 and time.monotonic() < end:
            fg.wait(0.02)
        source.paused = True
        while time.monotonic() < end:
            fg.wait(0.15)
            there = fg.status.blocks
            made = there["counter"].items_out - 1
            if made == there["collect"].items_in - 1 == there["scale"].readings["last"]:
                break
        assert made == there["scale"].readings["last"] > 10
        assert there["scale"].messages <= there["scale"].wall_seconds / 0.3 + 2
    with pytest.raises(WiringError, match="interval must be a number of seconds, and is for policy 'latest' alone"):
        fg.connect(source, Scale(), interval=0.1)


def test_who_wants_a_message_now_and_then_gets_all_of_them_once_it_says_so(placement: str) -> None:
    source, every, watcher = Counter(), Collect(), Watcher()
    source.batch, source.rate = 4, 8000.0
    fg = Flowgraph("seldom")
    fg.connect(source, every)
    fg.connect(source, watcher, policy="drop-oldest", depth=1 << 20)
    with fg:
        fg.start(placement=placement)
        end = time.monotonic() + 60
        there = fg.status.blocks
        while (there["collect"].items_in < 1000 or not there["watcher"].messages) and time.monotonic() < end:
            fg.wait(0.02)
            there = fg.status.blocks
        assert there["watcher"].messages == 1
        watcher.eager = True
        while fg.status.blocks["watcher"].messages < 300 and time.monotonic() < end:
            fg.wait(0.02)
        fg.stop()
    edge = next(e for e in fg.status.edges if e.receiver == "watcher.number")
    assert edge.balanced
    assert edge.dropped.keys() == {"superseded"}  # the queue of drop-oldest never ran over
    first, missed = watcher.numbers[4], edge.dropped["superseded"]
    assert 900 < missed == first - 4
    assert watcher.numbers == [0, 1, 2, 3, *range(first, first + len(watcher.numbers) - 4)]
    assert len(watcher.numbers) >= 1200


def test_a_slow_receiver_behind_a_block_link_slows_the_source(placement: str) -> None:
    source, slow = Counter(), Collect(pause=0.05)
    source.batch = 16
    fg = Flowgraph("patient")
    fg.connect(source, slow, depth=2)
    fg.start(10_000, placement=placement)
    end = time.monotonic() + 30
    while not any(edge.produced for edge in fg.status.edges) and time.monotonic() < end:
        fg.wait(0.02)
    fg.wait(0.3)
    produced = [e.produced for e in fg.status.edges]
    fg.stop()
    assert 0 < produced[0] < 10_000
    balance = fg.status.edges[0]
    assert balance.balanced
    assert balance.in_flight <= 2 * 16


def test_messages_without_items_keep_the_clock_going(placement: str) -> None:
    """A loop through a block that is silent two times out of three does not wait for ever."""
    source, mixer, some, sink = Counter(), Mixer(), EveryThird(), Collect()
    source.batch = 4
    fg = Flowgraph("silent")
    fg.connect(source, mixer, some)
    fg.connect(mixer, sink)
    fg.feedback(some.some, mixer.back, lag=1)
    balanced(fg.run(100, placement=placement))
    assert mixer.heard == [[n, n - 1] for n in range(1, 25)]


def test_feedback_that_arrives_with_a_silent_message_is_kept(placement: str) -> None:
    """The mixer gets items every third message only; what came back meanwhile is in force at its next items."""
    source, some, mixer, leaky, sink = Counter(), EveryThird(), Mixer(), Leaky(), Collect()
    source.batch = 4
    fg = Flowgraph("silent data")
    fg.connect(source, some, mixer, leaky)
    fg.connect(mixer, sink)
    fg.feedback(leaky.total, mixer.back, lag=1)
    balanced(fg.run(96, placement=placement))
    assert mixer.heard == [[n, n - 3] for n in range(3, 24, 3)]
    memory, expected = 0.0, []
    for n in range(0, 24, 3):
        value = 4.0 * n + 0.5 * memory
        expected.append(value)
        memory = 0.9 * memory + math.sin(value)
    np.testing.assert_allclose(sink.values, expected, rtol=1e-12)


def test_a_block_may_go_on_using_what_it_has_sent(placement: str) -> None:
    """Small arrays are copied when they are given away: a running sum in one array does not change what was sent."""
    source, running, sink = Counter(), Running(), Collect()
    source.batch = 1
    fg = Flowgraph("own memory")
    fg.connect(source, running, sink)
    fg.run(200, placement=placement)
    np.testing.assert_array_equal(sink.values, np.cumsum(np.arange(200.0)))


def test_a_source_that_ends_by_itself(placement: str) -> None:
    for end, limit, expected in ((37, None, 37), (37, 1000, 37), (37, 20, 20), (0, None, 0)):
        source, sink = Counter(end=end), Collect()
        fg = Flowgraph("short")
        fg.connect(source, sink)
        balanced(fg.run(limit, placement=placement))
        assert sink.numbers == list(range(expected))
        assert sink.finished == 1


def test_more_fields_than_wanted_are_no_obstacle(placement: str) -> None:
    source, pairs, sink = Counter(), Pairs(), Collect()
    fg = Flowgraph("wide")
    fg.connect(source, pairs, sink)
    balanced(fg.run(50, placement=placement))
    assert len(sink.values) == 50


def test_blocks_can_run_again_and_elsewhere() -> None:
    source, scale, sink = Counter(), Scale(), Collect()
    fg = Flowgraph("again")
    fg.connect(source, scale, sink)
    for place in ("threads", "tcp", "processes", "threads"):
        fg.run(100, placement=place)
        assert sink.values == [2.0 * k for k in range(100)]


def test_settings_change_while_it_runs_and_readings_can_be_seen(placement: str) -> None:
    source, scale, sink = HeldCounter(), Scale(), Collect()
    source.batch, source.held = 1, 300
    fg = Flowgraph("live")
    fg.connect(source, scale, sink)
    seen: list[Status] = []

    def view(status: Status) -> None:
        seen.append(status)
        there = status.blocks["scale"]
        if status.phase != "running":
            return
        if there.items_in > 5:
            scale.factor = -5.0
        if there.items_in >= 300:
            source.held = 600 if there.readings["used"] == -5.0 else source.held + 1  # the order is on its way

    status = fg.run(600, placement=placement, view=view)
    assert scale.factor == -5.0
    signs = np.sign(sink.values[1:])
    turn = int(np.argmax(signs < 0))
    assert 0 < turn < 599
    assert (signs[:turn] > 0).all()
    assert (signs[turn:] < 0).all()
    assert status.blocks["scale"].readings["last"] == 599.0
    assert any(s.phase == "running" for s in seen)
    assert seen[-1].phase == "finished"
    assert status.blocks["scale"].items_in == status.blocks["scale"].items_out == 600
    assert 0 < status.blocks["scale"].work_seconds < status.blocks["scale"].wall_seconds
    for block in status.blocks.values():
        assert 0 < block.work_cpu_seconds < block.cpu_seconds
        assert block.overhead == pytest.approx(block.cpu_seconds / block.work_cpu_seconds - 1)
    with pytest.raises(ValueError, match="factor: expected"):
        scale.factor = 1e9


def test_the_books_balance_at_any_moment_they_are_asked_for(placement: str) -> None:
    source, scale, sink = Counter(), Scale(), Collect(pause=0.001)
    fg = Flowgraph("asked")
    fg.connect(source, scale, sink)
    fg.start(20_000, placement=placement)
    asked = 0
    while not fg.wait(0.01) and asked < 80:
        for edge in fg.status.edges:
            assert edge.balanced, edge
        asked += 1
    fg.stop()
    assert all(edge.balanced for edge in fg.status.edges)


# Drawing


def draw(action: Any) -> None:
    action(Flowgraph("drawn"))


@pytest.mark.parametrize(
    ("action", "word"),
    [
        (lambda fg: fg.connect(Counter()), "at least two"),
        (
            lambda fg: fg.connect(Counter(), Scale(4)),
            r"cannot connect counter\.number to scale\.number: field value: expected",
        ),
        (lambda fg: fg.connect(Collect(), Scale()), "has no output port"),
        (lambda fg: fg.connect(Counter(), Counter()), "has no input port"),
        (lambda fg: fg.connect(Counter(), "x"), "expected a block or one of its ports"),
        (lambda fg: fg.connect(Scale().number, Scale()), "expected an output port"),
        (lambda fg: fg.connect(Counter(), Scale(), policy="maybe"), "policy must be one of block"),
        (lambda fg: fg.connect(Counter(), Scale(), depth=0), "at least 1"),
        (lambda fg: fg.feedback(Leaky().total, Mixer().back, lag=0), "lag must be"),
        (lambda fg: fg.feedback(Leaky().total, Mixer().number), "optional input"),
        (lambda fg: fg.run(10), "nothing is connected"),
    ],
)
def test_what_cannot_be_drawn_is_refused(action: Any, word: str) -> None:
    with pytest.raises(WiringError, match=word):
        draw(action)


def test_an_input_takes_one_stream() -> None:
    sink, fg = Collect(), Flowgraph("two")
    fg.connect(Counter(), sink)
    with pytest.raises(WiringError, match="connected already"):
        fg.connect(Counter(), sink)


def test_open_inputs_and_loops_are_found_before_anything_runs() -> None:
    fg = Flowgraph("open")
    join = Join()
    fg.connect(Counter(), join.left)
    with pytest.raises(WiringError, match=r"join\.right is not connected"):
        fg.run(10)
    fg = Flowgraph("loop")
    join, scale = Join(), Scale()
    fg.connect(Counter(), join.left)
    fg.connect(join, scale, join.right)
    with pytest.raises(WiringError, match=r"a loop through .*join.*feedback\(\)"):
        fg.run(10)
    fg = Flowgraph("hanging")
    one, two = Mixer(), Leaky()
    fg.feedback(two.total, one.back)
    fg.connect(Counter(), two)
    with pytest.raises(WiringError, match=r"mixer\.number is not connected"):
        fg.run(10)


def test_names() -> None:
    first, second = Scale(), Scale()
    fg = Flowgraph("names")
    fg.connect(Counter(), first, second, Collect())
    assert list(fg.blocks) == ["counter", "scale", "scale_2", "collect"]
    one, two = Scale(), Scale()
    one.name = two.name = "mine"
    with pytest.raises(WiringError, match="two blocks are named 'mine'"):
        Flowgraph("same").connect(Counter(), one, two)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"placement": "cloud"}, "placement: expected one of threads"), ({"items": 0}, "items: expected at least 1")],
)
def test_bad_arguments_of_run(arguments: dict[str, Any], word: str) -> None:
    fg = Flowgraph("bad")
    fg.connect(Counter(), Collect())
    with pytest.raises(WiringError, match=word):
        fg.run(**arguments)


def test_it_cannot_be_started_twice_at_once() -> None:
    fg = Flowgraph("once")
    fg.connect(Counter(pause=0.01), Trouble("none"))
    with fg:
        fg.start()
        with pytest.raises(WiringError, match="running already"):
            fg.start()
        began = time.monotonic()
    assert time.monotonic() - began < 1.0
    assert fg.status.phase == "stopped"


@pytest.mark.parametrize(("size", "suited"), [(3, 256), (17_000, 64), (18_000, 32), (600_000, 1), (3_000_000, 1)])
def test_messages_are_as_long_as_suits_their_records(size: int, suited: int) -> None:
    source, small, sink = Counter(size), Scale(size), Collect(size)
    fg = Flowgraph("sizes")
    fg.connect(source, small, sink)
    assert fg.suited_batch(source) == suited


def test_messages_grow_with_what_has_been_sent() -> None:
    position, sizes = 0, []
    while position < 4096:
        sizes.append(grown_batch(position, 256))
        assert sizes[-1] <= max(16, position / 8)
        position += sizes[-1]
    assert sizes == 16 * [16] + 8 * [32] + 8 * [64] + 8 * [128] + 8 * [256]
    assert grown_batch(10**9, 256) == 256
    assert [grown_batch(position, 4) for position in (0, 1000)] == [4, 4]


def test_what_is_set_for_the_batch_counts(placement: str) -> None:
    for batch, messages in ((0, 13), (50, 4), (10, 20)):  # 16 at first, longer ones from item 256 on
        source, sink = Counter(), Collect()
        source.batch = batch
        fg = Flowgraph("batches")
        fg.connect(source, sink)
        status = fg.run(200, placement=placement)
        assert len(sink.values) == 200
        assert status.blocks["counter"].messages == messages
