"""A flowgraph's status as a table for terminals: blocks with their rates, edges with what waits and what got lost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from isacblocks.stream import Status
from isacblocks.stream.link import EdgeCount
from isacblocks.view.tap import looks_on
from isacblocks.view.terminal import phase_of

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-~=+*#"  # for terminals that know ASCII alone
_KEPT = 30  # rates of a sparkline
BLOCKS = ("block", "phase", "items", "items/s", "busy", "overhead", "bad", "readings")
EDGES = ("edge", "produced", "committed", "in flight", "lost", "why")


def sparkline(values: Sequence[float], ascii_only: bool = False) -> str:
    """Numbers of at least zero as little bars, the largest one full."""
    bars, top = _PLAIN_BARS if ascii_only else _BARS, max(values, default=0.0)
    if top <= 0:
        return bars[0] * len(values)
    return "".join(bars[min(int(len(bars) * value / top), len(bars) - 1)] for value in values)


def edges_of(status: Status) -> list[EdgeCount]:
    """The edges, without those to blocks that only look on."""
    return [edge for edge in status.edges if not looks_on(edge.receiver)]


def why(edge: EdgeCount) -> str:
    """What was lost, by reason."""
    return ", ".join(f"{reason} {n}" for reason, n in edge.dropped.items() if n)


def columns(rows: Sequence[tuple[str, ...]], width: int | None = None) -> list[str]:
    """Rows as lines; the first and the last column to the left, numbers to the right. width: the first is cut to fit it."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    if width is not None:
        widths[0] = max(min(widths[0], width - sum(widths[1:]) - 2 * len(widths[1:])), 4)
        rows = [(row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 2] + "..", *row[1:]) for row in rows]
    return [
        "  ".join(
            cell.ljust(w) if k in (0, len(row) - 1) else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


class Table:
    """Remembers what it showed before, for rates."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, int]] = {}
        self._rates: list[float] = []

    def blocks(self, status: Status) -> list[tuple[str, ...]]:
        """A row for every block, as BLOCKS says; rates are those since the last call."""
        found: list[tuple[str, ...]] = []
        largest = 0.0
        for block, now in status.blocks.items():
            items = max(now.items_in, now.items_out if not now.items_in else 0)
            then, count = self._before.get(block, (0.0, 0))
            rate = (items - count) / (status.seconds - then) if status.seconds > then else 0.0
            self._before[block] = status.seconds, items
            if looks_on(block):
                continue
            largest = max(largest, rate)
            busy = now.work_seconds / now.wall_seconds if now.wall_seconds > 0 else 0.0
            found.append(
                (
                    block,
                    now.phase,
                    f"{items}",
                    f"{rate:.0f}",
                    f"{100 * busy:.0f} %",
                    f"{100 * now.overhead:.0f} %",
                    f"{now.bad_messages + now.strangers}",
                    " ".join(f"{key}={value:.4g}" for key, value in now.readings.items() if math.isfinite(value)),
                )
            )
        self._rates = [*self._rates[1 - _KEPT :], largest]
        return found

    def lines(self, name: str, status: Status, paused: bool = False) -> list[str]:
        """The table of a status, one string a line. paused: whether the flowgraph has been paused."""
        blocks = self.blocks(status)
        edges = [
            (f"{e.sender} -> {e.receiver}", f"{e.produced}", f"{e.committed}", f"{e.in_flight}", f"{e.lost}", why(e))
            for e in edges_of(status)
        ]
        head = f"{name}: {phase_of(status, paused)}, {status.seconds:.1f} s, {self._rates[-1]:.0f} items/s"
        head += f"  {sparkline(self._rates)}"
        return [head, "", *columns([BLOCKS, *blocks]), "", *columns([EDGES, *edges])]
