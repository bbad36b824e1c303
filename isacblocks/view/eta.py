"""One line about a long computation: how much of it is done, how fast, how long it will take."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from isacblocks.view.terminal import duration

_LIVE, _QUIET = 0.2, 10.0  # seconds between lines on a terminal, and elsewhere


class Eta:
    """Tell it of frames that are done. total: frames in all. What an earlier run did does not count for the speed."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self.total = total
        self.stream = stream or sys.stderr
        self.done = 0
        self._made = 0
        self._live = self.stream.isatty()
        self._began = self._shown = time.monotonic()
        self._width = 0

    def __call__(self, frames: int, *, kept: bool = False) -> None:
        """So many more frames are done; kept: by an earlier run."""
        self.done += frames
        self._made += 0 if kept else frames
        now = time.monotonic()
        if now - self._shown >= (_LIVE if self._live else _QUIET):
            self._shown = now
            self._show(now - self._began)

    def _show(self, seconds: float) -> None:
        line = self.line(seconds)
        if self._live:
            self.stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def line(self, seconds: float) -> str:
        """The line, `seconds` after the start."""
        rate = self._made / seconds if seconds > 0 else 0.0
        to_go = duration((self.total - self.done) / rate) if rate > 0 else "?"
        share = self.done / self.total if self.total else 1.0
        return f"{self.done}/{self.total} frames ({share:.0%})  {rate:.0f}/s  {to_go} to go"

    def end(self) -> None:
        """The last line."""
        self._show(time.monotonic() - self._began)
        if self._live:
            self.stream.write("\n")
            self.stream.flush()
