"""Blocks in processes of their own: a nursery process imports everything once and forks a child per block.

Forking from the user's program would copy its threads' locks; starting a fresh interpreter per block would import numpy
and numba once per block. So one fresh, single-threaded interpreter, the nursery, is started, told over a socket pair which
workers to make, and forks them in milliseconds. It outlives none of its relatives: when the program that started it is
gone, however it went, the socket closes and the nursery kills its children and removes their directory; when the nursery
itself dies, the kernel kills the children (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import logging
import os
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from isacblocks.stream import descriptors
from isacblocks.stream.block import MAIN, load_class
from isacblocks.stream.control import WorkerSpec
from isacblocks.stream.errors import PlacementError
from isacblocks.stream.heir import disown_in_children
from isacblocks.stream.journal import Journal, open_files, progress_of

Files: TypeAlias = tuple[int, int, int]  # of a journal

_LENGTH = struct.Struct("<I")
# Arrays of some MB are made and dropped for every message. As it is shipped, glibc gives their pages back to the system each
# time and faults them in again, which costs as much as copying them.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": 32 << 20, "MALLOC_TRIM_THRESHOLD_": 64 << 20, "MALLOC_TOP_PAD_": 4 << 20}  # bytes
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


_WORKER = 24  # file descriptors that a block's process needs, without memory for large fields, which it can do without
_MAIN = "import sys; from isacblocks.stream.nursery import main; main(int(sys.argv[1]))"


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


def _send(sock: socket.socket, data: bytes) -> None:
    sock.sendall(_LENGTH.pack(len(data)) + data)


def _receive(sock: socket.socket) -> bytes | None:
    head = _exactly(sock, _LENGTH.size)
    return None if head is None else _exactly(sock, _LENGTH.unpack(head)[0])


def _exactly(sock: socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        part = sock.recv(min(count - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return data


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
        _send(ours, msgspec.msgpack.encode(setup))

    def bear(self, spec: WorkerSpec, block: bytes) -> None:
        """Fork a worker."""
        try:
            _send(self.socket, msgspec.msgpack.encode(Birth(spec, block)))
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
            data = _receive(self.socket)
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


# The nursery's own side


def _die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (Linux; elsewhere the closed socket has to do)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _import_main(path: str) -> None:
    """Import the user's script under another name, so that its `if __name__ == "__main__"` part does not run."""
    spec = importlib.util.spec_from_file_location(MAIN, path)
    if spec is None or spec.loader is None:
        raise PlacementError(f"{path} cannot be imported, but blocks are defined in it")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MAIN] = module
    sys.path.insert(0, str(Path(path).resolve().parent))
    spec.loader.exec_module(module)


def _work(birth: Birth, journal: Files | None) -> int:
    """The life of a child."""
    import zmq

    from isacblocks.stream.block import create
    from isacblocks.stream.worker import Worker

    context: Any = zmq.Context()
    worker = Worker(create(birth.block), birth.spec, context, None if journal is None else Journal(journal))
    worker.run()
    context.destroy(linger=200)
    return 0


def _fork(birth: Birth, sock: socket.socket, parent: int, journals: dict[str, Files]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _die_with_parent()
        if os.getppid() != parent:
            os._exit(1)  # it died in between
        sock.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        own = journals.get(birth.spec.name)
        for other in journals.values():
            for descriptor in other if other is not own else ():
                os.close(descriptor)
        status = _work(birth, own)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _bear(birth: Birth, sock: socket.socket, me: int, children: dict[int, str], journals: dict[str, Files]) -> None:
    """Make a worker, or tell why there can be none."""
    try:
        descriptors.expect(_WORKER, f"the process of {birth.spec.name}")
        children[_fork(birth, sock, me, journals)] = birth.spec.name
    except (OSError, PlacementError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        _send(sock, msgspec.msgpack.encode(Death("", 1, f"no process for {birth.spec.name} can be made: {why}")))


def _reap(children: dict[int, str], sock: socket.socket, journals: dict[str, Files]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        name = children.pop(pid, None)
        if name is not None:
            progress = progress_of(journals[name]) if name in journals else -1
            with contextlib.suppress(OSError):
                _send(sock, msgspec.msgpack.encode(Death(name, status, "", progress)))


def _has_journal(name: str, journals: dict[str, Files], sock: socket.socket) -> bool:
    """See that a block has a place for its snapshots, from its first process on."""
    if name not in journals:
        try:
            journals[name] = open_files()
        except OSError as error:
            _send(sock, msgspec.msgpack.encode(Death("", 1, f"no place for the snapshots of {name}: {error.strerror}")))
            return False
    return True


def _start_logging(setup: Setup) -> None:
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    for name, level in setup.log_levels.items():
        logging.getLogger(name).setLevel(level)


def _nurse(sock: socket.socket) -> None:
    first = _receive(sock)
    if first is None:
        return
    setup = msgspec.msgpack.decode(first, type=Setup)
    _start_logging(setup)
    children: dict[int, str] = {}
    journals: dict[str, Files] = {}  # of the blocks that keep snapshots; open here, so that they outlive their processes
    wake_read, wake_write = socket.socketpair()
    wake_read.setblocking(False)
    wake_write.setblocking(False)
    signal.set_wakeup_fd(wake_write.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    me = os.getpid()
    try:
        try:
            sys.path[:] = setup.path
            if setup.main is not None:
                _import_main(setup.main)
            for module, name in setup.classes:
                load_class(module, name).prepare()
        except Exception as error:
            _send(sock, msgspec.msgpack.encode(Death("", 1, f"blocks cannot be imported: {type(error).__name__}: {error}")))
        selector = selectors.DefaultSelector()
        selector.register(sock, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is wake_read:
                    with contextlib.suppress(BlockingIOError):
                        wake_read.recv(4096)
                    _reap(children, sock, journals)
                    continue
                data = _receive(sock)
                if data is None:
                    return
                birth = msgspec.msgpack.decode(data, type=Birth)
                if birth.spec.restart and not _has_journal(birth.spec.name, journals, sock):
                    continue
                _bear(birth, sock, me, children, journals)
                _reap(children, sock, journals)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        shutil.rmtree(setup.directory, ignore_errors=True)


def main(descriptor: int) -> None:
    """The nursery's program, with its end of the socket pair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptors.raise_limit()
    _nurse(socket.socket(fileno=descriptor))
