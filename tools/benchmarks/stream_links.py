"""One link of ours, and bare pyzmq's PUSH/PULL: a sender here, a receiver in a thread or in a process.

Receivers check every frame's number, at both of its ends; ours have the environment that the runtime gives its processes.
As a program, python -m benchmarks.stream_links KIND ENDPOINT BATCH MESSAGES is a receiver. It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zmq

from benchmarks.stream_blocks import ANTENNAS, SUBCARRIERS, Frames, verify
from isacblocks.stream import Items, wire
from isacblocks.stream.inlet import Inlet
from isacblocks.stream.link import EdgeSpec
from isacblocks.stream.memory import Pool
from isacblocks.stream.nursery import environment
from isacblocks.stream.outlet import Outlet

EDGE = EdgeSpec("sender.frame", "receiver.frame", b"b" * 16)
MARK = 2  # messages at either end of a bare link
RING = 8  # arrays that a bare sender uses in turn: more than may be on their way
PATIENCE = 10_000  # ms
_HERE = Path(__file__).resolve()


class Measured(Protocol):
    """Something that moves frames."""

    def run(self) -> int:
        """Do a fixed amount of work; the number of frames."""

    def close(self) -> None:
        """End the receiver."""


class Receiver:
    """The other end, in a thread where it has to share our memory, else in a process."""

    def __init__(self, context: Any, kind: str, endpoint: str, batch: int, messages: int) -> None:
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        if endpoint.startswith("inproc:"):
            self._thread = threading.Thread(target=receive, args=(context, kind, endpoint, batch, messages), daemon=True)
            self._thread.start()
        else:
            command = [sys.executable, "-m", __name__, kind, endpoint, str(batch), str(messages)]
            env = dict(environment() if kind == "ours" else os.environ)
            env["PYTHONPATH"] = os.pathsep.join(str(_HERE.parents[k]) for k in (1, 2))
            self._process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE)

    def join(self) -> None:
        """Wait for its end. Raises RuntimeError where it failed."""
        if self._thread is not None:
            self._thread.join(10)
        if self._process is not None:
            with self._process:  # closes its standard input
                if self._process.wait(10):
                    raise RuntimeError("the receiver failed")


def receive(context: Any, kind: str, endpoint: str, batch: int, messages: int) -> None:
    """A receiver's life. messages: that are sent without waiting for the last of them."""
    if kind == "bare":
        receive_bare(context, endpoint, batch)
    else:
        receive_ours(context, endpoint, messages)


def attend(end: Inlet | Outlet, patience: int | None = PATIENCE) -> None:
    """Wait for what the other end has to say, as a worker does. Raises RuntimeError where nothing comes for so many ms."""
    end.sleep(True)
    if not end.collect():
        if not end.socket.poll(patience):
            raise RuntimeError(f"nothing was heard of the other end for {patience} ms")
        end.receive()
    end.sleep(False)
    end.collect()


def receive_ours(context: Any, endpoint: str, messages: int) -> None:
    """Take what a link brings until its end; the last of every so many messages is acknowledged at once."""
    inlet = Inlet(context, endpoint, Frames().frame.layout, EDGE, epoch=1)
    inlet.hello()
    first = 0
    while not inlet.ended:
        head = inlet.head()
        if head is None:
            attend(inlet, None)
            continue
        verify(head.y, first)
        first += len(head)
        del head
        inlet.commit()
        inlet.acknowledge(urgent=inlet.ended or inlet.next % messages == 0)
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
        self.receiver = Receiver(self.context, "ours", self.outlet.endpoint, batch, messages)

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
        self.outlet.ended = True  # for now: the last acknowledgement is waited for
        while not self.outlet.drained():
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
        self.receiver = Receiver(self.context, "bare", endpoint, batch, messages)

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


def main() -> None:
    """A receiver in a process of its own."""
    kind, endpoint, batch, messages = sys.argv[1:]

    def watch() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    receive(zmq.Context(), kind, endpoint, int(batch), int(messages))


if __name__ == "__main__":
    main()
