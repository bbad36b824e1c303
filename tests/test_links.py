"""Broken connections: what a network does to the links of a flowgraph costs time and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from faults.proxy import Proxy, between
from stream_blocks import Collect, Counter, Scale
from test_link import Link, items

from isacblocks.stream import Flowgraph
from isacblocks.stream.plan import Status

ITEMS = 4000
PATIENCE = 90.0


def graph(pause: float = 0.0) -> tuple[Flowgraph, Collect]:
    """pause: seconds that every message takes at least, so that a run cannot be over too soon."""
    source, scale, sink = Counter(), Scale(), Collect(pause=pause)
    source.batch, scale.factor = 8, 2.0
    fg = Flowgraph("far")
    fg.connect(source, scale, sink)
    return fg, sink


def all_came(status: Status, sink: Collect) -> None:
    """Nothing lost, nothing doubled, in order, and the books of every edge say so."""
    assert sink.values == [2.0 * k for k in range(ITEMS)]
    for edge in status.edges:
        assert edge.balanced
        assert (edge.produced, edge.committed, edge.in_flight, edge.lost) == (ITEMS, ITEMS, 0, 0)


@pytest.mark.parametrize("faults", [{"sliced": 300}, {"latency": 0.002}, {"held": 0.3}], ids=lambda f: next(iter(f)))
def test_a_slow_network_loses_nothing(faults: dict[str, Any]) -> None:
    fg, sink = graph()
    with between(**faults) as proxies, fg:
        fg.start(ITEMS, placement="tcp")
        assert fg.wait(PATIENCE)
        assert sum(proxy.carried for proxy in proxies) >= 2
    all_came(fg.status, sink)


@pytest.mark.parametrize("fault", ["reset", "half_open"])
def test_connections_that_break_lose_nothing(fault: str) -> None:
    fg, sink = graph(pause=0.006)  # 3 s, however fast the machine is
    broken = 0
    with between(latency=0.001) as proxies, fg:
        fg.start(ITEMS, placement="tcp")
        end = time.monotonic() + PATIENCE
        while not fg.wait(0.15) and time.monotonic() < end:
            if fg.status.edges and broken < 6:
                getattr(proxies[broken % len(proxies)], fault)()
                broken += 1
        assert fg.wait(0), "it has come to its end"
    assert broken >= 2
    all_came(fg.status, sink)


def test_a_link_through_nothing_comes_back() -> None:
    """Both ends by hand: the connection goes silent with messages on it; asked again, they come, once."""
    link = Link("tcp://127.0.0.1:*")
    proxy = Proxy(int(link.outlet.endpoint.rsplit(":", 1)[1]))
    link.inlet.close()
    link.outlet.endpoint = f"tcp://127.0.0.1:{proxy.port}"
    link.inlet = link.connect()
    try:
        link.outlet.send(items(0))
        link.settle(lambda: link.inlet.head() is not None)
        proxy.half_open()
        for k in (1, 2):
            link.outlet.send(items(k))
        link.settle()
        assert len(link.inlet.queue) == 1
        link.inlet.commit()
        end = time.monotonic() + PATIENCE
        while len(link.inlet.queue) < 2 and time.monotonic() < end:
            link.inlet.doubt()
            link.settle(lambda: len(link.inlet.queue) == 2, 0.1)
        assert [message.message for message in link.inlet.queue] == [1, 2]
        for _ in range(2):
            link.inlet.commit()
        link.inlet.acknowledge(urgent=True)
        link.settle(link.outlet.drained)
        assert (link.law().committed, link.law().lost) == (9, 0)
    finally:
        link.close()
        proxy.close()


def test_a_slow_consumer_slows_the_source_or_is_counted() -> None:
    """At a tenth of the rate of the others: a lossless edge holds the source, lossy ones count what they leave out."""
    source = Counter()
    source.batch = 4
    patient, older, newest = Collect(pause=0.002), Collect(pause=0.02), Collect(pause=0.02)
    fg = Flowgraph("slow")
    fg.connect(source, patient, depth=2)
    fg.connect(source, older, policy="drop-oldest", depth=3)
    fg.connect(source, newest, policy="latest")
    status = fg.run(1200, placement="tcp")
    assert patient.values == [float(k) for k in range(1200)]
    for sink, edge in zip((older, newest), status.edges[1:], strict=True):
        assert edge.balanced
        assert edge.in_flight == 0
        assert edge.lost + len(sink.values) == 1200
        assert edge.lost > 300
        assert edge.dropped.keys() == {"overflow" if sink is older else "superseded"}
        assert sink.numbers == sorted(set(sink.numbers))
