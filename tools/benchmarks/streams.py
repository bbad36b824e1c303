#!/usr/bin/env python3
"""What a link costs, beside bare pyzmq measured in the same run: python tools/benchmarks/streams.py [rates|latency|...]

rates       frames/s through one link of ours and through PUSH/PULL, by transport and frames per message; a frame is 131 kB
latency     p50 and p99 from a source to a sink at 500 messages/s of one frame, in threads and in processes
overload    age of what a sink ten times too slow is given, policy "latest"
runtime     what the runtime adds to a block's work, 16 frames a message, 15 us of work a frame

Rates are measured in short pieces of work, all transports in turn, again and again; the table shows medians, and the median
of the ratio to bare pyzmq on the same transport. Receivers check every frame's number, at both of its ends;
ours have the environment that the runtime gives its processes.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import zmq
from numpy.typing import NDArray

from isacblocks.stream import Block, Field, Flowgraph, In, Items, Out, Record, Source, State, wire
from isacblocks.stream.inlet import Inlet
from isacblocks.stream.link import EdgeSpec
from isacblocks.stream.memory import Pool
from isacblocks.stream.nursery import environment
from isacblocks.stream.outlet import Outlet

ANTENNAS, SUBCARRIERS = 64, 256
FRAME = Record(
    "frame",
    (
        Field("y", "complex64", ("N", "S")),
        Field("x", "complex64", ("S",)),
        *(Field(name, "float64") for name in ("theta_min", "theta_max", "tau_min", "tau_max", "time")),
        Field("valid", "uint8"),
    ),
)
EDGE = EdgeSpec("sender.frame", "receiver.frame", b"b" * 16)
TRANSPORTS = ("inproc", "shared", "copied", "ipc", "tcp")  # copied: into shared memory, from an array made elsewhere
BATCHES = (1, 8, 16, 64)
MARK = 2  # messages at either end of a bare link
RING = 8  # arrays that a bare sender uses in turn: more than may be on their way


class Frames(Source):
    """Frames that carry their number in y and the time when they were made; `period` seconds between messages."""

    frame = Out(FRAME)

    def __init__(self, period: float = 0.0) -> None:
        self.period = period
        self.due = 0.0
        self.symbols, self.valid = np.zeros((0, SUBCARRIERS), np.complex64), np.ones(0, np.uint8)

    def dimensions(self) -> dict[str, int]:
        """Of Table I."""
        return {"N": ANTENNAS, "S": SUBCARRIERS}

    def produce(self, first: int, count: int) -> Items:
        """The next frames, when they are due."""
        if self.period:
            self.due = max(self.due + self.period, time.perf_counter() - self.period)
            time.sleep(max(0.0, self.due - time.perf_counter()))
        return self.make(self.frame.allocate(count)["y"], first)

    def make(self, y: NDArray[Any], first: int) -> Items:
        """Items with y, of which the first and last sample are set. Filling the rest is a block's work, not the link's."""
        frames = y.shape[0]
        y[:, 0, 0] = y[:, -1, -1] = np.arange(first, first + frames)
        if len(self.valid) != frames:
            self.symbols, self.valid = np.zeros((frames, SUBCARRIERS), np.complex64), np.ones(frames, np.uint8)
        made = np.full(frames, time.perf_counter())
        sector = dict.fromkeys(("theta_min", "theta_max", "tau_min", "tau_max", "time"), made)
        return self.frame.items(y=y, x=self.symbols, valid=self.valid, **sector)


def verify(y: NDArray[Any], first: int) -> None:
    """Raises RuntimeError where y is not what was sent."""
    number = np.arange(first, first + y.shape[0])
    if not ((y[:, 0, 0] == number).all() and (y[:, -1, -1] == number).all()):
        raise RuntimeError(f"frames {first} to {first + y.shape[0] - 1} came damaged")


# Rates: a sender here, a receiver in a thread or in a process


class Measured(Protocol):
    """Something that moves frames."""

    def run(self) -> int:
        """Do a fixed amount of work; the number of frames."""

    def close(self) -> None:
        """End the receiver."""


class Receiver:
    """The other end, in a thread where it has to share our memory, else in a process."""

    def __init__(self, context: Any, kind: str, endpoint: str, batch: int) -> None:
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if endpoint.startswith("inproc:"):
            self._thread = threading.Thread(target=receive, args=(context, kind, endpoint, batch), daemon=True)
            self._thread.start()
        else:
            command = [sys.executable, __file__, "--receive", kind, endpoint, str(batch)]
            self._process = subprocess.Popen(command, env=environment() if kind == "ours" else None)

    def join(self) -> None:
        """Wait for its end. Raises RuntimeError where it failed."""
        if self._thread is not None:
            self._thread.join(10)
        if self._process is not None and self._process.wait(10):
            raise RuntimeError("the receiver failed")


def receive(context: Any, kind: str, endpoint: str, batch: int) -> None:
    """A receiver's life."""
    (receive_bare if kind == "bare" else receive_ours)(context, endpoint, batch)


