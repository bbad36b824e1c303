"""One line that lives: how far, how fast, how good. A terminal's line is rewritten, elsewhere one comes now and then."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TextIO

from isacblocks.stream import Status
from isacblocks.view.tap import looks_on

_QUIET = 5.0  # seconds between lines where the output is not a terminal
_APART = 1.0  # seconds between lines for programs
_SHOWN = {
    "loss_db": "loss {:.4f} dB",
    "slope_deg": "slope {:+.3f} deg",
    "p_d": "P_d {:.3f}",
    "p_fa": "P_fa {:.4f}",
}


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


def takes_a_table() -> bool:
    """Whether somebody sits at a terminal that can rewrite what it shows; where only rich is missing, says how to get it."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()) or is_dumb():
        return False
    if find_spec("rich") is None:
        print("for a table in place of a line: pip install 'isacblocks[terminal]'", file=sys.stderr)
        return False
    return True


def is_dumb() -> bool:
    """Whether the terminal says of itself that it can do nothing but to write on."""
    return os.environ.get("TERM", "").lower() in ("", "dumb", "unknown")


def has_ended(status: Status) -> bool:
    """Whether nothing more will come."""
    return status.phase not in ("starting", "running", "restarting")


def phase_of(status: Status, paused: bool) -> str:
    """What people are told of how it stands. paused: whether the sources have been told to make nothing."""
    return "paused" if paused and status.phase == "running" else status.phase


class TerminalView:
    """Call it with a status. total: items in all, for the time still to go; counted: the block whose items are counted;
    paused: says whether the flowgraph has been paused."""

    def __init__(
        self, total: int | None, counted: str, stream: TextIO | None = None, paused: Callable[[], bool] = lambda: False
    ) -> None:
        self.total = total
        self.counted = counted
        self.paused = paused
        self.stream = stream or sys.stderr
        self._live = self.stream.isatty() and not is_dumb()
        self._last = -_QUIET
        self._width = 0
        self._over = False  # a flowgraph may be seen to have ended twice: as it does, and afterwards
        self._rates: list[tuple[float, int]] = []

    def __call__(self, status: Status) -> None:
        """Show the status; the last one, when the flowgraph has ended, is always shown."""
        ended = has_ended(status)
        now = time.monotonic()
        if self._over:
            return
        self._over = ended
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

    def figures(self, status: Status) -> dict[str, float | str | None]:
        """What there is to tell: phase, paused, seconds, frames, total, frames_per_second, lost, and, where a judge knows
        them, loss_db, slope_deg, p_d, p_fa; None for what is not known yet."""
        block = status.blocks.get(self.counted)
        done = block.items_in if block is not None else 0
        self._rates = [*self._rates[-20:], (status.seconds, done)]
        (then, before), (here, after) = self._rates[0], self._rates[-1]
        rate = (after - before) / (here - then) if here > then else 0.0
        if has_ended(status):
            rate = done / status.seconds if status.seconds else 0.0
        readings = {name: value for b in status.blocks.values() for name, value in b.readings.items()}
        return {
            "phase": status.phase,
            "paused": phase_of(status, self.paused()) == "paused",
            "seconds": status.seconds,
            "frames": done,
            "total": self.total,
            "frames_per_second": rate,
            "lost": sum(edge.lost for edge in status.edges if not looks_on(edge.receiver)),
            **{name: readings[name] if math.isfinite(readings.get(name, math.nan)) else None for name in _SHOWN},
        }

    def line(self, status: Status) -> str:
        """The status as one line."""
        told = self.figures(status)
        done, rate = int(told["frames"] or 0), float(told["frames_per_second"] or 0)
        total = f"/{self.total}" if self.total else ""
        phase = phase_of(status, bool(told["paused"]))
        parts = [f"{phase:8s} {done}{total} frames  {rate:6.0f}/s"]
        parts += [text.format(told[name]) for name, text in _SHOWN.items() if told[name] is not None]
        parts.append(f"lost {told['lost']}")
        if self.total and phase == "running" and rate > 0:
            parts.append(f"{duration((self.total - done) / rate)} to go")
        return "  ".join(parts)


class JsonView(TerminalView):
    """The same as a line of JSON every second, its keys those of :meth:`TerminalView.figures`, on the standard output."""

    def __init__(
        self, total: int | None, counted: str, stream: TextIO | None = None, paused: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(total, counted, stream or sys.stdout, paused)

    def __call__(self, status: Status) -> None:
        """Tell the status; the last one is always told."""
        now = time.monotonic()
        if self._over:
            return
        self._over = has_ended(status)
        if self._over or now - self._last >= _APART:
            self._last = now
            self.stream.write(json.dumps(self.figures(status), allow_nan=False) + "\n")
            self.stream.flush()
