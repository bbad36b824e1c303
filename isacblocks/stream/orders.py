"""A worker's line to the runner: reports go out, orders come in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import zmq

from isacblocks.stream import control
from isacblocks.stream.link import has_arrived


class StopError(Exception):
    """The runner wants an end."""


class Orders:
    """The control socket of the worker `name`. change, move: called with every order of that kind."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        name: str,
        endpoint: str,
        change: Callable[[control.Change], None],
        move: Callable[[control.Move], None],
    ) -> None:
        self.endpoints: dict[str, str] | None = None  # of the senders, once they are known
        self.go = False
        self._taken = False  # the runner has the last report
        self._change = change
        self._local = endpoint.startswith("inproc:")
        self._move = move
        self.socket = context.socket(zmq.DEALER)
        self.socket.linger = 200
        self.socket.routing_id = name.encode()
        self.socket.connect(endpoint)

    def report(self, report: control.Report) -> None:
        """Tell the runner. Raises StopError where it is in this process and gone: nobody would ever take the report."""
        try:
            self.socket.send(control.encode(report), zmq.NOBLOCK if self._local else 0)
        except zmq.Again:
            raise StopError from None

    def wait(self) -> None:
        """Wait for an order and take it. Raises StopError."""
        self.socket.poll()
        self.take()

    def take(self) -> None:
        """Take the orders that have come. Raises StopError."""
        while has_arrived(self.socket):
            order = control.decode_order(self.socket.recv(zmq.NOBLOCK))
            if isinstance(order, control.Stop | control.Leave):
                self._taken |= isinstance(order, control.Leave)
                raise StopError
            if isinstance(order, control.Connect):
                self.endpoints = order.endpoints
            elif isinstance(order, control.Go):
                self.go = True
            elif isinstance(order, control.Move):
                self._move(order)
            else:
                self._change(order)

    def stay(self) -> None:
        """Wait until the runner has the last report. The end of a process may be known before what it said last has been
        read, and on a busy machine a socket's linger may end before that has been sent.
        """
        while not (self._taken or self._local):
            with contextlib.suppress(StopError):
                self.wait()

    def close(self) -> None:
        """Close the socket; what was said gets a moment to be heard."""
        self.socket.close(200)
