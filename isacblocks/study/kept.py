"""Results kept on disk while a figure is computed, so that a run that was killed goes on where it was.

A result belongs to a *task*: a frozen dataclass that says everything the result depends on. Its file is named by the task
and by a digest of the task, of all of the package's sources and of the compiler: results of other settings or of other
code are never taken, and figures that need the same thing share it. Files are MessagePack with a checksum, written
atomically; a damaged file counts as missing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import zlib
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import msgspec

from isacblocks.kernels.jit import source_digest
from isacblocks.stream import codec
from isacblocks.stream.errors import StreamError
from isacblocks.stream.files import write_atomically

_MAGIC = b"ISACKEP1"
_SUFFIX = ".kept"


class Report(Protocol):
    """What is told of the progress."""

    def __call__(self, frames: int, *, kept: bool = False) -> None:
        """So many more frames are done; kept: an earlier run did them."""


def silent(frames: int, *, kept: bool = False) -> None:
    """Tell nobody."""


@cache
def code_digest() -> str:
    """Digest of every source of the package, and of what compiles its kernels."""
    digest = hashlib.sha256(source_digest().encode())
    root = Path(__file__).resolve().parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Kept:
    """The results in one directory, which is made when the first one is saved; None keeps nothing."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory

    def path(self, name: str, task: Any) -> Path | None:
        """Where the result of a task is; name: what a person should see in the file's name."""
        if self.directory is None:
            return None
        described = msgspec.json.encode({"kind": type(task).__name__, **dataclasses.asdict(task)})
        digest = hashlib.sha256(code_digest().encode() + described).hexdigest()[:16]
        return self.directory / f"{name}-{digest}{_SUFFIX}"

    def load(self, name: str, task: Any) -> dict[str, Any] | None:
        """The result of a task, or None where there is no whole one."""
        path = self.path(name, task)
        if path is None or not path.exists():
            return None
        data = path.read_bytes()
        head = len(_MAGIC)
        if data[:head] != _MAGIC or zlib.crc32(data[head + 4 :]).to_bytes(4, "little") != data[head : head + 4]:
            logging.getLogger(__name__).warning(
                "%s: damaged (cut off, or changed), computed again; the figures do not suffer; nothing is to be done", path
            )
            return None
        try:
            values: dict[str, Any] = codec.decode(data[head + 4 :])
        except StreamError as error:
            logging.getLogger(__name__).warning(
                "%s: cannot be read (%s), computed again; the figures do not suffer; nothing is to be done", path, error
            )
            return None
        return values

    def save(self, name: str, task: Any, values: dict[str, Any]) -> None:
        """Keep the result of a task: numbers, strings, lists, numpy arrays by name."""
        path = self.path(name, task)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        body = codec.encode(values)
        write_atomically(path, _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body)
