"""Hostile peers at the ports of a running flowgraph: garbage connections, valid handshakes, and messages that lie."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from faults.case import Case, Outcome
from faults.decoders import changed, mend_header
from faults.proxy import between
from isacblocks.stream import Block, Field, Flowgraph, In, Items, Out, Reading, Record, Source, wire
from isacblocks.stream.door import show_token
from isacblocks.stream.link import EdgeSpec

NUMBER = Record("number", (Field("value", "float64", ("N",)),))
_PATIENCE = 120.0  # seconds
_GARBAGE = (
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\xff" * 64,
    b"\xff" + bytes(8) + b"\x7f\x03\0NULL" + bytes(48),
    b"\x16\x03\x01\2\0",
)


class Numbers(Source):
    """Item k holds k; at a few thousand items a second."""

    number = Out(NUMBER)

    def dimensions(self) -> dict[str, int]:
        """See Block."""
        return {"N": 4}

    def produce(self, first: int, count: int) -> Items:
        """See Source."""
        time.sleep(0.002)
        return self.number.items(value=np.arange(first, first + count)[:, None] * np.ones(4))


class Sum(Block):
    """Adds up what comes, and sees whether the numbers rise by one."""

    number = In(NUMBER)
    came = Reading()
    gaps = Reading()

    def dimensions(self) -> dict[str, int]:
        """See Block."""
        return {"N": 4}

    def start(self) -> None:
        """See Block."""
        super().start()
        self.came = self.gaps = 0.0
        self._next = 0.0

    def process(self, number: Items) -> None:
        """See Block."""
        values = number.value[:, 0]
        self.gaps += float(np.sum(np.diff(values, prepend=self._next - 1) != 1))
        self._next = float(values[-1]) + 1
        self.came += len(number)


@dataclass
class Run:
    """A flowgraph over TCP, and where its source is bound. edges: of the lossless link and of the lossy one beside it."""

    flowgraph: Flowgraph
    endpoint: str
    edges: list[EdgeSpec]
    stream: int

    def memory(self) -> int:
        """Bytes in memory of the source's process."""
        process = self.flowgraph.status.blocks["numbers"].process
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()

    @property
    def refused(self) -> dict[str, int]:
        """By the source's port."""
        return self.flowgraph.status.blocks["numbers"].refused


@contextlib.contextmanager
def running() -> Iterator[Run]:
    """One that runs until its source is told that it is over."""
    source, sink, beside = Numbers(), Sum(), Sum()
    source.batch = 8
    fg = Flowgraph("attacked")
    fg.connect(source, sink)
    fg.connect(source, beside, policy="drop-oldest", depth=4)
    with fg:
        fg.start(placement="tcp")
        end = time.monotonic() + _PATIENCE
        while not fg.status.blocks["sum"].items_in and time.monotonic() < end:
            fg.wait(0.02)
        runner: Any = fg._runner
        yield Run(fg, runner._bound["numbers.number"], fg.edges(), source.number.layout.stream_id)


def judge(run: Run, outcome: Outcome, level: int) -> None:
    """The lossless link went on, with nothing lost; both edges' books hold; memory is what it was."""
    fg = run.flowgraph
    before = {name: fg.status.blocks[name].items_in for name in ("sum", "sum_2")}
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and any(fg.status.blocks[name].items_in <= count for name, count in before.items()):
        fg.wait(0.05)
    status = fg.status
    for name, count in before.items():
        outcome.expect(status.blocks[name].items_in > count, f"nothing comes to {name} any more")
    outcome.expect(status.phase == "running", f"the flowgraph is {status.phase}")
    outcome.expect(status.blocks["sum"].readings["gaps"] == 0, "the lossless link has gaps")
    for edge in status.edges:
        outcome.expect(edge.balanced, f"the books do not add up: {edge}")
    outcome.expect(status.edges[0].lost == 0, f"lost: {status.edges[0]}")
    grown = (run.memory() - level) / 2**20
    outcome.figures |= {"items": status.blocks["sum"].items_in, "grown MiB": round(grown, 1)}
    outcome.figures |= {f"refused: {reason}": count for reason, count in run.refused.items()}
    outcome.expect(grown < 30, f"memory grew by {grown:.1f} MiB")


def garbage(count: int) -> Outcome:
    """count: connections that are none of ours, some of them left open."""
    outcome = Outcome()
    with running() as run:
        host, port = run.endpoint.removeprefix("tcp://").rsplit(":", 1)
        level, kept = 0, list[socket.socket]()
        for k in range(count):
            with contextlib.suppress(OSError):
                connection = socket.create_connection((host, int(port)), timeout=10)
                connection.sendall(_GARBAGE[k % len(_GARBAGE)])
                kept.append(connection)
            if len(kept) > 200:
                kept.pop(0).close()
            if k == count // 4:
                level = run.memory()
        for connection in kept:
            connection.close()
        judge(run, outcome, level)
    return outcome


