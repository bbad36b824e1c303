"""What a program and its nursery say to each other: messages with their length before them, over a socket pair."""

from __future__ import annotations

import socket
import struct

import msgspec

from isacblocks.stream.control import WorkerSpec

_LENGTH = struct.Struct("<I")


class Setup(msgspec.Struct):
    """The first message to the nursery: what to import before it forks."""

    classes: list[tuple[str, str]]  # module and name of every block's class
    main: str | None  # the script that was run, where blocks are defined in it
    path: list[str]  # sys.path of the program
    directory: str  # removed when the program is gone
    log_levels: dict[str, int]  # of the root, "", and of the loggers below isacblocks that have one of their own


class Birth(msgspec.Struct):
    """Make a worker. block: its description."""

    spec: WorkerSpec
    block: bytes


class Death(msgspec.Struct):
    """From the nursery: a worker's process has ended. status: as of os.waitpid; block "" is the nursery's own trouble.

    progress: where a block that keeps snapshots took the last one, in messages.
    """

    block: str
    status: int
    text: str = ""
    progress: int = -1


def send(sock: socket.socket, data: bytes) -> None:
    """Send a message."""
    sock.sendall(_LENGTH.pack(len(data)) + data)


def receive(sock: socket.socket) -> bytes | None:
    """The next message, waiting for it; None where the other end is gone."""
    head = _exactly(sock, _LENGTH.size)
    return None if head is None else _exactly(sock, _LENGTH.unpack(head)[0])


def _exactly(sock: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        try:
            part = sock.recv(min(count - len(data), 1 << 20))
        except ConnectionResetError:  # it closed before it had read all that was said to it
            return None
        if not part:
            return None
        data += part
    return data
