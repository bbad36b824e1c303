"""Files that are replaced whole: after a crash at any moment, the old bytes or the new ones.

The new bytes go into a temporary file beside the target, reach the disk, and take the target's name, which reaches the disk
too. What a killed program left of a temporary file is removed by the next one that writes the same file. It is recognised
by its lock: a writer holds one (flock) as long as it lives, however it ends, so that no process number has to be believed.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

SUFFIX = ".part"  # of temporary files


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file `path` by `data`. Raises OSError naming `path`; the file is then as it was."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which replaces `path` when the block ends well, with the mode that `path` has.

    A link is followed. What is not a regular file (a terminal, /dev/null) cannot be replaced and is written to as it is.
    Raises OSError naming `path`; the file is then as it was.
    """
    target = Path(os.path.realpath(path))
    try:
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            mode = None
        if mode is not None and not stat.S_ISREG(mode):
            with open(target, "wb") as file:
                yield file
            return
        sweep(target.parent, target.name)
        with _temporary(target) as (file, part):
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            yield file
            file.flush()
            os.fsync(file.fileno())  # before the rename: else the new name could stand for an empty file
            os.replace(part, target)
        _fsync_directory(target.parent)  # the rename itself must survive too
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A new file beside `target`, locked while it is open; gone afterwards unless it was renamed."""
    while True:
        part = target.with_name(f"{target.name}.{secrets.token_hex(4)}{SUFFIX}")
        with open(part, "xb") as file:
            try:
                _lock(file.fileno(), wait=True)
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue  # somebody swept it before it was locked
                yield file, part
                return
            finally:
                part.unlink(missing_ok=True)


def _lock(descriptor: int, wait: bool) -> bool:
    """Lock a file for as long as it is open; False where another process has. A file system may know no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def sweep(directory: Path, name: str | None = None) -> None:
    """Remove temporary files whose writer is gone; name: of the file that they were to replace, None for any."""
    for part in directory.glob(f"{'*' if name is None else glob.escape(name)}.*{SUFFIX}"):
        with contextlib.suppress(OSError):  # gone by now, or not ours to remove
            descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if _lock(descriptor, wait=False):
                    part.unlink()
            finally:
                os.close(descriptor)


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
