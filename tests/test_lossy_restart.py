"""Blocks around lossy links are killed: what a link left out is counted once, nothing comes twice, nobody waits for ever.

A sender that is killed leaves out other messages in its second life than in its first; who has already had the first ones
must not notice.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stream_blocks import NUMBER, Collect, Counter, Join, Scale, Sized

from isacblocks.stream import Flowgraph, In, Items, Out, Restart, State
from isacblocks.stream.link import EdgeCount, EdgeSpec
from isacblocks.stream.parcel import Parcel
from isacblocks.stream.peer import Peer

PATIENCE = 60  # seconds, against hanging
ITEMS = 1000
_RESTART = Restart(limit=1000, longest=0.1)


class Known(Sized):
    """Leaves the number of its process where others find it."""

    def __init__(self, place: str, size: int = 3) -> None:
        super().__init__(size)
        self.place = place

    def start(self) -> None:
        super().start()
        path = Path(self.place, type(self).__name__)
        path.with_suffix(".new").write_text(str(os.getpid()))
        path.with_suffix(".new").replace(path)


class Near(Known):
    """Passes on."""

    number = In(NUMBER)
    same = Out(NUMBER)

    def process(self, number: Items) -> Items:
        return self.same.items(value=number.value)


class Far(Near):
    """Remembers what came, and so much else that its snapshots take a while: it can be killed inside one."""

    seen = State(list)
    much = State("float64", "M")

    def dimensions(self) -> Mapping[str, int]:
        return {"N": self.size, "M": 400_000}

    def process(self, number: Items) -> Items:
        self.seen += list(range(number.first, number.first + len(number)))
        return super().process(number)


class First(Known, Join):
    """A join that can be found."""


def kill_once(place: str, at: int, victims: tuple[str, ...]) -> bool:
    """kill -9 of blocks by their classes; False where it has been done before, by an earlier self."""
    mark = Path(place, f"at {at}")
    if mark.exists():
        return False
    mark.touch()
    for name in victims:
        with contextlib.suppress(ProcessLookupError):  # its next process has yet to begin
            os.kill(int(Path(place, name).read_text()), signal.SIGKILL)
    return True


class Assassin(Collect):
    """The end of it all: with every so many items somebody dies who has only just sent them, or led to them."""

    victims = (("Near", "Far"), ("Near",), ("Far", "First"), ("Near", "Far", "First"))

    def __init__(self, place: str, every: int) -> None:
        super().__init__()
        self.place, self.every = place, every

    def process(self, number: Items) -> None:
        super().process(number)
        at = number.first // self.every
        if at:
            kill_once(self.place, at, self.victims[at % len(self.victims)])


def run(fg: Flowgraph, items: int) -> dict[str, EdgeCount]:
    """In processes, to the end; the books by receiver. They balance at every moment, with numbers that can be counts."""
    with fg:
        fg.start(items, placement="processes", restart=_RESTART)
        end = time.monotonic() + PATIENCE
        while not fg.wait(0.02):
            assert all(edge.balanced for edge in fg.status.edges), fg.status.edges
            assert time.monotonic() < end, fg.status
    assert fg.status.phase == "finished"
    assert all(edge.balanced and not edge.in_flight for edge in fg.status.edges), fg.status.edges
    return {edge.receiver: edge for edge in fg.status.edges}


@pytest.mark.parametrize("policy", ["latest", "drop-oldest"])
def test_joins_behind_a_lossy_join_are_killed(policy: str, tmp_path: Path) -> None:
    place = str(tmp_path)
    source, near, far, aside = Counter(pause=0.001), Near(place), Far(place), Scale()
    first, second, end = First(place), Join(), Assassin(place, ITEMS // 12)
    source.batch = 1
    aside.factor = 1.0
    fg = Flowgraph("killed joins")
    fg.connect(source, near)
    fg.connect(near, far, policy=policy, depth=4)
    fg.connect(near, aside)
    fg.connect(far, first.left)
    fg.connect(aside, first.right)
    fg.connect(first, second.left)
    fg.connect(aside, second.right, depth=2)
    fg.connect(second, end)
    books = run(fg, ITEMS)
    restarts = {name: block.restarts for name, block in fg.status.blocks.items()}
    assert min(restarts["near"], restarts["far"], restarts["first"]) >= 3, restarts
    taken = len(far.seen)
    assert end.numbers == far.seen == sorted(set(far.seen))  # what it handed on is what it remembers, each item once
    assert first.joined == second.joined == taken < ITEMS
    assert (first.worst, books["near.number"].committed, books["scale.number"].committed) == (0.0, ITEMS, ITEMS)
    lossy = books["far.number"]
    assert (lossy.produced, lossy.committed) == (ITEMS, taken)
    for receiver in ("first.right", "join.right"):
        assert (books[receiver].committed, books[receiver].dropped) == (taken, {"unmatched": ITEMS - taken})
    for receiver in ("first.left", "join.left", "assassin.number"):
        assert (books[receiver].produced, books[receiver].committed, books[receiver].dropped) == (taken, taken, {})


class Busy(Far):
    """Takes its time now and then, and kills its sender first: what it has processed by then no snapshot holds."""

    def dimensions(self) -> Mapping[str, int]:
        return {"N": self.size, "M": 1}

    def process(self, number: Items) -> Items:
        if number.first >= 150 and kill_once(self.place, (number.first + 50) // 200, ("Near",)):
            time.sleep(0.2)
        return super().process(number)


def test_a_sender_is_killed_whose_receiver_has_more_than_it_has_acknowledged(tmp_path: Path) -> None:
    """It makes the same messages again before it hears of its receiver, and leaves out some that the receiver has."""
    source, near, far, sink = Counter(pause=0.0005), Near(str(tmp_path)), Busy(str(tmp_path)), Collect()
    source.batch = 1
    fg = Flowgraph("unacknowledged")
    fg.connect(source, near, depth=64)
    fg.connect(near, far, policy="drop-oldest", depth=16)
    fg.connect(far, sink)
    books = run(fg, 2400)
    assert fg.status.blocks["near"].restarts >= 5
    assert sink.numbers == far.seen == sorted(set(far.seen))
    assert (books["busy.number"].produced, books["busy.number"].committed) == (2400, len(far.seen))
    assert set(books["busy.number"].dropped) <= {"overflow", "restart"}
    assert fg.status.blocks["near"].refused.get("books", 0) == 0


def parcel(number: int) -> Parcel:
    items = Items(Counter().ports["number"].layout, {"value": np.zeros((1, 3))}, 1, message=number)
    return Parcel(items, 7, number)


@pytest.mark.parametrize("lives", [1, 2])
def test_what_was_dropped_before_the_receiver_told_that_it_has_it_is_not_counted(lives: int) -> None:
    """lives: of the sender, until it is told; what it knows goes through its snapshot."""
    edge = EdgeSpec("a.out", "b.in", b"token", policy="latest")
    peer = Peer(edge, None)
    peer.greet(0, 0, {})
    snapshot: dict[str, Any] = peer.save()  # then it sent 0 and 1, left out 2, sent 3, and was killed
    for life in range(lives):
        peer = Peer(edge, None)
        peer.come_back(snapshot, {k: parcel(k) for k in range(6)})
        for number in range(3 * life, 3 * life + 3) if lives > 1 else range(6):
            peer.push(parcel(number))
        snapshot = peer.save()
    assert peer.count().balanced
    assert peer.dropped == {"superseded": 5}
    peer.greet(4, 3, {})
    book = peer.count()
    assert book.balanced
    assert (book.produced, book.committed, book.in_flight) == (6, 3, 1)
    assert book.dropped == {"superseded": 1, "restart": 1}
