"""The runner's end of the lines to the workers of a flowgraph: one ROUTER socket, which knows each block by its name."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import zmq

from isacblocks.stream import control
from isacblocks.stream.directory import SocketDirectory


def _end_after(threads: list[threading.Thread], context: zmq.Context[zmq.Socket[bytes]]) -> None:
    """Threads that hang in a call end when it returns; the context with the last of them."""
    for thread in threads:
        thread.join()
    context.destroy(0)


class Switchboard:
    """Lines to `blocks`. directory: where all sockets of the run lie, None where its blocks are in this process.

    context: of all sockets in this process. Of one thread at a time; the directory is removed where nothing can be bound.
    """

    def __init__(self, blocks: Iterable[str], directory: SocketDirectory | None) -> None:
        self._names = {name.encode(): name for name in blocks}  # by their identities
        self._directory = directory
        try:
            endpoint = self.endpoint("control")
            self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            self.socket = self.context.socket(zmq.ROUTER)
            self.socket.linger = 0
            self.socket.router_handover = True  # a block's next process takes the place of the one that died
            self.socket.bind(endpoint)
        except BaseException:
            if directory is not None:
                directory.remove()
            raise

    def endpoint(self, what: str) -> str:
        """Where something of this run is to be bound."""
        if self._directory is None:
            return f"inproc://{id(self)}/{what}"
        return self._directory.endpoint(what)

    def check(self) -> None:
        """See that blocks which are starting can find each other. Raises PlacementError."""
        if self._directory is not None:
            self._directory.check()

    def poll(self, timeout: int) -> bool:
        """Whether a report is there, or comes within `timeout` ms."""
        return bool(self.socket.poll(timeout))

    def receive(self) -> tuple[str, control.Report | None]:
        """The next report and who it is from. What a process has left behind whose place another one has taken is not one:
        its connection has lost its name to the other's.
        """
        identity, data = self.socket.recv_multipart()
        name = self._names.get(identity)
        return ("", None) if name is None else (name, control.decode_report(data))

    def tell(self, name: str, order: control.Order) -> None:
        """Give a block an order."""
        self.socket.send_multipart([name.encode(), control.encode(order)])

    def tell_all(self, order: control.Order) -> None:
        """Give it to all of them."""
        for name in self._names.values():
            self.tell(name, order)

    def close(self, left: list[threading.Thread]) -> None:
        """Close the lines. left: threads of blocks that have not ended and have sockets of the context."""
        if self._directory is not None:
            self._directory.remove()
        self.socket.close(0)
        if left:
            threading.Thread(target=_end_after, args=(left, self.context), name="isacblocks end", daemon=True).start()
        else:
            self.context.destroy(0)  # with the sockets of workers whose threads could not be started
