"""A killed block's process is replaced: nothing is lost, nothing is doubled, and the results have the same bits."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from stream_blocks import (
    NUMBER,
    Collect,
    Counter,
    Held,
    HeldCounter,
    HeldFrames,
    Hoard,
    Join,
    Leaky,
    Mixer,
    MortalLive,
    Scale,
    Trouble,
)

from isacblocks.blocks import Recorder, TcpReceiver, TcpSender
from isacblocks.blocks.recording import Recording
from isacblocks.cli.options import add_run, restart_of
from isacblocks.stream import BlockError, Flowgraph, PlacementError, Restart, control
from isacblocks.stream.inlet import SILENCE, Inlet
from isacblocks.stream.journal import Journal, open_files, progress_of
from isacblocks.stream.keeper import Keeper
from isacblocks.stream.link import EdgeSpec
from isacblocks.stream.nursery_messages import Death
from isacblocks.stream.outlet import Outlet

ELSEWHERE = ("processes", "tcp")
PATIENCE = 60  # seconds until a test gives up


def pid_of(fg: Flowgraph, block: str) -> int:
    """The process of a block, once it has said which; 0 would mean this one and all its relatives."""
    end = time.monotonic() + PATIENCE
    while not (process := fg.status.blocks[block].process):
        assert time.monotonic() < end, fg.status
        time.sleep(0.002)
    return process


def wait_for(fg: Flowgraph, what: str, condition: object) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        if fg.wait(0.002):
            fg._raise()
            raise AssertionError(f"{what}: the flowgraph ended first: {fg.status.phase}")
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s; {fg.status}"


def kill(fg: Flowgraph, block: str) -> None:
    """kill -9, and wait until the block is at work again."""
    before = fg.status.blocks[block].restarts
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid_of(fg, block), signal.SIGKILL)
    wait_for(fg, f"{block} is back", lambda: back(fg, block, before))


def go_on(fg: Flowgraph, until: int) -> None:
    """Move on where a source is held."""
    for block in fg.blocks.values():
        if isinstance(block, Held):
            block.held = until


def back(fg: Flowgraph, block: str, before: int) -> bool:
    status = fg.status.blocks[block]
    return status.restarts > before and status.phase in ("running", "finished")


def held(source: Held, until: int, batch: int = 4) -> Held:
    """A source that waits at an item until all has been done that is to be done before the end."""
    source.batch, source.held = batch, until
    return source


def loop(pause: float = 0.0, until: int = 4000) -> tuple[Flowgraph, Collect, Leaky, Mixer, Join]:
    """Everything that can go wrong when a block is killed: a loop with a lag, a join, outputs that are not aligned.

    until: where the source waits.
    """
    source = held(HeldCounter(pause=pause), until)
    scale, mixer, leaky, sink, join = Scale(), Mixer(), Leaky(), Collect(), Join()
    fg = Flowgraph("killed")
    fg.connect(source, scale, mixer, leaky)
    fg.connect(mixer, sink)
    fg.connect(scale, join.ports["left"])
    fg.connect(mixer, join.ports["right"])
    fg.feedback(leaky.total, mixer.back, lag=3)
    return fg, sink, leaky, mixer, join


def results(parts: tuple[Flowgraph, Collect, Leaky, Mixer, Join]) -> tuple[object, ...]:
    _, sink, leaky, mixer, join = parts
    return sink.values, sink.numbers, sink.finished, leaky.memory.tobytes(), mixer.heard, join.joined, join.worst


@pytest.fixture(scope="module")
def undisturbed() -> tuple[object, ...]:
    parts = loop()
    parts[0].run(4000)
    return results(parts)


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_every_block_can_be_killed_and_the_result_has_the_same_bits(elsewhere: str, undisturbed: tuple[object, ...]) -> None:
    parts = loop(pause=0.003, until=3600)
    fg = parts[0]
    fg.start(4000, placement=elsewhere, restart=Restart())
    wait_for(fg, "begins", lambda: fg.status.phase == "running" and fg.status.blocks["collect"].items_in > 100)
    for block in fg.blocks:
        kill(fg, block)
    go_on(fg, 4000)
    assert fg.wait(PATIENCE), fg.status
    status = fg.status
    assert status.phase == "finished"
    assert results(parts) == undisturbed
    for edge in status.edges:
        assert edge.balanced, edge
        assert edge.in_flight == edge.lost == 0, edge
        assert edge.produced == edge.committed == (1000 if edge.sender == "leaky.total" else 4000), edge
    assert all(block.restarts == 1 for block in status.blocks.values())


def test_kills_at_any_moment_of_several_blocks_at_once(undisturbed: tuple[object, ...]) -> None:
    """While they start, while another one is down, twice in a row: whatever comes, the result is the same."""
    parts = loop(pause=0.003, until=3600)
    fg = parts[0]
    moments = random.Random(7)
    fg.start(4000, placement="processes", restart=Restart(limit=1000, longest=0.1))
    wait_for(fg, "begins", lambda: fg.status.phase == "running")
    killed = 0
    while killed < 100 and not fg.wait(moments.uniform(0.0, 0.06)):
        for block in moments.sample(list(fg.blocks), moments.choice((1, 1, 2, 5))):
            if fg.status.blocks[block].phase != "restarting" and pid_of(fg, block):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid_of(fg, block), signal.SIGKILL)
                    killed += 1
    go_on(fg, 4000)
    assert fg.wait(PATIENCE), fg.status
    fg._raise()
    assert fg.status.phase == "finished", fg.status
    assert killed >= 100
    assert results(parts) == undisturbed
    for edge in fg.status.edges:
        assert edge.balanced, edge
        assert edge.in_flight == edge.lost == 0, edge


def test_large_frames_in_shared_memory_survive_their_sender() -> None:
    """What a dead sender had in its memory is sent again from its snapshot, or made again."""
    source, first, second = HeldFrames(size=6000), Hoard(size=6000, every=5), Hoard(size=6000, every=5)
    held(source, 3000)
    fg = Flowgraph("frames")
    fg.connect(source, first, second, depth=6)
    fg.start(6000, placement="processes", restart=Restart())
    wait_for(fg, "begins", lambda: fg.status.phase == "running" and fg.status.blocks["hoard_2"].items_in > 100)
    for until, block in enumerate(("frames", "hoard", "hoard_2", "frames", "hoard"), 7):
        go_on(fg, 500 * until)  # so that there is something on its way
        kill(fg, block)
    go_on(fg, 6000)
    assert fg.wait(PATIENCE)
    assert fg.status.phase == "finished"
    assert (first.seen, second.seen) == (6000, 6000)
    assert (first.wrong, second.wrong, source.wrong) == (0, 0, 0)


def test_a_source_that_cannot_be_asked_again_sends_nothing_that_its_successor_does_not_know(tmp_path: Path) -> None:
    """It dies at any moment, and at the worst one."""
    source, sink = MortalLive(str(tmp_path), pause=0.002), Collect()
    held(source, 3600)
    fg = Flowgraph("live")
    fg.connect(source, Scale(), sink)
    fg.start(4000, placement="processes", restart=Restart())
    wait_for(fg, "begins", lambda: fg.status.phase == "running" and fg.status.blocks["collect"].items_in > 100)
    for _ in range(4):
        assert not fg.wait(0.02)
        kill(fg, "live")
    go_on(fg, 4000)
    assert fg.wait(PATIENCE)
    assert fg.status.phase == "finished"
    assert fg.status.blocks["live"].restarts >= 5
    assert {path.name for path in tmp_path.iterdir()} == {"100", "300", "500", "700", "900"}
    assert sink.numbers == list(range(4000))
    assert sum(sink.values) == 2 * source.total
    assert all(edge.balanced and edge.lost == edge.in_flight == 0 for edge in fg.status.edges)


def test_a_receiver_of_another_flowgraph_goes_on_where_it_was() -> None:
    """What it was given and had not handed on comes again; what it had handed on does not."""
    source, sender = HeldCounter(pause=0.002), TcpSender("127.0.0.1:0")
    held(source, 5400, batch=12)
    here, there, sink = Flowgraph("here"), Flowgraph("there"), Collect()
    here.connect(source, sender)
    with here, there:
        here.start(6000)
        wait_for(here, "is bound", lambda: sender.endpoint)
        receiver = TcpReceiver(sender.endpoint.removeprefix("tcp://"), NUMBER, {"N": 3})
        receiver.batch = 5  # so that it dies in the middle of messages, too
        there.connect(receiver, sink)
        there.start(placement="processes", restart=Restart())
        for goal in range(50, 350, 50):
            wait_for(there, "goes on", lambda goal=goal: there.status.blocks["collect"].items_in > goal)
            kill(there, "tcp_receiver")
        go_on(here, 6000)
        assert there.wait(PATIENCE)
        assert here.wait(PATIENCE)
    assert there.status.blocks["tcp_receiver"].restarts == 6
    assert sink.values == [float(k) for k in range(6000)]
    assert (sender.produced, sender.committed, sender.dropped) == (6000, 6000, 0)


@pytest.mark.parametrize("policy", ["drop-oldest", "latest"])
def test_the_books_of_lossy_edges_are_settled_after_a_kill(policy: str) -> None:
    source, scale, quick, slow = HeldCounter(pause=0.001), Scale(), Collect(), Collect(pause=0.004)
    held(source, 5000)
    fg = Flowgraph("lossy")
    fg.connect(source, scale, quick)
    fg.connect(scale, slow, policy=policy, depth=2)
    fg.start(6000, placement="processes", restart=Restart())
    wait_for(fg, "begins", lambda: fg.status.phase == "running" and fg.status.blocks["collect_2"].items_in > 40)
    for block in ("scale", "collect_2", "scale"):
        kill(fg, block)
    go_on(fg, 6000)
    assert fg.wait(PATIENCE)
    assert quick.numbers == list(range(6000))
    assert slow.numbers == sorted(set(slow.numbers))
    for edge in fg.status.edges:
        assert edge.balanced, edge
        assert edge.in_flight == 0, edge
        assert edge.produced == 6000, edge
    edge = next(e for e in fg.status.edges if e.receiver == "collect_2.number")
    assert edge.committed == len(slow.numbers)


def test_a_block_that_dies_of_the_same_item_again_and_again_ends_the_flowgraph() -> None:
    source, trouble = Counter(), Trouble("die", at=100)
    source.batch = 16
    fg = Flowgraph("poison")
    fg.connect(source, trouble, Collect())
    with pytest.raises(BlockError, match=r"trouble failed again and again: .*SIGKILL\), 4 times in a row") as caught:
        fg.run(500, placement="processes", restart=Restart(limit=3, wait=0.01))
    assert caught.value.block == "trouble"
    assert fg.status.blocks["trouble"].restarts == 3


def test_the_waits_between_attempts_double_up_to_the_longest() -> None:
    policy = Restart(limit=9, wait=0.1, longest=1.0)
    assert [policy.pause(n) for n in range(6)] == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.0])
    assert policy.pause(10_000) == 1.0


def test_a_block_is_not_made_again_before_its_wait_is_over() -> None:
    keeper = Keeper(Restart(limit=5, wait=30.0, longest=60.0))
    keeper.died(Death("a", signal.SIGKILL, "", 10))
    assert keeper.due() == ["a"]  # it had got on
    keeper.died(Death("a", signal.SIGKILL, "", 10))
    assert keeper.due() == ["a"]
    keeper.died(Death("a", signal.SIGKILL, "", 10))
    assert keeper.due() == []
    assert keeper.down == {"a"}


@pytest.mark.parametrize(("name", "value"), [("limit", 0), ("limit", 2.5), ("wait", -1.0), ("longest", float("nan"))])
def test_a_policy_that_cannot_be_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"restart: {name} must be"):
        Restart(**{name: value})  # type: ignore[arg-type]


def test_threads_cannot_be_restarted() -> None:
    fg = Flowgraph("threads")
    fg.connect(Counter(), Collect())
    with pytest.raises(PlacementError, match="blocks in threads die with the program; take placement='processes'"):
        fg.run(10, restart=Restart())


def test_stop_while_a_block_is_down() -> None:
    fg = loop(pause=0.003)[0]
    fg.start(placement="processes", restart=Restart(limit=9, wait=30.0, longest=60.0))
    wait_for(fg, "begins", lambda: fg.status.phase == "running" and pid_of(fg, "counter"))
    os.kill(pid_of(fg, "counter"), signal.SIGSTOP)
    wait_for(fg, "is frozen", lambda: fg.status.blocks["counter"].phase == "frozen")  # the others get nothing done
    assert fg._runner is not None
    keeper, deaths = fg._runner._keeper, 0
    assert keeper is not None

    def waits() -> bool:
        return keeper._due.get("scale", 0.0) > time.monotonic() + 1

    while deaths < 4 and not waits():  # after the second or third in a row without progress it has to wait
        os.kill(pid_of(fg, "scale"), signal.SIGKILL)
        deaths += 1
        wait_for(fg, "is down", lambda n=deaths: fg.status.blocks["scale"].restarts == n)
        wait_for(fg, "is back, or waits", lambda n=deaths: back(fg, "scale", n - 1) or waits())
    assert 2 <= deaths <= 3
    assert fg.status.phase == fg.status.blocks["scale"].phase == "restarting"
    began = time.monotonic()
    fg.stop()
    assert time.monotonic() - began < 25  # it does not wait for what has 30 s to wait
    assert fg.wait(PATIENCE)
    assert fg.status.phase == "stopped"


def test_a_setting_that_was_changed_stays_changed() -> None:
    source, scale, sink = HeldCounter(pause=0.002), Scale(), Collect()
    held(source, 900, batch=1)
    fg = Flowgraph("settings")
    fg.connect(source, scale, sink)
    fg.start(1000, placement="processes", restart=Restart())
    wait_for(fg, "begins", lambda: fg.status.phase == "running" and fg.status.blocks["collect"].items_in > 50)
    scale.factor = -3.0
    time.sleep(0.2)
    kill(fg, "scale")
    time.sleep(0.1)
    kill(fg, "scale")
    go_on(fg, 1000)
    assert fg.wait(PATIENCE)
    assert sink.numbers == list(range(1000))
    assert sink.values[-1] == -3.0 * 999


# The command line


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_run(parser, frames=10)
    return parser.parse_args(arguments)


def test_the_option_for_it() -> None:
    assert restart_of(options()) is None
    assert restart_of(options("--placement", "tcp", "--restart")) == Restart(limit=5)
    assert restart_of(options("--placement", "processes", "--restart", "9")) == Restart(limit=9)
    with pytest.raises(ValueError, match="--restart: blocks in threads die with the program; add --placement"):
        restart_of(options("--restart"))


# The two ends of a link


def ends(context: zmq.Context[zmq.Socket[bytes]], policy: str = "block") -> tuple[Outlet, Inlet]:
    layout = Counter().ports["number"].layout
    edge = EdgeSpec("a.number", "b.number", b"0123456789abcdef", policy)
    outlet = Outlet(context, "tcp://127.0.0.1:*", layout, [edge], 7)
    return outlet, Inlet(context, outlet.endpoint, layout, edge, 7)


def send(outlet: Outlet, first: int, count: int) -> None:
    for k in range(first, first + count):
        items = Counter().produce(k, 1)
        assert items is not None
        items.message = items.first = k
        outlet.send(items)


def exchange(outlet: Outlet, inlet: Inlet, done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        inlet.pump()
        outlet.pump()
        assert time.monotonic() < end


def test_nothing_is_acknowledged_before_a_snapshot_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by an acknowledgement nor by the HELLO to a sender that came back."""
    monkeypatch.setattr("isacblocks.stream.inlet.HELLO_INTERVAL", PATIENCE)  # said once: nothing comes twice unasked
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    outlet, inlet = ends(context)
    inlet.settle()
    snapshots = []
    inlet.keep = lambda: snapshots.append(inlet.next)
    send(outlet, 0, 6)
    exchange(outlet, inlet, lambda: len(inlet.queue) == 6)
    for _ in range(4):
        inlet.commit()
    inlet.hello()
    exchange(outlet, inlet, lambda: inlet.open and len(inlet.queue) == 2)
    assert [count.committed for count in outlet.counts()] == [0]
    assert inlet.owing == 4  # came again, known already
    inlet.acknowledge(urgent=True)
    assert snapshots == [4]  # asked for; this one was not taken
    inlet.settle()
    inlet.owing = 1
    inlet.acknowledge(urgent=True)
    exchange(outlet, inlet, lambda: outlet.counts()[0].committed == 4)
    assert [parcel.serial for parcel in outlet.held()] == [4, 5]
    inlet.close()
    outlet.close()
    context.term()