def attend(end: Inlet | Outlet) -> None:
    """Wait for what the other end has to say, as a worker does. Raises RuntimeError where there is nothing for 10 s."""
    end.sleep(True)
    if not end.collect():
        if not end.socket.poll(10_000):
            raise RuntimeError("nothing was heard of the other end for 10 s")
        end.receive()
    end.sleep(False)
    end.collect()


def receive_ours(context: Any, endpoint: str, batch: int) -> None:
    """Take what a link brings until its end."""
    inlet = Inlet(context, endpoint, Frames().frame.layout, EDGE, epoch=1)
    inlet.hello()
    first = 0
    while not inlet.ended:
        head = inlet.head()
        if head is None:
            attend(inlet)
            continue
        verify(head.y, first)
        first += len(head)
        del head
        inlet.commit()
        inlet.acknowledge(urgent=inlet.ended)
    inlet.socket.close(1000)


def receive_bare(context: Any, endpoint: str, batch: int) -> None:
    """The same with nothing but pyzmq; what has come is told by its number, an empty message is the end."""
    socket, back = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    socket.rcvhwm = MARK
    socket.connect(endpoint)
    back.connect(_back(endpoint))
    for message in count():
        _, *large = socket.recv_multipart(copy=False)
        if not large:
            break
        verify(np.frombuffer(large[0].buffer, np.complex64).reshape(batch, ANTENNAS, SUBCARRIERS), message * batch)
        back.send(b"")
    socket.close(0)
    back.close(1000)


def _back(endpoint: str) -> str:
    return (
        endpoint + "back"
        if not endpoint.startswith("tcp")
        else f"tcp://127.0.0.1:{int(endpoint.rsplit(':', maxsplit=1)[-1]) + 1}"
    )


class OurRate:
    """A link as the runtime uses it, the sender waiting for credit and for the last acknowledgement."""

    def __init__(self, transport: str, batch: int, messages: int, directory: str) -> None:
        self.context: Any = zmq.Context()
        self.batch, self.messages, self.first, self.number = batch, messages, 0, 0
        self.source = Frames()
        endpoint = _endpoint(transport, directory, "ours")
        self.outlet = Outlet(self.context, endpoint, self.source.frame.layout, [EDGE], epoch=1)
        self.source.frame.pool = Pool(shared=False) if transport == "ipc" else self.outlet.pool
        self.own = np.zeros((batch, ANTENNAS, SUBCARRIERS), np.complex64) if transport == "copied" else None
        self.receiver = Receiver(self.context, "ours", self.outlet.endpoint, batch)

    def run(self) -> int:
        """Send so many messages and hear that all of them were taken."""
        for _ in range(self.messages):
            self.outlet.collect()
            while not self.outlet.room():
                attend(self.outlet)
            if self.own is not None:
                items = self.source.make(self.own, self.first)
            else:
                items = self.source.produce(self.first, self.batch)
            items.first, items.message = self.first, self.number
            self.outlet.send(items)
            self.first += self.batch
            self.number += 1
        # What is less than half of the credit waits for more to be acknowledged with it: it was there when this began, too
        while 2 * self.outlet.counts()[0].in_flight >= EDGE.depth * self.batch:
            attend(self.outlet)
        return self.messages * self.batch

    def close(self) -> None:
        """Send the end."""
        layout = self.source.frame.layout
        self.outlet.send(Items(layout, layout.nothing, 0, message=self.number, final=True))
        while not self.outlet.drained():
            attend(self.outlet)
        self.receiver.join()
        self.outlet.close()
        self.context.term()


