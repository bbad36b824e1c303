"""Large fields in memory of the link's own: nothing is lost, doubled, overwritten or left behind."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from stream_blocks import Frames, Hoard
from test_link import Link

from isacblocks.stream import Field, Flowgraph, Items, Out, Record, WireError, memory, wire
from isacblocks.stream.inlet import TRIES
from isacblocks.stream.memory import Lease, Loan, Mappings, Pool, Reference, UnreachableError
from isacblocks.stream.spec import resolve

SIZE = 6000
PATIENCE = 60.0  # seconds, against hanging
LAYOUT = resolve(Record("frame", (Field("value", "float64", ("N",)), Field("mark", "int64"))), {"N": SIZE}, "test")
linux = pytest.mark.skipif(not memory.can_share(), reason="this system has no memfd")


def frames(pool: Pool | None, message: int, count: int = 2, final: bool = False) -> Items:
    """As a port makes them: in the link's memory where there is some."""
    lease = pool.take(LAYOUT, count) if pool is not None and count else None
    value = np.empty((count, SIZE)) if lease is None else lease.fields["value"]
    value[:] = message
    mark = np.full(count, message)
    items = Items(LAYOUT, {"value": value, "mark": mark}, count, first=2 * message, message=message, final=final)
    items.lease = lease
    return items


@pytest.fixture(params=["inproc://link", "ipc", "tcp://127.0.0.1:*"])
def link(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Link]:
    endpoint = f"ipc://{tmp_path}/link" if request.param == "ipc" else request.param
    made = Link(endpoint, layout=LAYOUT)
    yield made
    made.close()


def pass_one(link: Link, message: int) -> Items:
    """Send one, receive it; not yet committed."""
    link.settle(link.outlet.room)
    link.outlet.send(frames(link.outlet.pool, message))
    link.settle(lambda: link.inlet.head() is not None)
    head = link.inlet.head()
    assert head is not None
    assert (head.message, len(head)) == (message, 2)
    assert (head.value == message).all()
    assert (head.mark == message).all()
    assert not head.value.flags.writeable
    return head


def commit(link: Link) -> None:
    link.inlet.commit()
    link.inlet.acknowledge(urgent=True)
    link.settle(link.outlet.drained)


def all_free(link: Link) -> None:
    """What was sent lies in ZeroMQ's memory no more: it says so in a thread of its own, when that has its turn."""
    end = time.monotonic() + PATIENCE
    while len(link.outlet.pool._free) < segments(link):
        assert time.monotonic() < end, "memory that is not given back"
        time.sleep(0.001)


def segments(link: Link) -> int:
    return len(link.outlet.pool._segments)


def test_memory_is_used_again(link: Link) -> None:
    for k in range(30):
        pass_one(link, k)
        commit(link)
        all_free(link)
    assert segments(link) <= 2
    assert link.law().committed == 60


def test_what_a_block_keeps_is_never_written_to_again(link: Link) -> None:
    kept: dict[int, Any] = {}
    parts: dict[int, Any] = {}
    for k in range(40):
        head = pass_one(link, k)
        if k % 3 == 0:
            kept[k] = head.value
        if k % 7 == 0:
            parts[k] = head.value[1:, 5:9].data
        del head
        commit(link)
        all_free(link)
    for k, value in kept.items():
        assert (value == k).all()
    for k, view in parts.items():
        assert (np.asarray(view) == k).all()
    assert segments(link) <= 3, "what the receiver keeps is not the pool's any more"


def begin_anew(link: Link) -> None:
    """What a receiver does with a connection made anew, over the one there is: ROUTER may take half a minute for another."""
    link.inlet._reader.forget()
    link.inlet.hello()


@linux
@pytest.mark.parametrize("moved", [False, True])
def test_what_a_block_keeps_is_safe_where_the_word_about_it_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    """Words die with their connection: one that says what is kept, and one before a connection is made anew."""
    link = Link(f"ipc://{tmp_path}/link", layout=LAYOUT)
    kept = {}
    for k in range(40):
        head = pass_one(link, k)
        if k % 5 == 2:
            kept[k] = head.value
        del head
        if k % 5 == 2:
            link.inlet.commit()
            with monkeypatch.context() as broken:
                broken.setattr(link.inlet, "_send", lambda _data: None)
                link.inlet.acknowledge(urgent=True)
            if moved:
                begin_anew(link)
        else:
            commit(link)
    for k, value in kept.items():
        assert (value == k).all()
    assert segments(link) <= 3
    link.close()