def test_an_end_that_hears_nothing_asks_and_then_connects_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    outlet, inlet = ends(context)
    exchange(outlet, inlet, lambda: inlet.open)
    done, now = list[str](), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(inlet, "move", lambda where: done.append(f"connects to {where}"))
    for _ in range(24):
        inlet.doubt()
        now += SILENCE / 2
        if not inlet.open and not done:
            done.append("asks")
    assert done[:2] == ["asks", f"connects to {outlet.endpoint}"]
    assert 2 < len(done) < 6  # more and more seldom: the sender may only be slow
    inlet.close()
    outlet.close()
    context.term()


# What a dead process leaves behind


def test_reports_of_a_connection_that_has_lost_its_name_are_passed_over() -> None:
    """A ROUTER gives a number to the connection of a dead process when the next one comes by the same name."""
    source, sink = HeldCounter(pause=0.002), Collect()
    held(source, 1000)
    fg = Flowgraph("names")
    fg.connect(source, sink)
    fg.start(1200, placement="processes", restart=Restart())
    wait_for(fg, "begins", lambda: fg.status.phase == "running" and fg.status.blocks["collect"].items_in > 20)
    assert fg._runner is not None
    with zmq.Context() as context, context.socket(zmq.DEALER) as late:
        late.routing_id = b"\xae\x01\x02\x03"
        late.connect(fg._runner._board.endpoint("control"))
        late.send(control.encode(control.Failed("while running", "it was killed", "")))
        late.send(control.encode(control.BlockStatus()))
    for _ in range(3):  # it is there; they have been read when the others have been heard three times more
        before = fg.status.blocks["collect"].wall_seconds
        wait_for(fg, "reports", lambda before=before: fg.status.blocks["collect"].wall_seconds > before)
    go_on(fg, 1200)
    assert fg.wait(PATIENCE)
    fg._raise()
    assert fg.status.blocks.keys() == {"counter", "collect"}
    assert sink.numbers == list(range(1200))


