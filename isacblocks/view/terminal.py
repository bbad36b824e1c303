"""One line that lives: how far, how fast, how good. A terminal's line is rewritten, elsewhere one comes now and then."""

from __future__ import annotations

import math
import sys
import time
from typing import TextIO

from isacblocks.stream import Status
from isacblocks.view.tap import looks_on

_QUIET = 5.0  # seconds between lines where the output is not a terminal


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class TerminalView:
    """Call it with a status. total: items in all, for the time still to go; counted: the block whose items are counted."""

    def __init__(self, total: int | None, counted: str, stream: TextIO | None = None) -> None:
        self.total = total
        self.counted = counted
        self.stream = stream or sys.stderr
        self._live = self.stream.isatty()
        self._last = -_QUIET
        self._width = 0
        self._rates: list[tuple[float, int]] = []

    def __call__(self, status: Status) -> None:
        """Show the status; the last one, when the flowgraph has ended, is always shown."""
        ended = status.phase not in ("starting", "running", "restarting")
        now = time.monotonic()
        if not self._live and not ended and now - self._last < _QUIET:
            return
        self._last = now
        line = self.line(status)
        if self._live:
            padding = " " * max(0, self._width - len(line))
            self.stream.write(f"\r{line}{padding}" + ("\n" if ended else ""))
            self._width = len(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def line(self, status: Status) -> str:
        """The status as one line."""
        block = status.blocks.get(self.counted)
        done = block.items_in if block is not None else 0
        self._rates = [*self._rates[-20:], (status.seconds, done)]
        (then, before), (here, after) = self._rates[0], self._rates[-1]
        rate = (after - before) / (here - then) if here > then else 0.0
        if status.phase not in ("starting", "running", "restarting"):
            rate = done / status.seconds if status.seconds else 0.0
        total = f"/{self.total}" if self.total else ""
        parts = [f"{status.phase:8s} {done}{total} frames  {rate:6.0f}/s"]
        readings = {name: value for b in status.blocks.values() for name, value in b.readings.items()}
        shown = (
            ("loss_db", "loss {:.3f} dB"),
            ("slope_deg", "slope {:+.3f} deg"),
            ("p_d", "P_d {:.3f}"),
            ("p_fa", "P_fa {:.4f}"),
        )
        parts += [text.format(readings[name]) for name, text in shown if math.isfinite(readings.get(name, math.nan))]
        lost = sum(edge.lost for edge in status.edges if not looks_on(edge.receiver))
        parts.append(f"lost {lost}")
        if self.total and status.phase == "running" and rate > 0:
            parts.append(f"{duration((self.total - done) / rate)} to go")
        return "  ".join(parts)