@linux
def test_what_is_done_and_not_yet_acknowledged_is_remembered_by_a_new_connection(tmp_path: Path) -> None:
    """With snapshots a word may say less than has been done; what is kept of the rest is told with the word that does."""
    link = Link(f"ipc://{tmp_path}/link", layout=LAYOUT)
    kept = {}
    for k in range(30):
        head = pass_one(link, k)
        kept[k] = head.value
        del head
        link.inlet.settle()
        link.inlet.commit()
        begin_anew(link)  # says what the snapshot holds, without this message
        link.settle(lambda: link.inlet.owing > 0)  # it came again
        link.inlet.settle()
        link.inlet.acknowledge(urgent=True)
        link.settle(link.outlet.drained)
    for k, value in kept.items():
        assert (value == k).all()
    link.close()


def test_what_the_sender_keeps_is_never_written_to_again(link: Link) -> None:
    kept = {}
    for k in range(20):
        link.settle(link.outlet.room)
        sent = frames(link.outlet.pool, k)
        if k % 3 == 0:
            kept[k] = sent.value
        link.outlet.send(sent)
        del sent
        link.settle(lambda: link.inlet.head() is not None)
        commit(link)
    for k, value in kept.items():
        assert (value == k).all()


def test_the_memory_of_a_message_waits_for_every_edge(tmp_path: Path) -> None:
    pool = Pool(shared=False)
    first = pool.take(LAYOUT, 2)
    assert first is not None
    number = first.segment.reference.number
    holders = [first, first]
    del first
    holders.pop()
    second = pool.take(LAYOUT, 2)
    assert second is not None
    assert second.segment.reference.number != number
    holders.pop()
    third = pool.take(LAYOUT, 2)
    assert third is not None
    assert third.segment.reference.number == number


@linux
def test_between_processes_a_message_is_a_header_with_a_reference(tmp_path: Path) -> None:
    link = Link(f"ipc://{tmp_path}/link", layout=LAYOUT)
    try:
        link.outlet.send(frames(link.outlet.pool, 5))
        parcel = link.outlet._edges[0].pending[0]
        assert [len(part) for part in parcel.short()] == [wire.HEADER_BYTES + 2 * 8 + memory.REFERENCE_BYTES]
        link.settle(lambda: link.inlet.head() is not None)
        assert isinstance(link.inlet.queue[0].lease, Loan)
    finally:
        link.close()