# With checkpoints


def test_checkpoints_go_on_while_blocks_are_killed(tmp_path: Path, undisturbed: tuple[object, ...]) -> None:
    """A run with kills that was stopped goes on from its last cut, with more kills, to the same end."""
    first = loop(pause=0.003, until=1600)[0]
    first.start(4000, placement="processes", restart=Restart(), checkpoint=tmp_path, checkpoint_every=8)
    wait_for(first, "begins", lambda: first.status.phase == "running" and (tmp_path / "manifest.json").exists())
    for block in ("scale", "leaky", "collect"):
        kill(first, block)
    before = (tmp_path / "manifest.json").read_bytes()
    go_on(first, 3200)
    wait_for(first, "saves again", lambda: (tmp_path / "manifest.json").read_bytes() != before)
    first.stop()
    assert [first.status.blocks[block].restarts for block in ("scale", "leaky", "collect", "counter")] == [1, 1, 1, 0]
    parts = loop(pause=0.003, until=3800)
    fg = parts[0]
    fg.start(4000, placement="processes", restart=Restart(), checkpoint=tmp_path, checkpoint_every=8)
    wait_for(fg, "begins", lambda: fg.status.phase == "running" and fg.status.blocks["collect"].messages > 10)
    for block in ("mixer", "counter", "join"):
        kill(fg, block)
    go_on(fg, 4000)
    assert fg.wait(PATIENCE)
    fg._raise()
    assert results(parts) == undisturbed