class BareRate:
    """PUSH/PULL with copy=False and the same buffers, and a socket back that says what has been taken."""

    def __init__(self, transport: str, batch: int, messages: int, directory: str) -> None:
        self.context: Any = zmq.Context()
        self.batch, self.messages, self.number = batch, messages, 0
        self.socket, self.back = self.context.socket(zmq.PUSH), self.context.socket(zmq.PULL)
        self.socket.sndhwm = MARK
        endpoint = _endpoint(transport, directory, "bare")
        if transport == "tcp":
            endpoint = f"tcp://127.0.0.1:{_free_ports()}"
        self.socket.bind(endpoint)
        self.back.bind(_back(endpoint))
        frames = Frames()
        self.ring = [np.zeros((batch, ANTENNAS, SUBCARRIERS), np.complex64) for _ in range(RING)]
        items = frames.make(np.zeros_like(self.ring[0]), 0)
        self.head, _, *self.rest = wire.encode(items, 1, 0)
        self.receiver = Receiver(self.context, "bare", endpoint, batch)

    def run(self) -> int:
        """Send so many messages and hear that all of them were taken."""
        for _ in range(self.messages):
            y = self.ring[self.number % RING]
            y[:, 0, 0] = y[:, -1, -1] = np.arange(self.number * self.batch, (self.number + 1) * self.batch)
            self.socket.send_multipart([self.head, y.data, *self.rest], copy=False)
            self.number += 1
        for _ in range(self.messages):
            self.back.recv()
        return self.messages * self.batch

    def close(self) -> None:
        """Send the end."""
        self.socket.send(b"")
        self.receiver.join()
        self.socket.close(0)
        self.back.close(0)
        self.context.term()


class Memcpy:
    """One core copying messages."""

    def __init__(self, batch: int, messages: int) -> None:
        self.batch, self.messages = batch, messages
        self.source = np.ones((batch, ANTENNAS, SUBCARRIERS), np.complex64)
        self.targets = [np.zeros_like(self.source) for _ in range(4)]

    def run(self) -> int:
        """Copy so many."""
        for k in range(self.messages):
            np.copyto(self.targets[k % 4], self.source)
        return self.messages * self.batch

    def close(self) -> None:
        """Nothing to end."""


def _endpoint(transport: str, directory: str, name: str) -> str:
    if transport == "inproc":
        return f"inproc://{name}"
    return "tcp://127.0.0.1:*" if transport == "tcp" else f"ipc://{directory}/{transport}-{name}"


def _free_ports() -> int:
    """A port with a free one behind it."""
    import socket

    while True:
        with socket.socket() as one, socket.socket() as two, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            two.bind(("127.0.0.1", port + 1))
            return port


@contextlib.contextmanager
def rate_cases(batch: int, messages: int) -> Iterator[dict[str, Measured]]:
    """Everything whose rate is measured at one number of frames per message, by name."""
    with tempfile.TemporaryDirectory(prefix="ib") as directory:
        cases: dict[str, Measured] = {"memcpy": Memcpy(batch, messages)}
        for transport in ("inproc", "ipc", "tcp"):
            cases[f"bare {transport}"] = BareRate(transport, batch, messages, directory)
        for transport in TRANSPORTS:
            cases[f"ours {transport}"] = OurRate(transport, batch, messages, directory)
        try:
            for case in cases.values():
                case.run()  # receivers are there, memory has been touched
            yield cases
        finally:
            for case in cases.values():
                case.close()


def measure_rates(batch: int, messages: int, rounds: int) -> dict[str, list[float]]:
    """Frames per second by name, one figure a round, all of a round measured one after the other."""
    found: dict[str, list[float]] = {}
    with rate_cases(batch, messages) as cases:
        for _ in range(rounds):
            for name, case in cases.items():
                began = time.perf_counter()
                frames = case.run()
                found.setdefault(name, []).append(frames / (time.perf_counter() - began))
    return found


def bare_of(name: str) -> str:
    """What a transport of ours is compared with."""
    transport = name.split()[1]
    return f"bare {'ipc' if transport in ('shared', 'copied') else transport}"