@pytest.mark.parametrize("policy", ["block", "drop-oldest", "latest"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("transport", ["inproc", "ipc", "tcp"])
def test_the_law_holds_through_anything(policy: str, seed: int, transport: str, tmp_path: Path) -> None:
    """As for small messages, and what is read is always what was sent, also of those that the receiver keeps."""
    chance = random.Random(f"{policy} {seed}")
    endpoint = {"inproc": "inproc://law", "ipc": f"ipc://{tmp_path}/law", "tcp": "tcp://127.0.0.1:*"}[transport]
    link = Link(endpoint, policy=policy, depth=chance.randint(1, 5), layout=LAYOUT)
    taken: list[int] = []
    kept: list[Items] = []
    sent = 0

    def take() -> None:
        head = link.inlet.head()
        assert head is not None
        assert (head.value == head.message).all()
        taken.append(head.message)
        if chance.random() < 0.2 and len(head):
            kept.append(head)
        del head
        link.inlet.commit()

    try:
        for _ in range(500):
            what = chance.random()
            if what < 0.35 and link.outlet.room():
                link.outlet.send(frames(link.outlet.pool, sent, count=chance.randint(0, 3)))
                sent += 1
            elif what < 0.55:
                link.outlet.pump()
            elif what < 0.75:
                link.inlet.pump()
            elif what < 0.9 and link.inlet.head() is not None:
                take()
            elif what < 0.97:
                link.inlet.acknowledge(urgent=chance.random() < 0.5)
            else:  # the receiver is killed, what it kept with it, and comes back from what it had saved
                saved = link.inlet.save()
                kept.clear()
                link.inlet.close()
                link.inlet = link.connect()
                link.inlet.restore(saved)
            link.law()
            assert all((items.value == items.message).all() for items in kept)
        link.outlet.send(frames(link.outlet.pool, sent, count=0, final=True))
        end = time.monotonic() + PATIENCE
        while not link.outlet.drained() and time.monotonic() < end:
            link.settle()
            while link.inlet.head() is not None:
                take()
            link.inlet.acknowledge(urgent=True)
            if link.inlet.remote:
                link.inlet.doubt()  # as a worker does: a connection that came back twice at once may have nobody behind it
        book = link.law()
        assert book.in_flight == 0
        assert book.produced == book.committed + book.lost
        assert taken == sorted(set(taken))
        if policy == "block":
            assert taken == list(range(sent + 1))
            assert book.lost == 0
        assert all((items.value == items.message).all() for items in kept)
    finally:
        link.close()


# What a block does with memory that it was given

TWO = Record("two", tuple(Field(name, "float64", ("N",)) for name in ("a", "b")))


class Two(Frames):
    out = Out(TWO)


@pytest.mark.parametrize("kind", [None, False, pytest.param(True, marks=linux)])
def test_allocated_arrays_are_sent_as_they_are_and_others_are_copied_to_their_place(kind: bool | None) -> None:
    """kind: of the pool, None without a runtime."""
    block = Two()
    port = block.out
    port.pool = None if kind is None else Pool(shared=kind)
    fields = port.allocate(2)
    fields["a"][:], fields["b"][:] = 1, 2
    sent = port.items(**fields)
    assert sent.a is fields["a"]
    assert (sent.lease is None) == (kind is None)
    with pytest.raises(ValueError, match="read-only"):
        fields["a"][:] = 5
    fields = port.allocate(2)
    assert not np.shares_memory(fields["a"], sent.a)
    fields["a"][:], fields["b"][:] = 3, 4
    swapped = port.items(a=fields["b"], b=fields["a"])
    assert (swapped.a == 4).all()
    assert (swapped.b == 3).all()
    fields = port.allocate(2)
    fields["a"][:] = 6
    mixed = port.items(a=fields["a"], b=np.full((2, SIZE), 7.0))
    assert mixed.a is fields["a"]
    assert (mixed.a == 6).all()
    assert (mixed.b == 7).all()
    fields = port.allocate(3)
    fields["a"][:], fields["b"][:] = 8, 9
    fewer = port.items(a=fields["a"][:2], b=fields["b"][:2])
    fields["a"][:] = 0
    assert (len(fewer), fewer.a.shape) == (2, (2, SIZE))
    assert (fewer.a == 8).all()
    assert (sent.a == 1).all()
    assert (sent.b == 2).all()
    assert [len(value) for value in port.allocate(0).values()] == [0, 0]


def test_a_pool_that_runs_dry_says_so() -> None:
    pool = Pool(shared=False)
    leases = [pool.take(LAYOUT, 1) for _ in range(memory.MOST_SEGMENTS)]
    assert all(lease is not None for lease in leases)
    assert pool.take(LAYOUT, 1) is None
    leases.pop()
    assert pool.take(LAYOUT, 1) is not None


@linux
def test_what_a_receiver_keeps_mapped_is_bounded() -> None:
    """Also where the sender keeps what it sent, and so never uses a segment again."""
    pool, maps = Pool(shared=True), Mappings(limit=8)
    leases = [pool.take(LAYOUT, 1) for _ in range(40)]
    for turn in (leases, leases[:20]):  # one that was let go is mapped again
        for k, lease in enumerate(turn):
            assert lease is not None
            lease.fields["value"][:] = k
            fields, _ = maps.borrow(lease.segment.reference, LAYOUT, 1)
            assert (fields["value"] == k).all()
            assert len(maps._maps) <= 8
    pool.close()


# References that cannot be true


@linux
def test_false_references_are_refused() -> None:
    pool, maps = Pool(shared=True), Mappings()
    lease = pool.take(LAYOUT, 2)
    assert isinstance(lease, Lease)
    lease.fields["value"][:] = 3
    true = lease.segment.reference
    fields, loan = maps.borrow(true, LAYOUT, 2)
    assert (fields["value"] == 3).all()
    assert loan.in_use()
    for count, changes in ((200, {}), (2, {"inode": 1}), (2, {"size": true.size + 4096}), (2, {"descriptor": 0})):
        with pytest.raises(WireError) as caught:
            maps.borrow(Reference(**{**reference(true), **changes}), LAYOUT, count)
        assert caught.value.reason == "memory"
    for changes in ({"inode": 1}, {"size": true.size + 4096}, {"descriptor": 1 << 20}, {"process": 1 << 22}):
        with pytest.raises(UnreachableError):
            maps.borrow(Reference(**{**reference(true), "number": 99, **changes}), LAYOUT, 2)
    with pytest.raises(WireError, match="32 bytes"):
        Reference.unpack(b"short")
    assert Reference.unpack(true.pack()) == true
    unsealed = os.memfd_create("unsealed")
    os.ftruncate(unsealed, true.size)
    with pytest.raises(UnreachableError, match="sealed"):
        maps.borrow(Reference(100, true.size, os.fstat(unsealed).st_ino, os.getpid(), unsealed), LAYOUT, 2)
    os.close(unsealed)
    with pytest.raises(OSError, match="not permitted"):
        os.ftruncate(true.descriptor, 0)
    del fields
    gc.collect()
    assert not loan.in_use()
    pool.close()


def reference(true: Reference) -> dict[str, int]:
    return {name: getattr(true, name) for name in true.__struct_fields__}


@linux
@pytest.mark.parametrize("damage", ["cut", "contradiction", "too small", "nowhere"])
def test_a_bad_reference_on_the_link(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted and keeps its place; one that only cannot be reached is asked for again, through the socket."""
    link = Link(f"ipc://{tmp_path}/link", layout=LAYOUT)
    try:
        for k in range(3):
            link.outlet.send(frames(link.outlet.pool, k))
        parcel = link.outlet._edges[0].pending[1]
        parcel._short = [broken(parcel.short()[0], damage)]
        link.settle(lambda: len(link.inlet.queue) == 3)
        lengths = [len(m) for m in link.inlet.queue]
        for head in link.inlet.queue:
            assert (head.value == head.message).all()
        while link.inlet.head() is not None:
            link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
        link.settle(link.outlet.drained)
        if damage == "nowhere":
            assert lengths == [2, 2, 2]
            assert "no shared memory with a.out" in caplog.text
            assert "said once; unless the sender has just died, run both as one user" in caplog.text
            assert link.outlet._edges[0].inline
            assert (link.law().committed, link.law().lost, link.inlet.refusals.bad) == (6, 0, 0)
        else:
            assert lengths == [2, 0, 2]
            assert (link.law().dropped, link.inlet.refusals.bad) == ({"bad": 2}, TRIES)
    finally:
        link.close()


def broken(message: bytes, damage: str) -> bytes:
    head, found = message[: -memory.REFERENCE_BYTES], Reference.unpack(message[-memory.REFERENCE_BYTES :])
    changes = {
        "contradiction": {"number": 1, "inode": 1},
        "too small": {"number": 77, "size": 4096},
        "nowhere": {"process": 1 << 22},
    }
    if damage == "cut":
        return head
    return head + Reference(**{**reference(found), **changes[damage]}).pack()


# Where there is no shared memory


@linux
def test_without_memory_frames_go_through_the_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls = itertools.count()

    def refused(*_: Any) -> None:
        next(calls)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refused)
    source = Frames(SIZE)
    link = Link(f"ipc://{tmp_path}/link", layout=source.number.layout)
    try:
        source.ports["number"].pool = link.outlet.pool
        with caplog.at_level(logging.WARNING):
            for k in range(4):
                sent = source.produce(2 * k, 2)
                sent.message = k
                link.outlet.send(sent)
        link.settle(lambda: len(link.inlet.queue) == 4)
        for k, head in enumerate(link.inlet.queue):
            assert (head.value == np.arange(2 * k, 2 * k + 2)[:, None]).all()
        assert next(calls) == 1, "asked once"
        assert len(caplog.records) == 1
        assert "no shared memory, frames go through the socket: No space left" in caplog.text
    finally:
        link.close()


def test_a_restored_sender_sends_copies(tmp_path: Path) -> None:
    """What a checkpoint keeps of a lagged feedback holds the large fields themselves."""
    endpoint = f"ipc://{tmp_path}/one"
    link = Link(endpoint, lag=2, layout=LAYOUT)
    for k in range(3):
        pass_one(link, k)
        commit(link)
    saved, received = link.outlet.save(), link.inlet.save()
    link.close()
    again = Link(f"ipc://{tmp_path}/two", lag=2, layout=LAYOUT)
    try:
        again.outlet.restore(saved)
        received["next"], received["committed"] = 1, 2  # the receiver's cut is two messages back
        again.inlet.restore(received)
        again.settle(lambda: len(again.inlet.queue) == 2)
        assert [m.message for m in again.inlet.queue] == [1, 2]
        for head in again.inlet.queue:
            assert (head.value == head.message).all()
    finally:
        again.close()


# In flowgraphs


@pytest.mark.parametrize("allocate", [True, False])
@pytest.mark.parametrize("every", [1, 5])
def test_blocks_that_keep_what_they_got_and_sent(placement: str, allocate: bool, every: int) -> None:
    source, first, second = Frames(allocate=allocate, keep=True), Hoard(every=every), Hoard(every=every)
    source.batch = 3
    fg = Flowgraph("hoard")
    fg.connect(source, first, second)
    fg.connect(first, other := Hoard())
    status = fg.run(300, placement=placement)
    assert [block.seen for block in (first, second, other)] == [300, 300, 300]
    assert [block.wrong for block in (source, first, second, other)] == [0, 0, 0, 0]
    assert all(edge.committed == 300 and edge.in_flight == edge.lost == 0 for edge in status.edges)


# Killed for good

RECEIVER = """
import os, sys
sys.path[:0] = [{tests!r}, {root!r}]
import zmq
from test_memory import LAYOUT
from test_link import EdgeSpec
from isacblocks.stream.inlet import Inlet

inlet = Inlet(zmq.Context(), {endpoint!r}, LAYOUT, EdgeSpec("a.out", "b.in", b"t" * 16), epoch=1)
book = os.open({book!r}, os.O_RDWR | os.O_CREAT | os.O_APPEND)
done = os.read(book, 1 << 24).count(b"\\n")
inlet.restore({{"next": done, "committed": 2 * done, "dropped": {{}}}})
while not inlet.ended:
    inlet.pump()
    head = inlet.head()
    if head is None:
        inlet.socket.poll(10)
        inlet.acknowledge(urgent=True)
        inlet.doubt()  # as a worker does: what its earlier self left behind may still have its name
        continue
    good = bool((head.value == head.message).all())
    if not head.final:
        os.write(book, f"{{head.message}} {{good}}\\n".encode())  # the effect and the position in one step
    del head
    inlet.commit()
    inlet.acknowledge(urgent=False)
inlet.acknowledge(urgent=True)
inlet.socket.close(60_000)
"""


@linux
def test_a_receiver_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    link = Link(f"ipc://{tmp_path}/link", layout=LAYOUT)
    link.inlet.close()  # the receiver is a process of its own
    book = tmp_path / "book"
    script = tmp_path / "receiver.py"
    endpoint = link.outlet.endpoint
    script.write_text(RECEIVER.format(tests=str(ROOT / "tests"), root=str(ROOT), endpoint=endpoint, book=str(book)))
    shared_before = set(Path("/dev/shm").iterdir())
    sent, process = 0, None
    try:
        for kill in range(5):
            process = subprocess.Popen([sys.executable, str(script)])
            goal = sent + 300 + 17 * kill
            while sent < goal:
                link.outlet.pump()
                if link.outlet.room():
                    link.outlet.send(frames(link.outlet.pool, sent))
                    sent += 1
                link.law()
                assert process.poll() is None
            if kill < 4:
                process.send_signal(signal.SIGKILL)
                process.wait()
        link.outlet.send(frames(None, sent, count=0, final=True))
        while not link.outlet.drained():
            link.outlet.pump()
            time.sleep(0.001)
            assert process is not None
            assert process.poll() in (None, 0)
        lines = book.read_text().splitlines()
        assert lines == [f"{k} True" for k in range(sent)]
        assert segments(link) <= link.edge.depth + 1
        assert set(Path("/dev/shm").iterdir()) <= shared_before
    finally:
        if process is not None:
            process.kill()
            process.wait()
        link.inlet = link.connect()
        link.close()


SENDER = """
import sys, time
sys.path[:0] = [{tests!r}, {root!r}]
from stream_blocks import Frames, Hoard
from isacblocks.stream import Flowgraph
if __name__ == "__main__":
    fg = Flowgraph("killed")
    fg.connect(Frames(), Hoard(every=1 << 30), Hoard(every=1 << 30))
    fg.start(placement="processes")
    while fg.status.blocks["hoard_2"].items_in < 100:
        assert not fg.wait(0.01)
    print("running", flush=True)
    fg.wait()
"""


@linux
def test_nothing_of_shared_memory_stays_when_a_program_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "sender.py"
    script.write_text(SENDER.format(tests=str(ROOT / "tests"), root=str(ROOT)))
    before = set(Path("/dev/shm").iterdir())
    process: Any = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert process.stdout.readline() == "running\n"
        mine = {pid for pid in maps_of_ours() if descends(pid, process.pid)}
        assert len(mine) == 3, "two senders and their receivers map segments"
    finally:
        process.kill()
        process.communicate()
    end = time.monotonic() + PATIENCE
    while mine & maps_of_ours() or not set(Path("/dev/shm").iterdir()) <= before:
        assert time.monotonic() < end, (mine & maps_of_ours(), set(Path("/dev/shm").iterdir()) - before)
        time.sleep(0.02)


def maps_of_ours() -> set[int]:
    """Processes that map a segment of this project."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if "memfd:isacblocks" in (entry / "maps").read_text():
                found.add(int(entry.name))
    return found


def descends(pid: int, root: int) -> bool:
    with contextlib.suppress(OSError):
        while pid not in (0, 1, root):
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return pid == root
