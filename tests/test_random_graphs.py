"""Random flowgraphs over policies, depths, lags and placements; what they are and are held to is in tools/faults."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest
from faults.graphs import Watch
from faults.random_graphs import Drawing, Wire, draw_graph
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_blocks import Collect, Counter, EveryThird, Join, Leaky, Mixer, Scale

from isacblocks.stream import Flowgraph, WiringError
from isacblocks.stream.link import EdgeSpec
from isacblocks.stream.parcel import Parcel
from isacblocks.stream.peer import Peer
from isacblocks.stream.spec import Items

PATIENCE = 60.0  # seconds, against hanging


@st.composite
def drawings(draw: Any) -> Drawing:
    """Graphs that hypothesis can shrink."""
    return draw_graph(lambda lowest, highest: draw(st.integers(lowest, highest)))


def hold(drawing: Drawing, placement: str, seed: int) -> None:
    watch = Watch(drawing, placement, random.Random(seed))
    assert not watch.breaches, "\n".join([*watch.breaches, f"{drawing}"])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(drawings(), st.integers(0, 1000))
def test_no_graph_waits_for_ever_and_every_book_balances(drawing: Drawing, seed: int) -> None:
    hold(drawing, "threads", seed)


@pytest.mark.parametrize("placement", ["processes", "tcp"])
def test_the_same_of_blocks_in_processes(placement: str) -> None:
    held = 0
    for seed in range(100, 200):
        drawing = draw_graph(random.Random(seed).randint)
        if len(drawing.nodes) > 3 and not drawing.may_wait_for_ever():
            hold(drawing, placement, seed)
            held += 1
        if held == 2:
            return


def ends(fg: Flowgraph) -> None:
    """It comes to its end, and the books say so."""
    with fg:
        fg.start(400)
        assert fg.wait(PATIENCE), f"waits for ever: {fg.status}"
    assert all(edge.balanced and not edge.in_flight for edge in fg.status.edges)


class Seldom(EveryThird):
    """Says something for every 90th message only."""

    def process(self, number: Any) -> Any:
        return self.some.items(value=number.value[:1]) if number.message % 90 == 0 else None


def test_a_loop_whose_stream_is_silent_for_longer_than_its_links_are_deep() -> None:
    source, seldom, mixer, leaky = Counter(), Seldom(), Mixer(), Leaky()
    source.batch = 1
    fg = Flowgraph("silent")
    fg.connect(source, seldom, mixer, leaky)
    fg.feedback(leaky.total, mixer.back, lag=1)
    ends(fg)
    assert mixer.heard == [[n, n - 90] for n in range(90, 400, 90)]


def test_a_loop_that_is_joined_with_a_stream_that_ends_before_it() -> None:
    source, short, mixer, join = Counter(), Counter(end=20), Mixer(), Join()
    source.batch = short.batch = 1
    fg = Flowgraph("short")
    fg.connect(source, mixer, join.left)
    fg.connect(short, join.right)
    fg.feedback(join.gap, mixer.back, lag=2)
    ends(fg)
    assert join.joined == 20
    assert mixer.heard == [[n, n - 2] for n in range(2, 22)]
    books = {edge.receiver: edge for edge in fg.status.edges}
    assert books["join.left"].dropped == {"unmatched": 380}
    assert books["join.right"].lost == 0


def test_a_loop_of_messages_that_are_larger_than_a_budget() -> None:
    """Six lags of 8 MB are more than the 16 MB that other edges hold."""
    source, mixer, leaky = Counter(size=1_000_000), Mixer(1_000_000), Leaky(1_000_000)
    source.batch = 1
    fg = Flowgraph("large")
    fg.connect(source, mixer)
    fg.connect(mixer, leaky, depth=2)
    fg.feedback(leaky.total, mixer.back, lag=6)
    with fg:
        fg.start(12)
        assert fg.wait(PATIENCE), f"waits for ever: {fg.status}"
    assert mixer.heard == [[n, n - 6] for n in range(6, 12)]


class Hinder(Collect):
    """Takes its time, more and more of it as long as nothing is missed, until enough has been."""

    ENOUGH = 40  # more than links are deep

    def start(self) -> None:
        super().start()
        self.wait = 0.002

    def process(self, number: Items) -> None:
        super().process(number)
        if number.message - len(self.values) < self.ENOUGH:
            time.sleep(self.wait)
            self.wait = min(1.5 * self.wait, 0.5)


@pytest.mark.parametrize("placement", ["threads", "processes"])
def test_a_join_behind_a_join_that_leaves_out_messages(placement: str) -> None:
    """The second has the partner of each that is left out, and only one place for it: who made it makes the next, too."""
    source, near, far, aside = Counter(), Scale(), Scale(), Scale()
    slow, first, second, sink = Hinder(), Join(), Join(), Collect()
    source.batch = 1
    near.factor = far.factor = aside.factor = 1.0
    fg = Flowgraph("joins")
    fg.connect(source, near)
    fg.connect(near, far, policy="drop-oldest", depth=1)
    fg.connect(far, slow, depth=1)  # holds far up, so that it misses messages
    fg.connect(near, aside)
    fg.connect(far, first.left)
    fg.connect(aside, first.right)
    fg.connect(first, second.left)
    fg.connect(aside, second.right, depth=1)
    fg.connect(second, sink)
    with fg:
        fg.start(400, placement=placement)
        assert fg.wait(PATIENCE), f"waits for ever: {fg.status}"
    books = {edge.receiver: edge for edge in fg.status.edges}
    assert all(edge.balanced and not edge.in_flight for edge in books.values())
    missed = books["scale_2.number"].lost
    assert missed >= Hinder.ENOUGH
    for receiver in ("join.right", "join_2.right"):
        assert books[receiver].dropped == {"unmatched": missed}
    assert len(sink.numbers) == first.joined == 400 - missed
    assert books["join_2.left"].lost == 0


def test_a_gap_takes_nobodys_place() -> None:
    """On a lossy edge what waits is not given up for the word that something else is missing; one such word is enough."""
    for policy, depth in (("latest", 16), ("drop-oldest", 2)):
        peer = Peer(EdgeSpec("a.out", "b.in", b"token", policy=policy, depth=depth), None)
        layout = Counter().ports["number"].layout
        for number, what in enumerate(["data", "gap", "gap", "data", "data", "data", "gap", "gap"]):
            count = int(what == "data")
            fields = {"value": np.zeros((1, 3))} if count else layout.nothing
            items = Items(layout, fields, count, message=number)
            items.absent = not count
            peer.push(Parcel(items, 1, number))
        waiting = [parcel.serial for parcel in peer.pending]
        assert waiting == ([5, 7] if policy == "latest" else [4, 5, 7])
        book = peer.count()
        assert book.balanced
        assert (book.produced, book.lost, book.in_flight) == (4, 5 - len(waiting), len(waiting) - 1)


def test_loops_that_would_wait_for_ever_are_refused() -> None:
    mixer, leaky = Mixer(), Leaky()
    with pytest.raises(WiringError, match=r"with lag 8 has 8 messages on their way.*expected a depth of more than the lag"):
        Flowgraph("shallow").feedback(leaky.total, mixer.back, lag=8, depth=8)
    source, scale, sink = Counter(), Scale(), Mixer()
    fg = Flowgraph("aside")
    fg.connect(source, scale)
    fg.connect(source, sink)
    fg.feedback(scale.scaled, sink.back, lag=2)
    with pytest.raises(WiringError, match="nothing leads from mixer to scale"):
        fg.check()
    source, mixer, scale, join, sink2 = Counter(), Mixer(), Scale(), Join(), Collect()
    fg = Flowgraph("joined")
    fg.connect(source, mixer, join.left)
    fg.connect(source, scale, policy="latest")
    fg.connect(scale, join.right)
    fg.connect(join, sink2)
    fg.feedback(join.gap, mixer.back, lag=2)
    with pytest.raises(WiringError, match=r"'latest' and leads into the loop .* at join\.right, where what has no partner"):
        fg.check()


def _leaves_out_twice(drawing: Drawing) -> bool:
    """Whether a join that a lossy edge leads to has another join behind it."""
    joins = {wire.receiver[0] for wire in drawing.forward() if wire.receiver[1] != "a"}
    return any(drawing.lossy_before(k) and joins & (drawing.before(k) - {k}) for k in joins)


def test_what_is_drawn_reaches_what_it_is_for() -> None:
    """The drawings have loops, joins behind joins, losses and refusals among them; else the tests would say little."""
    made = [draw_graph(random.Random(seed).randint) for seed in range(300)]
    refused = sum(drawing.may_wait_for_ever() for drawing in made)
    loops = sum(any(wire.lag > 0 for wire in d.wires) and not d.may_wait_for_ever() for d in made)
    lossy = sum(any(wire.policy != "block" for wire in drawing.wires) for drawing in made)
    exact = sum(len(drawing.exact()) == len(drawing.sources) + len(drawing.nodes) for drawing in made)
    behind = sum(not drawing.may_wait_for_ever() and _leaves_out_twice(drawing) for drawing in made)
    assert min(refused, loops, lossy, exact, behind) > 20
    assert any(isinstance(wire, Wire) and wire.lag > 4 for drawing in made for wire in drawing.wires)
