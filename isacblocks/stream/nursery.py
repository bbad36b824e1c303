"""Blocks in processes of their own: a nursery process imports everything once and forks a child per block.

Forking from the user's program would copy its threads' locks; starting a fresh interpreter per block would import numpy
and numba once per block. So one fresh, single-threaded interpreter, the nursery, is started, told over a socket pair which
workers to make, and forks them in milliseconds. It outlives none of its relatives: when the program that started it is
gone, however it went, the socket closes and the nursery kills its children and removes their directory; when the nursery
itself dies, the kernel kills the children (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from isacblocks.stream.control import WorkerSpec
from isacblocks.stream.errors import PlacementError
from isacblocks.stream.heir import disown_in_children
from isacblocks.stream.nursery_messages import Birth, Death, Setup, receive, send

# Arrays of some MB are made and dropped for every message. As it is shipped, glibc gives their pages back to the system each
# time and faults them in again, which costs as much as copying them.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": 32 << 20, "MALLOC_TRIM_THRESHOLD_": 64 << 20, "MALLOC_TOP_PAD_": 4 << 20}  # bytes
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

_MAIN = "import sys; from isacblocks.stream.nursery_process import main; main(int(sys.argv[1]))"


def environment() -> dict[str, str]:
    """The environment of the blocks' processes."""
    found = dict(os.environ)
    package = str(Path(__file__).resolve().parents[2])  # found even where it is not installed
    found["PYTHONPATH"] = os.pathsep.join(filter(None, [package, found.get("PYTHONPATH")]))
    for name in _ONE_THREAD:  # parallelism is between blocks
        found.setdefault(name, "1")
    for name, size in _KEEP_MEMORY.items():
        found.setdefault(name, str(size))
    return found


class Nursery:
    """The program's end: start it, ask for workers, hear of their deaths, end it."""

    def __init__(self, setup: Setup) -> None:
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise PlacementError(f"no process for the blocks can be started: {error.strerror}") from error
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=environment(),
                start_new_session=True,  # a Ctrl-C in the terminal is the program's business
            )
        except OSError as error:
            ours.close()
            raise PlacementError(f"no process for the blocks can be started: {error.strerror}") from error
        finally:
            theirs.close()
        self.socket = ours
        disown_in_children(self)
        send(ours, msgspec.msgpack.encode(setup))

    def bear(self, spec: WorkerSpec, block: bytes) -> None:
        """Fork a worker."""
        try:
            send(self.socket, msgspec.msgpack.encode(Birth(spec, block)))
        except OSError as error:
            raise PlacementError(f"the process that starts the blocks is gone: {error.strerror}") from error

    def deaths(self) -> list[Death]:
        """What has been reported since the last call; never waits."""
        found: list[Death] = []
        while True:
            readable = selectors.DefaultSelector()
            readable.register(self.socket, selectors.EVENT_READ)
            ready = readable.select(0)
            readable.close()
            if not ready:
                return found
            data = receive(self.socket)
            if data is None:
                status = self._process.wait()
                found.append(Death("", status, f"the process that starts the blocks ended with status {status}"))
                return found
            found.append(msgspec.msgpack.decode(data, type=Death))

    def disown(self) -> None:
        """In a process forked from the program: a copy of the socket would keep the blocks alive after the program."""
        self.socket.close()
        self._process.returncode = 0  # not ours to wait for

    def end(self, at_once: bool = False) -> None:
        """Kill whatever is left and wait for the nursery to be gone. at_once: it is still importing and would not listen."""
        self.socket.close()  # the nursery's sign to kill its children and end
        try:
            self._process.wait(0.0 if at_once else 0.3)
        except subprocess.TimeoutExpired:
            self._process.kill()  # the kernel takes the children with it
            self._process.wait()
