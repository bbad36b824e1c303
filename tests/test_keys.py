"""Links between hosts: keys, the list of those who may connect, and real libzmq peers that may not."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from stream_blocks import NUMBER, Collect, Counter
from test_link import LAYOUT, items
from zmq.utils import z85

from isacblocks.blocks import TcpReceiver, TcpSender
from isacblocks.blocks.tcp_sender import edge_of
from isacblocks.stream import Flowgraph, wire
from isacblocks.stream.address import AccessError
from isacblocks.stream.inlet import Inlet
from isacblocks.stream.keys import AllowList, KeyGuard, KeyPair, load_keys, load_public, make_keys, show_keys
from isacblocks.stream.outlet import Outlet

EDGE = edge_of("test", "block", 4)
PATIENCE = 60.0
SIZES = {"N": 3}


class Hosts:
    """Keys of a sender, of a receiver that is allowed, and of one that is not."""

    def __init__(self, directory: Path) -> None:
        for name in ("sender", "receiver", "other"):
            make_keys(directory / name)
        self.sender, self.receiver, self.other = (load_keys(directory / n) for n in ("sender", "receiver", "other"))
        self.directory = directory
        self.allowed = directory / "allowed"
        self.allow(self.receiver)

    def allow(self, *pairs: KeyPair) -> None:
        """Write the list anew; the time of the change differs, however coarse the clock."""
        self.allowed.write_text("".join(f"{pair.public.hex()}  a remark\n" for pair in pairs))
        stamp = time.time_ns() + len(self.allowed.read_bytes())
        os.utime(self.allowed, ns=(stamp, stamp))


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


@pytest.fixture
def outlet(hosts: Hosts) -> Iterator[Outlet]:
    context: Any = zmq.Context()
    guard = KeyGuard(hosts.sender, AllowList(hosts.allowed))
    made = Outlet(context, "tcp://127.0.0.1:*", LAYOUT, [EDGE], epoch=5, guard=guard, joining=True)
    yield made
    made.close()
    context.term()


def dealer(context: Any, endpoint: str, **options: Any) -> Any:
    made = context.socket(zmq.DEALER)
    made.linger, made.routing_id = 0, EDGE.token
    for name, value in options.items():
        setattr(made, name, value)
    made.connect(endpoint)
    return made


def shown(pair: KeyPair, sender: bytes) -> dict[str, bytes]:
    public, secret = z85.encode(pair.public), z85.encode(pair.secret)
    return {"curve_publickey": public, "curve_secretkey": secret, "curve_serverkey": z85.encode(sender)}


def hello(epoch: int = 5) -> bytes:
    return wire.pack(wire.Header(wire.HELLO, 0, LAYOUT.stream_id, epoch, 0, 0, 0, 0, 0, 0.0, 1)) + b"\x80"


def pump(outlet: Outlet, until: Any, seconds: float = PATIENCE) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        outlet.pump()
        if until():
            return True
        time.sleep(0.002)
    return False


def test_a_real_peer_that_is_allowed_gets_what_is_sent(outlet: Outlet, hosts: Hosts) -> None:
    context: Any = zmq.Context()
    peer = dealer(context, outlet.endpoint, **shown(hosts.receiver, hosts.sender.public))
    try:
        outlet.send(items(0))
        peer.send(hello())
        assert pump(outlet, lambda: peer.poll(0))
        assert wire.unpack(peer.recv_multipart()[0]).kind == wire.OPEN
        assert pump(outlet, lambda: peer.poll(0))
        assert wire.unpack(peer.recv_multipart()[0]).kind == wire.DATA
    finally:
        peer.close(0)
        context.term()


@pytest.mark.parametrize("who", ["not on the list", "no key", "a token", "another sender expected"])
def test_no_frame_goes_either_way_with_a_wrong_or_no_key(outlet: Outlet, hosts: Hosts, who: str) -> None:
    options: dict[str, Any] = {
        "not on the list": shown(hosts.other, hosts.sender.public),
        "no key": {},
        "a token": {"plain_username": EDGE.receiver.encode(), "plain_password": EDGE.token.hex().encode()},
        "another sender expected": shown(hosts.receiver, hosts.other.public),
    }[who]
    context: Any = zmq.Context()
    peer = dealer(context, outlet.endpoint, **options)
    good = dealer(context, outlet.endpoint, **shown(hosts.receiver, hosts.sender.public))
    try:
        outlet.send(items(0))
        with contextlib.suppress(zmq.Again):  # sent away already
            peer.send(hello(), zmq.NOBLOCK)
        pump(outlet, lambda: False, 0.7)
        assert not peer.poll(0), "nothing to it"
        assert outlet.counts()[0].committed == 0
        assert not any(one.open for one in outlet._edges), "nothing from it"
        if who == "not on the list":
            assert outlet.refusals.counts["handshake"] >= 1
        good.send(hello())
        assert pump(outlet, lambda: good.poll(0)), "the rightful one is not disturbed"
    finally:
        peer.close(0)
        good.close(0)
        context.term()


def test_a_key_that_is_revoked_while_the_link_runs_ends_it_both_ways(outlet: Outlet, hosts: Hosts) -> None:
    context: Any = zmq.Context()
    peer = dealer(context, outlet.endpoint, **shown(hosts.receiver, hosts.sender.public))
    try:
        peer.send(hello())
        outlet.send(items(0))
        got: list[bytes] = []

        def arrived() -> bool:
            while peer.poll(0):
                got.append(peer.recv_multipart()[0])
            return len(got) >= 2

        assert pump(outlet, arrived)
        hosts.allow(hosts.other)
        outlet.send(items(1))  # nothing more to it
        assert not pump(outlet, lambda: peer.poll(0), 0.5)
        acknowledged = wire.Header(wire.ACK, 0, LAYOUT.stream_id, 5, 1, 0, 3, 0, 0, 0.0, 1)
        peer.send(wire.pack(acknowledged) + b"\x80")  # nothing from it
        assert pump(outlet, lambda: outlet.refusals.counts["revoked"] >= 1)
        peer.send(hello())
        assert pump(outlet, lambda: outlet.refusals.counts["revoked"] >= 2)
        book = outlet.counts()[0]
        assert (book.committed, book.in_flight) == (0, 6)
        hosts.allow(hosts.receiver)
        peer.send(hello())
        assert pump(outlet, lambda: peer.poll(0)), "and let in again"
    finally:
        peer.close(0)
        context.term()


def test_a_list_that_cannot_be_read_lets_nobody_in(hosts: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    allowed = AllowList(hosts.allowed)
    assert allowed.allows(hosts.receiver.public)
    hosts.allowed.write_text("nonsense\n")
    assert not allowed.allows(hosts.receiver.public)
    assert "nobody is let in any more" in caplog.text
    hosts.allow(hosts.receiver)
    assert allowed.allows(hosts.receiver.public)
    hosts.allowed.unlink()
    assert not allowed.allows(hosts.receiver.public)


def test_files_of_keys(hosts: Hosts, tmp_path: Path) -> None:
    secret = tmp_path / "sender"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert hosts.sender.secret.hex() not in repr(hosts.sender)
    assert load_public(tmp_path / "sender.pub") == hosts.sender.public
    assert hosts.sender.secret.hex() not in (tmp_path / "sender.pub").read_text()
    with pytest.raises(AccessError, match="exists"):
        make_keys(secret)
    secret.chmod(0o640)
    with pytest.raises(AccessError, match="chmod 600"):
        load_keys(secret)
    mixed = tmp_path / "mixed"
    mixed.write_text(f"public {hosts.other.public.hex()}\nsecret {hosts.sender.secret.hex()}\n")
    mixed.chmod(0o600)
    with pytest.raises(AccessError, match="does not belong"):
        load_keys(mixed)
    hosts.allowed.chmod(0o666)
    with pytest.raises(AccessError, match="let themselves in"):
        AllowList(hosts.allowed)
    for text in ("", "public 12", "x" * (2 << 20)):
        mixed.write_text(text)
        with pytest.raises(AccessError):
            load_keys(mixed)
        with pytest.raises(AccessError):
            load_public(mixed)


def test_beyond_this_machine_nothing_starts_without_keys_and_a_list(hosts: Hosts) -> None:
    sender, public = hosts.directory / "sender", hosts.directory / "sender.pub"
    for address in ("0.0.0.0:0", "192.0.2.1:5650", "[::]:5650", "radar.example:5650"):
        with pytest.raises(AccessError, match="keys"):
            TcpSender(address)
        with pytest.raises(AccessError, match="keys"):
            TcpSender(address, keys=sender)
        with pytest.raises(AccessError, match="key"):
            TcpReceiver(address, NUMBER, SIZES)
        TcpSender(address, keys=sender, allowed=hosts.allowed)
        TcpReceiver(address, NUMBER, SIZES, keys=hosts.directory / "receiver", sender=public)
    with pytest.raises(AccessError, match="belong together"):
        TcpSender("127.0.0.1:0", allowed=hosts.allowed)


def test_the_command_makes_keys_that_nobody_else_can_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "isacblocks", "keys", str(tmp_path / "host.key")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, umask=0)
    assert done.returncode == 0, done.stderr
    pair = load_keys(tmp_path / "host.key")
    assert pair.public.hex() in done.stdout
    assert pair.secret.hex() not in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 2
    assert "exists" in again.stderr


def sender_graph(keys: dict[str, Any], policy: str = "block") -> tuple[Flowgraph, TcpSender]:
    source, sender = Counter(), TcpSender("127.0.0.1:0", policy=policy, **keys)
    source.batch = 16
    fg = Flowgraph("here")
    fg.connect(source, sender)
    return fg, sender


def receiver_graph(endpoint: str, keys: dict[str, Any]) -> tuple[Flowgraph, Collect, TcpReceiver]:
    receiver, sink = TcpReceiver(endpoint.removeprefix("tcp://"), NUMBER, SIZES, **keys), Collect()
    fg = Flowgraph("there")
    fg.connect(receiver, sink)
    return fg, sink, receiver


def wait_for(what: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    assert what()


def came(fg: Flowgraph) -> int:
    return fg.status.blocks["collect"].items_in


@pytest.mark.parametrize("keyed", [True, False])
def test_two_flowgraphs_are_as_one(hosts: Hosts, keyed: bool) -> None:
    """Everything arrives, once and in order, and the sender ends when the receiver has acknowledged all of it."""
    ours = {"keys": hosts.directory / "sender", "allowed": hosts.allowed} if keyed else {}
    theirs = {"keys": hosts.directory / "receiver", "sender": hosts.directory / "sender.pub"} if keyed else {}
    here, sender = sender_graph(ours)
    with here:
        here.start(1000)
        wait_for(lambda: sender.endpoint)
        there, sink, receiver = receiver_graph(sender.endpoint, theirs)
        status = there.run()
        assert here.wait(PATIENCE)
    assert sink.values == [float(k) for k in range(1000)]
    assert all(edge.balanced for edge in (*status.edges, *here.status.edges))
    assert (sender.produced, sender.committed, sender.dropped) == (1000, 1000, 0)
    assert (receiver.committed, receiver.senders) == (1000, 1)


def test_a_receiver_that_is_replaced_gets_what_was_not_acknowledged(hosts: Hosts) -> None:
    here, sender = sender_graph({})
    with here:
        here.start()
        wait_for(lambda: sender.endpoint)
        first, sink, _ = receiver_graph(sender.endpoint, {})
        first.start()
        wait_for(lambda: came(first) > 500)
        first.stop()
        got = sink.values
        second, other, receiver = receiver_graph(sender.endpoint, {})
        with second:
            second.start()
            wait_for(lambda: came(second) > 500)
            second.stop()
        assert other.values == [other.values[0] + k for k in range(len(other.values))]
        assert got == [float(k) for k in range(len(got))]
        assert other.values[0] > 0, "it began where the sender was"
        assert receiver.senders == 1


def test_a_sender_that_begins_anew_is_listened_to(hosts: Hosts) -> None:
    here, sender = sender_graph({})
    here.start()
    wait_for(lambda: sender.endpoint)
    there, sink, receiver = receiver_graph(sender.endpoint, {})
    with there:
        there.start()
        wait_for(lambda: came(there) > 300)
        here.stop()
        source, again = Counter(), TcpSender(sender.endpoint.removeprefix("tcp://"))
        anew = Flowgraph("anew")
        anew.connect(source, again)
        anew.start(1000)
        assert anew.wait(PATIENCE)
        assert there.wait(PATIENCE)
    assert sink.values[-1000:] == [float(k) for k in range(1000)]
    assert receiver.senders == 2


def test_what_is_told_to_a_receiver_is_shown_by_its_inlet(outlet: Outlet, hosts: Hosts) -> None:
    """The ends of the links themselves, by keys, in two contexts."""
    context: Any = zmq.Context()
    inlet = Inlet(
        context,
        outlet.endpoint,
        LAYOUT,
        EDGE,
        0,
        show=lambda socket: show_keys(socket, hosts.receiver, hosts.sender.public),
        joining=True,
    )
    try:
        outlet.send(items(0))
        assert pump(outlet, lambda: inlet.pump() or inlet.head() is not None)
        assert pump(outlet, lambda: inlet.pump() or inlet.head() is not None)
        head = inlet.head()
        assert head is not None
        assert (head.value == 0).all()
        assert (inlet.epoch, inlet.joined) == (5, 1)
    finally:
        inlet.close()
        context.term()


def test_no_thread_is_left(hosts: Hosts) -> None:
    here, _ = sender_graph({})
    here.start(1000)
    wait_for(lambda: any(t.name == "isacblocks tcp sender" for t in threading.enumerate()))
    here.stop()
    wait_for(lambda: not any(t.name in ("isacblocks tcp sender", "isacblocks door") for t in threading.enumerate()))
