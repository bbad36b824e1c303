"""How a worker hears: the ends of its links and its control socket, waited for all at once."""

from __future__ import annotations

from collections.abc import Callable

import zmq

from isacblocks.stream.inlet import Inlet
from isacblocks.stream.outlet import Outlet


class Ears:
    """What comes to a worker. orders: called when something has come on `control`."""

    def __init__(self, control: zmq.Socket[bytes], orders: Callable[[], None]) -> None:
        self._poller = zmq.Poller()
        self._poller.register(control, zmq.POLLIN)
        self._receivers: dict[int, Callable[[], None]] = {id(control): orders}
        self._local: list[Inlet | Outlet] = []  # ends whose other end is in this process
        self._remote: list[Inlet | Outlet] = []  # the others

    def add(self, end: Inlet | Outlet) -> None:
        """Listen to one more."""
        self._poller.register(end.socket, zmq.POLLIN)
        self._receivers[id(end.socket)] = end.receive
        (self._local if end.local else self._remote).append(end)

    def collect(self) -> bool:
        """Take in what ends in this process have handed over; True where something was."""
        came = False
        for end in self._local:
            came |= end.collect()
        return came

    def glance(self) -> None:
        """Take in what is needed of other processes and has come: a poll costs several calls of the system a socket."""
        for end in self._remote:
            end.glance()

    def receive(self, timeout: int) -> bool:
        """Take in one message of every socket where some have come, within `timeout` ms; True where something was."""
        if timeout:
            for end in self._local:
                end.sleep(True)
            if self.collect():
                timeout = 0
        ready = self._poller.poll(timeout)
        for socket, _ in ready:
            self._receivers[id(socket)]()
        for end in self._local:
            end.sleep(False)
        return self.collect() or bool(ready)