# Sinks that write files


@pytest.mark.parametrize("name", ["new.isac", "old.isac", "new.npz"])
def test_a_recording_has_every_item_once(name: str, tmp_path: Path) -> None:
    """Killed at any moment: what was written behind the last snapshot is cut off and comes again."""
    path = tmp_path / name
    if name == "old.isac":
        first = Flowgraph("before")
        first.connect(Counter(), Recorder(path))
        first.run(50)
    source, sink = HeldCounter(pause=0.001), Recorder(path, "append" if name == "old.isac" else "create")
    held(source, 2800)
    fg = Flowgraph("recorded")
    fg.connect(source, Scale(), sink)
    fg.start(3000, placement="processes", restart=Restart())
    wait_for(fg, "begins", lambda: fg.status.phase == "running")
    for pause in (0.0, 0.05, 0.2, 0.1, 0.0):
        assert not fg.wait(pause)
        kill(fg, "recorder")
    go_on(fg, 3000)
    assert fg.wait(PATIENCE)
    fg._raise()
    assert fg.status.blocks["recorder"].restarts == 5
    assert sink.count == 3000
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            numbers, values = file["sequence"], file["value"]
        assert not list(tmp_path.glob("*.part*"))
    else:
        recording = Recording(path)
        numbers, values = recording.items["sequence"], recording.items["value"]
    old = 50 if name == "old.isac" else 0
    assert numbers.tolist() == [*range(old), *range(3000)]
    assert values[old:, 0].tolist() == [2.0 * k for k in range(3000)]


