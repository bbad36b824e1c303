"""A flowgraph's status as a table for terminals: blocks with their rates, edges with what waits and what got lost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from isacblocks.stream import Status
from isacblocks.view.tap import looks_on

_BARS = "▁▂▃▄▅▆▇█"
_KEPT = 30  # rates of a sparkline


def sparkline(values: list[float]) -> str:
    """Numbers of at least zero as little bars, the largest one full."""
    top = max(values, default=0.0)
    if top <= 0:
        return _BARS[0] * len(values)
    return "".join(_BARS[min(int(len(_BARS) * value / top), len(_BARS) - 1)] for value in values)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines; names and words to the left, numbers to the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
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

    def lines(self, name: str, status: Status) -> list[str]:
        """The table of a status, one string a line."""
        blocks = [("block", "phase", "items", "items/s", "busy", "overhead", "bad", "readings")]
        largest = 0.0
        for block, found in status.blocks.items():
            items = max(found.items_in, found.items_out if not found.items_in else 0)
            then, count = self._before.get(block, (0.0, 0))
            rate = (items - count) / (status.seconds - then) if status.seconds > then else 0.0
            self._before[block] = status.seconds, items
            if looks_on(block):
                continue
            largest = max(largest, rate)
            busy = found.work_seconds / found.wall_seconds if found.wall_seconds > 0 else 0.0
            readings = " ".join(f"{key}={value:.4g}" for key, value in found.readings.items() if math.isfinite(value))
            blocks.append(
                (
                    block,
                    found.phase,
                    f"{items}",
                    f"{rate:.0f}",
                    f"{100 * busy:.0f} %",
                    f"{100 * found.overhead:.0f} %",
                    f"{found.bad_messages + found.strangers}",
                    readings,
                )
            )
        self._rates = [*self._rates[1 - _KEPT :], largest]
        edges = [("edge", "produced", "committed", "in flight", "lost", "why")]
        edges += [
            (
                f"{e.sender} -> {e.receiver}",
                f"{e.produced}",
                f"{e.committed}",
                f"{e.in_flight}",
                f"{e.lost}",
                ", ".join(f"{reason} {n}" for reason, n in e.dropped.items() if n),
            )
            for e in status.edges
            if not looks_on(e.receiver)
        ]
        head = f"{name}: {status.phase}, {status.seconds:.1f} s, {largest:.0f} items/s  {sparkline(self._rates)}"
        return [head, "", *_columns(blocks), "", *_columns(edges)]