def _requests(run: Run, chance: random.Random) -> Iterator[list[bytes]]:
    """Without end: what a receiver might say, and what none would."""
    stream = run.stream

    def head(kind: int, body: bytes = b"\x80", **values: Any) -> bytes:
        fields: dict[str, Any] = dict.fromkeys(("flags", "serial", "message", "first", "count", "fields"), 0)
        fields |= {"stream": stream, "epoch": 1, "time": 1.0, "body": len(body)}
        return wire.pack(wire.Header(kind, **(fields | values))) + body

    while True:
        kind = chance.choice((wire.HELLO, wire.ACK, wire.DATA, wire.OPEN))
        good = head(
            kind, serial=chance.choice((0, 1, 1 << 62)), first=chance.choice((0, 1 << 61)), stream=chance.choice((stream, 5))
        )
        yield chance.choice(
            (
                [changed(good, chance)[:60_000]],
                [mend_header(changed(good, chance)[:60_000])],
                [good[:4] + b"\x63" + good[5:]],
                [head(kind, count=(1 << 32) - 1, body=b"\xdf\xff\xff\xff\xff")],
                [good] * chance.choice((2, 60)),
            )
        )


def _attack(
    run: Run, count: int, connect: Callable[[], Any], outcome: Outcome, between_: Callable[[int], None], stranger: bool
) -> None:
    """Peers that `connect` makes: one whose name the true receiver has taken back is heard no more, another follows.

    stranger: nobody takes its name back, so that one is enough and all that it says is to be refused.
    """
    requests, peer = _requests(run, random.Random(3)), connect()
    for k in range(count):
        end, renewed = time.monotonic() + _PATIENCE, time.monotonic()
        while True:
            try:
                peer.send_multipart(next(requests), zmq.NOBLOCK)
                break
            except zmq.Again:
                if time.monotonic() > end:
                    outcome.breaches.append(f"the port takes nothing any more, after {k} messages")
                    peer.close(0)
                    return
                if not stranger and time.monotonic() - renewed > 1.0:
                    peer.close(0)
                    peer, renewed = connect(), time.monotonic()
                time.sleep(0.001)
        between_(k)
    _settle(run, count if stranger else 0)
    peer.close(0)


def _settle(run: Run, least: int) -> None:
    """Wait until all that was sent has been looked at: at least so many were refused, and the counts rise no more."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < (2.0 if seen >= least else _PATIENCE):
        count = sum(run.refused.values())
        if count != seen:
            seen, since = count, time.monotonic()
        run.flowgraph.wait(0.1)


def _peer(context: Any, run: Run, edge: EdgeSpec | None, identity: bytes) -> Any:
    peer = context.socket(zmq.DEALER)
    peer.linger, peer.sndhwm, peer.routing_id = 0, 500, identity
    if edge is not None:
        show_token(peer, edge)
    peer.connect(run.endpoint)
    return peer


def live(count: int) -> Outcome:
    """count: messages, half of them by a stranger who has a token, half in the place of the lossy link's receiver."""
    outcome, context = Outcome(), zmq.Context()
    with running() as run:
        levels = [run.memory()]
        for identity in (b"stranger", run.edges[1].token):
            connect = partial(_peer, context, run, run.edges[1], identity)
            look = lambda k: levels.append(run.memory()) if k == count // 8 else None  # noqa: E731
            _attack(run, count // 2, connect, outcome, look, identity == b"stranger")
            if identity == b"stranger":
                refused = sum(run.refused.values())
                outcome.expect(refused >= count // 2, f"of {count // 2} messages of a stranger {refused} were counted")
        judge(run, outcome, max(levels[:2]))
    context.term()
    return outcome


def strangers(count: int) -> Outcome:
    """count: peers that speak ZMTP and know a receiver's name, but not its token."""
    outcome, context = Outcome(), zmq.Context()
    with running() as run:
        level = run.memory()
        for k in range(count):
            edge = run.edges[k % 2]
            false = EdgeSpec(edge.sender, edge.receiver, bytes([k % 256]) * 16)
            peer = _peer(context, run, None if k % 3 == 0 else false, edge.token)
            with contextlib.suppress(zmq.Again):
                peer.send(b"x", zmq.NOBLOCK)
            if peer.poll(5):
                outcome.breaches.append("something was said to a stranger")
            peer.close(0)
        judge(run, outcome, level)
    context.term()
    return outcome


def broken(count: int) -> Outcome:
    """count: connections that are reset, or fall silent, while the flowgraph runs through slow proxies."""
    outcome = Outcome()
    with between(latency=0.0005, held=0.05) as proxies, running() as run:
        level = run.memory()
        for k in range(count):
            run.flowgraph.wait(0.1)
            getattr(proxies[k % len(proxies)], ("reset", "half_open")[k // len(proxies) % 2])()
        judge(run, outcome, level)
        outcome.figures["connections"] = sum(proxy.carried for proxy in proxies)
    return outcome


CASES = [
    Case("garbage", "connections that are none of ours disturb nobody", garbage, 300, 6000, "connections"),
    Case("live socket", "messages that lie are refused and counted, the rest goes on", live, 4000, 100_000, "messages"),
    Case("strangers", "who cannot show the token gets nothing and is counted", strangers, 100, 2000, "peers"),
    Case("connections", "broken connections lose nothing", broken, 12, 500, "breaks"),
]