def test_an_npz_that_was_finished_before_the_kill_is_left_as_it_is(tmp_path: Path) -> None:
    """Between the end of finish() and the last snapshot."""
    sink = Recorder(tmp_path / "done.npz")
    items = Counter().produce(0, 5)
    assert items is not None
    sink.ports["items"].adopt(items.layout)
    sink.start()
    sink.process(items)
    snapshot = sink.save()
    sink.finish()
    again = Recorder(tmp_path / "done.npz")
    again.ports["items"].adopt(items.layout)
    again.start()
    again.restore(snapshot)
    again.finish()
    with np.load(tmp_path / "done.npz", allow_pickle=False) as file:
        assert file["sequence"].tolist() == list(range(5))
    assert [p.name for p in tmp_path.iterdir()] == ["done.npz"]


# Journals


def test_a_journal_gives_back_the_last_whole_snapshot() -> None:
    files = open_files()
    assert Journal(files).load() is None
    assert progress_of(files) == -1
    journal = Journal(files)
    for k in range(5):
        journal.save(bytes([k]) * (1000 - k), progress=10 * k)
        assert Journal(files).load() == bytes([k]) * (1000 - k)
        assert progress_of(files) == 10 * k
    Journal(files).save(b"by another process", 50)
    assert Journal(files).load() == b"by another process"


