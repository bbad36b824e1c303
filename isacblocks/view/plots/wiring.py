"""The flowgraph as it is drawn, with what waits on every edge, what got lost there, and how busy every block is."""

from __future__ import annotations

from typing import Any

from bokeh.models import Range1d
from bokeh.transform import factor_cmap

from isacblocks.view.feed import Feed
from isacblocks.view.layout import Line, arrange, lines_of
from isacblocks.view.plots.content import Content
from isacblocks.view.plots.style import ORANGE, RED, Style, source
from isacblocks.view.tap import looks_on

_WIDE, _HIGH = 0.66, 0.46  # of a block, in columns and rows
_COLUMN = 160  # pixels of a column, at least: where there are fewer the picture can be scrolled

_KINDS = ("ahead", "back", "lossy")  # of edges, by their colours


def figures(feed: Feed, style: Style) -> list[Any]:
    """One figure."""
    places = arrange(feed.drawing["blocks"], lines_of(feed.drawing["edges"]))
    columns = max((x for x, _ in places.values()), default=0)
    rows = [y for _, y in places.values()] or [0.0]
    boxes = source("wiring_blocks", "x", "y", "name", "said", "busy", "left", "bar", "low")
    edges = source("wiring_edges", "xs", "ys", "kind", "dash", "sender", "receiver", "waiting", "lost")
    words = source("wiring_words", "x", "y", "said", "kind")
    across, down = Range1d(-0.6, columns + 0.6), Range1d(max(rows) + 1.0, min(rows) - 0.45)
    made = style.figure(
        "", "", height=300, min_width=round(_COLUMN * (columns + 1.2)), x_range=across, y_range=down, name="wiring"
    )
    made.axis.visible = False
    made.grid.visible = False
    colour = factor_cmap("kind", [style.ink, ORANGE, RED], list(_KINDS))
    made.multi_line("xs", "ys", source=edges, line_color=colour, line_width=1.5, line_dash="dash")
    made.rect("x", "y", _WIDE, _HIGH, source=boxes, fill_color=style.paper, line_color=style.ink, border_radius=4)
    made.hbar(y="low", left="left", right="bar", height=0.05, source=boxes, fill_color=style.blue, line_color=None)
    middle = {"text_align": "center", "text_baseline": "middle"}
    for column, shift, size in (("name", -5, "11px"), ("said", 9, "10px")):
        look = {"y_offset": shift, "text_font_size": size, "text_color": style.ink}
        made.text("x", "y", column, source=boxes, **middle, **look)
    paper = {"background_fill_color": style.paper, "background_fill_alpha": 0.8}
    made.text("x", "y", "said", source=words, text_font_size="10px", text_color=colour, **middle, **paper)
    return [made]


class Wiring:
    """The newest counters."""

    figures = ("wiring",)
    every = 6

    def __init__(self, feed: Feed) -> None:
        self.lines = lines_of(feed.drawing["edges"])
        self.places = arrange(feed.drawing["blocks"], self.lines)
        self._seconds = -1.0

    def update(self, feed: Feed) -> Content | None:
        """The newest counters, where there are new ones."""
        if feed.status.seconds == self._seconds and feed.status.phase == "running":
            return None
        self._seconds = feed.status.seconds
        edges, words = self._edges(feed)
        return Content({"wiring_blocks": self._blocks(feed), "wiring_edges": edges, "wiring_words": words})

    def _blocks(self, feed: Feed) -> dict[str, list[Any]]:
        names, said, busy = list(self.places), [], []
        for name in names:
            block = feed.status.blocks.get(name)
            share = 0.0 if block is None else block.work_seconds / max(block.wall_seconds, 1e-9)
            busy.append(min(share, 1.0))
            said.append("" if block is None else f"{block.items_in or block.items_out:,}, busy {100 * share:.0f} %")
        x = [self.places[name][0] for name in names]
        y = [self.places[name][1] for name in names]
        return {
            "x": x,
            "y": y,
            "name": [name.replace("_", " ") for name in names],
            "said": said,
            "busy": busy,
            "left": [a - 0.5 * _WIDE for a in x],
            "bar": [a + (share - 0.5) * _WIDE for a, share in zip(x, busy, strict=True)],
            "low": [b + 0.5 * _HIGH for b in y],
        }

    def _edges(self, feed: Feed) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        counts = {(e.sender, e.receiver.rsplit(".", 1)[0]): e for e in feed.status.edges if not looks_on(e.receiver)}
        columns: dict[str, list[Any]] = {
            name: [] for name in ("xs", "ys", "kind", "dash", "sender", "receiver", "waiting", "lost")
        }
        words: dict[str, list[Any]] = {name: [] for name in ("x", "y", "said", "kind")}
        for line in self.lines:
            xs, ys = self._path(line)
            count = counts.get((f"{line.sender}.{line.port}", line.receiver))
            waiting, lost = (0, 0) if count is None else (count.in_flight, count.lost)
            kind = "lossy" if lost else "back" if line.back else "ahead"
            edge = xs, ys, kind, "dashed" if line.back else "solid", line.sender, line.receiver, waiting, lost
            for column, value in zip(columns.values(), edge, strict=True):
                column.append(value)
            middle = len(xs) // 2
            lag = f", lag {line.lag}" if line.back and line.lag else ""
            words["x"].append(0.5 * (xs[middle - 1] + xs[middle]) if len(xs) == 2 else xs[middle])
            words["y"].append(0.5 * (ys[middle - 1] + ys[middle]) if len(xs) == 2 else ys[middle])
            words["said"].append(f"{line.port} {waiting}{lag}" + (f", lost {lost}" if lost else ""))
            words["kind"].append(kind)
        return columns, words

    def _path(self, line: Line) -> tuple[list[float], list[float]]:
        """The points of an edge: straight ahead, or around below for a feedback."""
        (x1, y1), (x2, y2) = self.places[line.sender], self.places[line.receiver]
        if not line.back:
            return [x1 + 0.5 * _WIDE, x2 - 0.5 * _WIDE], [y1, y2]
        below = max(y for _, y in self.places.values()) + 0.55 + 0.12 * abs(x1 - x2) / max(1.0, abs(x1 - x2))
        below += 0.15 * (abs(x1 - x2) - 1)
        return [x1, x1, 0.5 * (x1 + x2), x2, x2], [y1 + 0.5 * _HIGH, below, below, below, y2 + 0.5 * _HIGH]
