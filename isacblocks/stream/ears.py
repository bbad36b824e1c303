"""How a worker hears: the ends of its links and its orders, waited for all at once.

While all its links are inside the process it sleeps on a bell, and looks for orders at intervals; else it polls sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sized

import zmq

from isacblocks.stream.bell import Bell
from isacblocks.stream.inlet import Inlet
from isacblocks.stream.orders import Orders
from isacblocks.stream.outlet import Outlet

_SLEEP = 0.02  # seconds: how long a worker with a bell does not hear orders
_GLANCE = 0.002  # seconds: how often a worker that has enough to do looks at all of its sockets


class Ears:
    """What comes to a worker."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._poller = zmq.Poller()
        self._poller.register(orders.socket, zmq.POLLIN)
        self._receivers: dict[int, Callable[[], None]] = {id(orders.socket): orders.take}
        self._boxes: list[tuple[Sized, Callable[[], bool]]] = []  # what lies in them, and what takes it out
        self._ends: list[Inlet | Outlet] = []
        self._local: list[Inlet | Outlet] = []  # ends whose other end is in this process
        self._remote: list[Inlet | Outlet] = []  # the others
        self._bell: Bell | None = None
        self._looked = 0.0
        self._lies = False  # ends in this process have been told to wake us

    def add(self, end: Inlet | Outlet) -> None:
        """Listen to one more."""
        self._poller.register(end.socket, zmq.POLLIN)
        self._receivers[id(end.socket)] = end.receive
        (self._local if end.local else self._remote).append(end)
        self._ends.append(end)
        self._boxes += [(box, end.collect) for box in end.boxes()]

    def hang_up_bell(self, bell: Bell) -> None:
        """All ends are there: sleep on a bell where none of them needs a socket."""
        if self._local and not self._remote:
            self._bell = bell
            for end in self._local:
                end.hear(self._bell)

    def has_bell(self) -> bool:
        """Whether all that comes, but orders, comes from this process."""
        return self._bell is not None

    def take_down_bell(self) -> None:
        """Only orders are to be expected: hear them at once."""
        self._bell = None
        for end in self._local:
            end.hear(None)

    def collect(self) -> bool:
        """Take in what ends in this process have handed over; True where something was."""
        came = False
        for box, collect in self._boxes:  # looked at in every round: a call of every end would cost more than all else here
            if box:
                came |= collect()
        return came

    def glance(self, now: float) -> None:
        """While there is enough to do: what is needed of other processes and has come, and now and then everything.

        A poll costs several calls of the system a socket. now: time.monotonic().
        """
        if now - self._looked > (_GLANCE if self._bell is None else _SLEEP):
            self._look(now)
            return
        for end in self._remote:
            end.glance()

    def _look(self, now: float) -> None:
        self._looked = now
        if self._bell is not None:  # nothing else comes by sockets
            self._orders.take()
        else:
            self._poll(0)

    def receive(self, timeout: int) -> bool:
        """Sleep until something comes, at most `timeout` ms, and take it in; True where something was."""
        if self.lie_down():
            timeout = 0
        heard = self._sleep(timeout)
        self.get_up()
        return self.collect() or heard or not timeout

    def lie_down(self) -> bool:
        """From now on ends in this process have to wake us; True where something has come meanwhile."""
        self._lies = True
        starved = any(end.starved() for end in self._ends)
        for end in self._local:
            end.sleep(True, starved)
        return self.collect()

    def get_up(self) -> None:
        """We look by ourselves again."""
        if self._lies:
            self._lies = False
            for end in self._local:
                end.sleep(False)

    def _sleep(self, timeout: int) -> bool:
        if self._bell is None:
            return self._poll(timeout)
        heard = bool(timeout) and self._bell.wait(min(1e-3 * timeout, _SLEEP))
        now = time.monotonic()
        if now - self._looked > _SLEEP:
            self._look(now)
        return heard

    def _poll(self, timeout: int) -> bool:
        """One message of every socket where some have come within `timeout` ms."""
        ready = self._poller.poll(timeout)
        for socket, _ in ready:
            self._receivers[id(socket)]()
        return bool(ready)
