"""Catches what is written to a terminal beside a table that lives there, by whoever writes it: this program, its threads,
and the processes that it starts meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import threading
from collections.abc import Callable

_PATIENCE = 1.0  # seconds that what is on its way may take at the end


class Diverted:
    """From :meth:`begin` to :meth:`end` every line for a standard output or error output that is a terminal goes to `say`,
    in a thread of its own; what processes that live on write later, too.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._kept: dict[int, int] = {}  # by descriptor, a copy of what it was
        self._end = secrets.token_hex(16).encode()
        self._arrived = threading.Event()

    def begin(self) -> None:
        """Divert both."""
        _flush()
        reader, writer = os.pipe()
        for descriptor in (1, 2):
            if os.isatty(descriptor):
                self._kept[descriptor] = os.dup(descriptor)
                os.dup2(writer, descriptor)
        threading.Thread(target=self._read, args=(reader,), name="isacblocks terminal", daemon=True).start()
        self._writer = writer

    def end(self) -> None:
        """Let them go where they went before, once what was written has been said."""
        _flush()
        for descriptor, kept in self._kept.items():
            os.dup2(kept, descriptor)
            os.close(kept)
        self._kept = {}
        os.write(self._writer, b"\n" + self._end + b"\n")
        os.close(self._writer)
        self._arrived.wait(_PATIENCE)

    def _read(self, reader: int) -> None:
        with open(reader, "rb", buffering=0) as pipe:
            rest = b""
            while data := pipe.read(65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line == self._end:
                        self._arrived.set()
                    elif line:
                        self._say(line.decode(errors="replace").rstrip("\r"))
            if rest:
                self._say(rest.decode(errors="replace"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
