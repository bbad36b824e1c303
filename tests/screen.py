"""A real pseudo terminal with a program on it, and what a person would see there."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pyte

# Takes the terminal as the one whose Ctrl-C it hears, then becomes the program
_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
_PATIENCE = 240.0  # seconds: against hanging only


class Terminal:
    """Runs `command` in `where` on a terminal of so many columns and lines. environment: what is other than here."""

    def __init__(self, command: list[str], where: Path, columns: int = 80, lines: int = 24, **environment: str) -> None:
        self.raw = b""  # all that came
        self.screen = pyte.HistoryScreen(columns, lines, history=2000, ratio=0.5)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        self._resize(columns, lines)
        kept = {
            k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM", "CI")
        }
        self.before = termios.tcgetattr(slave)
        self.program = subprocess.Popen(
            [sys.executable, "-c", _TAKE, *command],
            cwd=where,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment},
        )
        self.slave = slave  # held, so that what the program leaves can be read after its end

    def _resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """As a person does who pulls at the window's corner."""
        self._resize(columns, lines)
        self.screen.resize(lines, columns)

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._master, keys)

    def read(self, seconds: float = 0.05) -> None:
        """Take what comes in this time."""
        while select.select([self._master], [], [], seconds)[0]:
            data = os.read(self._master, 65536)
            self.raw += data
            self._stream.feed(data)

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """The same in one piece."""
        return "\n".join(self.lines)

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Read until it holds."""
        limit = time.monotonic() + _PATIENCE
        while not holds():
            self.read()
            assert time.monotonic() < limit, f"waited in vain for {what}:\n{self.text}"
            assert self.program.poll() is None or select.select([self._master], [], [], 0)[0] or holds(), self.text

    def wait(self) -> int:
        """The exit status, everything read."""
        limit = time.monotonic() + _PATIENCE
        while self.program.poll() is None:
            self.read()
            assert time.monotonic() < limit, self.text
        self.read()
        return self.program.returncode

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.program.poll() is None:
            os.killpg(self.program.pid, signal.SIGKILL)
        self.program.wait()
        os.close(self.slave)
        os.close(self._master)
