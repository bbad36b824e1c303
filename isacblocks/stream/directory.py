"""The directory that a flowgraph's sockets lie in: mode 0700, gone at the end, and known for stale by its lock.

A directory is locked (flock) as long as its program lives; the lock goes with the process, however that ends. So whoever
makes the next one can tell those that were left behind, without believing process numbers, which are used again and mean
nothing across containers; and programs that tidy up temporary directories by age leave alone what is locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from isacblocks.stream.errors import PlacementError
from isacblocks.stream.heir import disown_in_children

_PREFIX = "isacblocks-"
_LONGEST = 100  # bytes of a socket's path; the system takes 107, and a restarted block's has a number behind it


@contextlib.contextmanager
def _abandoned(path: Path) -> Iterator[bool]:
    """Whether the program that made a directory is dead; held while the block lasts, so that nobody else takes it up.

    A file system may know no locks: then nothing is abandoned.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def in_use(path: Path) -> bool:
    """Whether the program that made a directory is alive."""
    try:
        with _abandoned(path) as abandoned:
            return not abandoned
    except OSError:  # gone
        return False


def existing(kind: str) -> list[Path]:
    """The directories of one kind, of living programs and of dead ones."""
    return sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}{kind}-*"))


def sweep(kind: str) -> None:
    """Remove the directories of this user whose programs are dead."""
    for path in existing(kind):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == os.getuid():
                with _abandoned(path) as abandoned:
                    if abandoned:
                        shutil.rmtree(path, ignore_errors=True)


def _is(path: Path, descriptor: int) -> bool:
    """Whether what is open is what stands there."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


class SocketDirectory:
    """A new directory. kind: one word of its name. Raises PlacementError where there can be none."""

    def __init__(self, kind: str = "run") -> None:
        try:
            sweep(kind)
            self.path, self._lock = self._make(kind)
        except OSError as error:
            try:
                base = tempfile.gettempdir()
            except OSError:
                base = "any temporary directory"
            raise PlacementError(
                f"no directory for the blocks' sockets under {base}: {error.strerror}; name another place with TMPDIR"
            ) from error
        disown_in_children(self)

    @staticmethod
    def _make(kind: str) -> tuple[Path, int]:
        while True:
            path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-"))  # of mode 0700
            try:
                lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # swept before it was locked
            except OSError:
                path.rmdir()
                raise
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)  # waits for whoever is sweeping it
            if _is(path, lock):
                return path, lock
            os.close(lock)

    def endpoint(self, name: str) -> str:
        """Where a socket of this name is to be bound. Raises PlacementError where the path is longer than may be."""
        path = f"{self.path}/{name}"
        if len(os.fsencode(path)) > _LONGEST:
            raise PlacementError(
                f"{path}: expected at most {_LONGEST} bytes for the path of a socket, got {len(os.fsencode(path))}; "
                "name a shorter place with TMPDIR, or the block"
            )
        return f"ipc://{path}"

    def check(self) -> None:
        """See that it is still there: blocks would look for each other in vain, for ever. Raises PlacementError."""
        if self._lock >= 0 and not _is(self.path, self._lock):
            raise PlacementError(
                f"the directory of the blocks' sockets, {self.path}, was removed while they were starting; what tidies up "
                f"{self.path.parent} should leave it alone, or name another place with TMPDIR"
            )

    def remove(self) -> None:
        """Remove it with what is in it; does nothing the second time, or in a forked child."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            self.disown()

    def disown(self) -> None:
        """Let go of it without touching it."""
        if self._lock >= 0:
            os.close(self._lock)  # a copy: the lock stays with the program
            self._lock = -1
