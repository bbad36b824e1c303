"""The nursery's own program: it imports what the blocks need, forks them, and tells of their ends. See nursery.py."""

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
import sys
import traceback
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from isacblocks.stream import descriptors
from isacblocks.stream.block import MAIN, load_class
from isacblocks.stream.errors import PlacementError
from isacblocks.stream.journal import Journal, open_files, progress_of
from isacblocks.stream.nursery_messages import Birth, Death, Setup, receive, send

Files: TypeAlias = tuple[int, int, int]  # of a journal

_WORKER = 24  # file descriptors that a block's process needs, without memory for large fields, which it can do without


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
        send(sock, msgspec.msgpack.encode(Death("", 1, f"no process for {birth.spec.name} can be made: {why}")))


def _reap(children: dict[int, str], sock: socket.socket, journals: dict[str, Files]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        name = children.pop(pid, None)
        if name is not None:
            progress = progress_of(journals[name]) if name in journals else -1
            with contextlib.suppress(OSError):
                send(sock, msgspec.msgpack.encode(Death(name, status, "", progress)))


def _has_journal(name: str, journals: dict[str, Files], sock: socket.socket) -> bool:
    """See that a block has a place for its snapshots, from its first process on."""
    if name not in journals:
        try:
            journals[name] = open_files()
        except OSError as error:
            send(sock, msgspec.msgpack.encode(Death("", 1, f"no place for the snapshots of {name}: {error.strerror}")))
            return False
    return True


def _prepare(setup: Setup, sock: socket.socket) -> None:
    """Import what every child will need, once."""
    try:
        sys.path[:] = setup.path
        if setup.main is not None:
            _import_main(setup.main)
        for module, name in setup.classes:
            load_class(module, name).prepare()
    except Exception as error:
        send(sock, msgspec.msgpack.encode(Death("", 1, f"blocks cannot be imported: {type(error).__name__}: {error}")))


def _kill(children: dict[int, str]) -> None:
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in children:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _start_logging(setup: Setup) -> None:
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    for name, level in setup.log_levels.items():
        logging.getLogger(name).setLevel(level)


def _nurse(sock: socket.socket) -> None:
    first = receive(sock)
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
        _prepare(setup, sock)
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
                data = receive(sock)
                if data is None:
                    return
                birth = msgspec.msgpack.decode(data, type=Birth)
                if birth.spec.restart and not _has_journal(birth.spec.name, journals, sock):
                    continue
                _bear(birth, sock, me, children, journals)
                _reap(children, sock, journals)
    finally:
        _kill(children)
        shutil.rmtree(setup.directory, ignore_errors=True)


def main(descriptor: int) -> None:
    """The nursery's program, with its end of the socket pair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptors.raise_limit()
    _nurse(socket.socket(fileno=descriptor))