@pytest.mark.parametrize("writes", [0, 1])
def test_a_kill_inside_a_snapshot_leaves_the_one_before(writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    files = open_files()
    journal = Journal(files)
    journal.save(b"first" * 100, 1)
    journal.save(b"second" * 100, 2)
    done = 0

    class KilledError(BaseException):
        pass

    def killed(write: Callable[..., int]) -> Callable[..., int]:
        def replacement(*arguments: Any) -> int:
            nonlocal done
            if done == writes:
                raise KilledError
            done += 1
            return write(*arguments)

        return replacement

    monkeypatch.setattr(os, "pwrite", killed(os.pwrite))
    monkeypatch.setattr(os, "pwritev", killed(os.pwritev))
    with pytest.raises(KilledError):
        journal.save(b"third" * 100, 3)
    monkeypatch.undo()
    assert Journal(files).load() == b"second" * 100
    assert progress_of(files) == 2


def test_the_shelf_writes_once_and_never_over_what_is_needed() -> None:
    shelf = Journal(open_files()).shelf
    sizes = random.Random(3)
    there: dict[int, list[bytes]] = {}
    for number in range(300):
        parts = [bytes([number % 251]) * sizes.randrange(0, 9000) for _ in range(sizes.randrange(1, 4))]
        place = shelf.put(number, parts)
        assert shelf.put(number, [b"not written"]) is place
        there[number] = parts
        if len(there) > 8:
            there = dict(sorted(there.items())[sizes.randrange(1, 8) :])
            shelf.clear(set(there))
        for key, kept in there.items():
            assert shelf.get(key, shelf.places[key]) == kept
    assert max(place[0] for place in shelf.places.values()) < 1 << 20  # places are used again
