"""The live view on a terminal, for ssh: a table that stays in its place. Needs rich (extra terminal)."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from isacblocks.stream import Status
from isacblocks.view.diverted import Diverted
from isacblocks.view.feed import Feed
from isacblocks.view.panel import Panel
from isacblocks.view.terminal import has_ended

_APART = 0.25  # seconds between two pictures
_USUAL = (80, 24)  # columns and lines of a terminal that does not say


class Dashboard:
    """Enter it before the flowgraph starts; then call it with a status, or draw() by yourself. It is left at the end of its
    ``with``, or with the status of a flowgraph that has ended.

    The arguments are those of :class:`Panel`. What is written to the terminal meanwhile comes to stand above the table.
    """

    def __init__(self, feed: Feed, total: int | None = None, counted: str | None = None, beside: str = "") -> None:
        self.feed = feed
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        descriptor = os.dup(2 if os.isatty(2) else 1)
        self._terminal = os.fdopen(descriptor, "w", encoding=encoding, errors="replace")
        self._console = Console(file=self._terminal, force_terminal=True, force_interactive=True, highlight=False)
        self._panel = Panel(feed, total, counted, beside, ascii_only=not encoding.lower().startswith("utf"))
        self._diverted = Diverted(self._say)
        self._writes = threading.RLock()  # rich moves the cursor, then writes: nobody may write in between
        self._live: Live | None = None
        self._open = False
        self._size = (0, 0)
        self._last = 0.0

    def __call__(self, status: Status) -> None:
        """Draw now and then; with the last status for good."""
        if not self._open:
            return
        ended = has_ended(status)
        if ended or time.monotonic() - self._last >= _APART:
            self._last = time.monotonic()
            self.draw()
        if ended:
            self.close()

    def draw(self) -> None:
        """Ask how it stands and draw that, in the size that the terminal has now."""
        self.feed.look()
        size = _size_of(self._terminal)
        with self._writes:
            self._console.size = size
            if self._live is None:
                self._start()
            elif size != self._size:  # the terminal has broken the lines anew: nobody knows where the table is
                self._clear()
            self._size = size
            assert self._live is not None
            self._live.update(self._panel.drawn(size[0], size[1] - 1), refresh=True)

    def _start(self) -> None:
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()

    def _clear(self) -> None:
        assert self._live is not None
        self._live.transient = True
        self._live.stop()
        self._console.clear()
        self._start()

    def _say(self, line: str) -> None:
        with self._writes:
            self._console.print(Text.from_ansi(line), soft_wrap=True)

    def close(self) -> None:
        """Leave the table as it is and the terminal as it was."""
        if not self._open:
            return
        self._open = False
        self._diverted.end()
        with self._writes:
            if self._live is not None:
                self._live.stop()

    def __enter__(self) -> Dashboard:
        self._open = True
        self._diverted.begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _size_of(terminal: TextIO) -> tuple[int, int]:
    """Columns and lines, at this moment."""
    try:
        columns, lines = os.get_terminal_size(terminal.fileno())
    except OSError:
        return _USUAL
    return columns or _USUAL[0], lines or _USUAL[1]
