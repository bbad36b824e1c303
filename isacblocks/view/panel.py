"""The live view as a table for a terminal of any size: what matters most stays where there is little room."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from rich.text import Text

from isacblocks.stream.link import EdgeCount
from isacblocks.view.feed import Feed
from isacblocks.view.table import Table, columns, edges_of, sparkline, why
from isacblocks.view.terminal import duration, phase_of
from isacblocks.view.words import Row, rows

_LABEL = 11  # columns of the figures' names
_CURVE = 40  # of a sparkline, at most
_WHY, _SOME = 90, 70  # columns from which on there is room for the reasons of losses, and for more counters
_MOODS = {"running": "green", "finished": "green", "ended": "green", "failed": "bold red"}
_Any = TypeVar("_Any")


class Panel:
    """Draws what a feed knows. total: items in all; counted: the block whose items are counted; beside: said in the head.

    ascii_only: for terminals without the characters of a sparkline.
    """

    def __init__(
        self, feed: Feed, total: int | None, counted: str | None, beside: str = "", ascii_only: bool = False
    ) -> None:
        self.feed = feed
        self.total = total
        self.counted = counted
        self.beside = beside
        self.ascii_only = ascii_only
        self._table = Table()

    def drawn(self, width: int, height: int) -> Text:
        """What fits into a terminal of so many columns and lines."""
        lines = [self._head(width), *(self._figure(row, width) for row in rows(self.feed))][: max(height, 1)]
        for part in (self._edges, self._blocks):
            lines += part(width, height - len(lines) - 1)
        return Text("\n").join(lines)

    def _head(self, width: int) -> Text:
        """How far it is."""
        feed, status = self.feed, self.feed.status
        phase = "ended" if feed.gone else phase_of(status, feed.paused)
        block = status.blocks.get(self.counted or "")
        done = max((b.items_in for b in status.blocks.values()), default=0) if block is None else block.items_in
        rate = feed.history.points[-1]["rate"] if feed.history.points else math.nan
        said = f"  {duration(status.seconds)}  {done:,}" + (f" of {self.total:,}" if self.total else "") + " frames"
        line = Text.assemble((feed.name, "bold"), "  ", (phase, _MOODS.get(phase, "bold yellow")), said)
        to_go = f", {duration((self.total - done) / rate)} to go" if self.total and phase == "running" and rate > 0 else ""
        for more in (to_go, f"  {self.beside}" if self.beside else ""):
            if line.cell_len + len(more) <= width:
                line.append(more)
        return _cut(line, width)

    def _figure(self, row: Row, width: int) -> Text:
        line = Text.assemble(f"{row.label:{_LABEL}s}", (row.words, "bold red" if row.ill else ""))
        room = min(width - line.cell_len - 2, _CURVE)
        if room >= 8 and len(row.curve) > 1:
            line.append("  ")
            line.append(sparkline(row.curve[:: -(-len(row.curve) // room)], self.ascii_only), "cyan")
        return _cut(line, width)

    def _edges(self, width: int, room: int) -> list[Text]:
        """What waits on every edge and what got lost there, in so many lines."""
        edges = edges_of(self.feed.status)
        if room < 3 or not edges:
            return []
        shown = _most(edges, room - 1, lambda e: (e.lost, e.in_flight))
        some, wide = width >= _SOME, width >= _WHY
        lags = {(e["sender"], e["receiver"]): e["lag"] for e in self.feed.drawing["edges"] if e["feedback"]}
        table = [("edge", *(["produced"] if some else []), "waiting", "lost", "why" if wide else "")]
        for edge in shown:
            lag = lags.get((edge.sender, edge.receiver))
            said = _said(edge) + (f" (lag {lag})" if lag else "")
            numbers = [*([f"{edge.produced}"] if some else []), f"{edge.in_flight}", f"{edge.lost}"]
            table.append((said, *numbers, why(edge) if wide else ""))
        return _lines(table, width, [bool(edge.lost) for edge in shown], len(edges))

    def _blocks(self, width: int, room: int) -> list[Text]:
        """How fast and how busy every block is, in so many lines."""
        blocks = self._table.blocks(self.feed.status)
        if room < 3 or not blocks:
            return []
        shown = _most(blocks, room - 1, lambda row: int(row[4].split()[0]))
        wide = width >= _WHY
        table = [("block", "items/s", "busy", *(["overhead", "bad"] if wide else []), "phase")]
        for name, phase, _, rate, busy, overhead, bad, _ in shown:
            table.append((name, rate, busy, *([overhead, bad] if wide else []), phase))
        ill = [row[1] not in ("running", "finished", "starting") or row[6] != "0" for row in shown]
        return _lines(table, width, ill, len(blocks))


def _lines(table: Sequence[tuple[str, ...]], width: int, ill: Sequence[bool], count: int) -> list[Text]:
    """A table with its head, after an empty line; ill: of every row; count: rows that there are in truth."""
    head, *body = columns(table, width)
    found = [Text(), Text(head, "underline"), *(Text(row, "red" if bad else "") for row, bad in zip(body, ill, strict=True))]
    if len(body) < count:
        found.append(Text(f"and {count - len(body)} more"))
    return [_cut(line, width) for line in found]


def _cut(line: Text, width: int) -> Text:
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line


def _said(edge: EdgeCount) -> str:
    """An edge by its ends, the port once where both ends call it the same."""
    block, _, port = edge.receiver.rpartition(".")
    return f"{edge.sender} > {block if edge.sender.endswith(f'.{port}') else edge.receiver}"


def _most(found: Sequence[_Any], room: int, weight: Callable[[_Any], object]) -> list[_Any]:
    """All where they fit, else those that weigh most, in their order, and a line less for how many are left out."""
    if len(found) <= room:
        return list(found)
    heaviest = sorted(range(len(found)), key=lambda k: weight(found[k]), reverse=True)  # type: ignore[arg-type,return-value]
    return [found[k] for k in sorted(heaviest[: room - 1])]