def rates(rounds: int = 9) -> None:
    """The table of rates."""
    print(f"{'frames a message':24s}" + "".join(f"{batch:>18d}" for batch in BATCHES))
    columns = {batch: measure_rates(batch, max(32, 512 // batch), rounds) for batch in BATCHES}
    for name in columns[BATCHES[0]]:
        cells = []
        for batch in BATCHES:
            found = columns[batch]
            rate = f"{statistics.median(found[name]) / 1e3:8.1f} k/s"
            ratio = ""
            if name.startswith("ours"):
                pairs = zip(found[name], found[bare_of(name)], strict=True)
                ratio = f"{statistics.median(a / b for a, b in pairs):5.2f}x"
            cells.append(f"{rate}{ratio:>6s}")
        print(f"{name:24s}" + "".join(f"{cell:>18s}" for cell in cells))


# Latency, overload, runtime: whole flowgraphs


class Arrivals(Block):
    """Notes how old every message's first frame is when process() gets it, and which one it is; takes `pause` seconds."""

    frame = In(FRAME)
    ages = State(list)
    numbers = State(list)

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause

    def dimensions(self) -> dict[str, int]:
        """Of Table I."""
        return {"N": ANTENNAS, "S": SUBCARRIERS}

    def process(self, frame: Items) -> None:
        """Look at the clock."""
        self.ages.append(time.perf_counter() - float(frame.time[0]))
        verify(frame.y, frame.first)
        self.numbers.append(frame.first)
        if self.pause:
            time.sleep(self.pause)


class Work(Block):
    """Keeps its core busy for so many seconds a frame, and sends the frames' sectors on."""

    frame = In(FRAME)
    done = Out(Record("done", FRAME.fields[2:]))

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def dimensions(self) -> dict[str, int]:
        """Of Table I."""
        return {"N": ANTENNAS, "S": SUBCARRIERS}

    def process(self, frame: Items) -> Items:
        """Work."""
        end = time.perf_counter() + self.seconds * len(frame)
        while time.perf_counter() < end:
            pass
        return self.done.items(**{field.name: frame.fields[field.name] for field in FRAME.fields[2:]})


class Taken(Block):
    """Takes what Work sends."""

    done = In(Work.done.record)
    frames = State("int64")

    def process(self, done: Items) -> None:
        """Count."""
        self.frames += len(done)


def measure_latency(placement: str, messages: int = 1500, per_second: float = 500.0) -> tuple[float, float]:
    """p50 and p99 in seconds, of one-frame messages at a steady rate, from the end of produce() to process()."""
    source, sink = Frames(1 / per_second), Arrivals()
    source.batch = 1
    flowgraph = Flowgraph("latency")
    flowgraph.connect(source, sink)
    flowgraph.run(messages, placement=placement)
    if sink.numbers != list(range(messages)):
        raise RuntimeError("frames are missing")
    p50, p99 = np.percentile(sink.ages[messages // 10 :], (50, 99))
    return float(p50), float(p99)


def measure_overload(placement: str, messages: int = 2000, period: float = 1e-3) -> tuple[float, float]:
    """Median and largest age in seconds of what a sink ten times slower than its source is given, policy "latest"."""
    source, sink = Frames(period), Arrivals(10 * period)
    source.batch = 1
    flowgraph = Flowgraph("overload")
    flowgraph.connect(source, sink, policy="latest")
    flowgraph.run(messages, placement=placement)
    return float(np.median(sink.ages)), float(np.max(sink.ages))


def measure_runtime(placement: str, messages: int = 3000, per_frame: float = 15e-6) -> dict[str, tuple[float, float]]:
    """By block: the runtime's own CPU seconds a message, and as a share of the block's work."""
    source, work, taken = Frames(), Work(per_frame), Taken()
    source.batch = 16
    flowgraph = Flowgraph("runtime")
    flowgraph.connect(source, work, taken)
    status = flowgraph.run(16 * messages, placement=placement)
    if taken.frames != 16 * messages:
        raise RuntimeError("frames are missing")
    return {name: ((b.cpu_seconds - b.work_cpu_seconds) / b.messages, b.overhead) for name, b in status.blocks.items()}


def latency() -> None:
    """The table of latencies."""
    for placement in ("threads", "processes"):
        p50, p99 = measure_latency(placement)
        print(f"latency, {placement:10s} 500 messages/s: p50 {1e3 * p50:.3f} ms, p99 {1e3 * p99:.3f} ms")


def overload() -> None:
    """The table of ages."""
    for placement in ("threads", "processes", "tcp"):
        median, largest = measure_overload(placement)
        print(f"overload, {placement:10s} sink 10x slower: age median {1e3 * median:.2f} ms, largest {1e3 * largest:.2f} ms")


def runtime() -> None:
    """The table of the runtime's own cost."""
    for placement in ("threads", "processes", "tcp"):
        found = measure_runtime(placement)
        per_message = ", ".join(f"{name} {1e6 * seconds:.1f} us" for name, (seconds, _) in found.items())
        print(f"runtime, {placement:10s} CPU a message: {per_message}; of the work of 16 frames: {found['work'][1]:.1%}")


PARTS = {"rates": rates, "latency": latency, "overload": overload, "runtime": runtime}


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure, by default everything")
    parser.add_argument("--receive", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        kind, endpoint, batch = arguments.receive
        receive(zmq.Context(), kind, endpoint, int(batch))
        return
    for name in arguments.parts or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
