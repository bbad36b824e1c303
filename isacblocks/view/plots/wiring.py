"""The flowgraph as it is drawn, with what waits on every edge, what got lost there, and how busy every block is."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, Range1d

from isacblocks.view.feed import Feed
from isacblocks.view.layout import arrange, lines_of
from isacblocks.view.plots.style import ORANGE, RED, Style
from isacblocks.view.tap import looks_on

_WIDE, _HIGH = 0.78, 0.46  # of a block, in columns and rows


class Wiring:
    """One figure."""

    def __init__(self, feed: Feed, style: Style) -> None:
        self.style = style
        self.lines = lines_of(feed.drawing["edges"])
        self.kinds: dict[str, str] = feed.drawing["blocks"]
        self.places = arrange(self.kinds, self.lines)
        columns = max((x for x, _ in self.places.values()), default=0)
        rows = [y for _, y in self.places.values()] or [0.0]
        self.boxes = ColumnDataSource(
            {"x": [], "y": [], "name": [], "said": [], "busy": [], "left": [], "bar": [], "low": []}, name="wiring_blocks"
        )
        self.edges = ColumnDataSource(
            {
                "xs": [],
                "ys": [],
                "colour": [],
                "dash": [],
                "sender": [],
                "receiver": [],
                "waiting": [],
                "lost": [],
                "width": [],
            },
            name="wiring_edges",
        )
        self.words = ColumnDataSource({"x": [], "y": [], "said": [], "colour": []}, name="wiring_words")
        made = style.figure(
            "the flowgraph: what waits on every edge, what got lost",
            "",
            "",
            height=340,
            x_range=Range1d(-0.6, columns + 0.6),
            y_range=Range1d(max(rows) + 1.0, min(rows) - 0.9),
            name="wiring",
        )
        made.axis.visible = False
        made.grid.visible = False
        made.multi_line("xs", "ys", source=self.edges, line_color="colour", line_width="width", line_dash="dash")
        made.rect("x", "y", _WIDE, _HIGH, source=self.boxes, fill_color=style.paper, line_color=style.ink, border_radius=4)
        made.hbar(y="low", left="left", right="bar", height=0.05, source=self.boxes, fill_color=style.blue, line_color=None)
        for column, shift, size in (("name", -5, "11px"), ("said", 9, "10px")):
            made.text(
                "x",
                "y",
                column,
                source=self.boxes,
                text_align="center",
                text_baseline="middle",
                y_offset=shift,
                text_font_size=size,
                text_color=style.ink,
            )
        made.text(
            "x",
            "y",
            "said",
            source=self.words,
            text_align="center",
            text_baseline="middle",
            text_font_size="10px",
            text_color="colour",
            background_fill_color=style.paper,
            background_fill_alpha=0.8,
        )
        self.figures = [made]

    def update(self, feed: Feed) -> None:
        """Show the newest counters."""
        self._blocks(feed)
        self._edges(feed)

    def _blocks(self, feed: Feed) -> None:
        names, said, busy = list(self.places), [], []
        for name in names:
            block = feed.status.blocks.get(name)
            share = 0.0 if block is None else block.work_seconds / max(block.wall_seconds, 1e-9)
            busy.append(min(share, 1.0))
            said.append("" if block is None else f"{block.items_in or block.items_out:,}, busy {100 * share:.0f} %")
        x = [self.places[name][0] for name in names]
        y = [self.places[name][1] for name in names]
        self.boxes.data = {
            "x": x,
            "y": y,
            "name": [name.replace("_", " ") for name in names],
            "said": said,
            "busy": busy,
            "left": [a - 0.5 * _WIDE for a in x],
            "bar": [a + (share - 0.5) * _WIDE for a, share in zip(x, busy, strict=True)],
            "low": [b + 0.5 * _HIGH for b in y],
        }

    def _edges(self, feed: Feed) -> None:
        counts = {(e.sender, e.receiver.rsplit(".", 1)[0]): e for e in feed.status.edges if not looks_on(e.receiver)}
        columns: dict[str, list[Any]] = {name: [] for name in self.edges.data}
        words: dict[str, list[Any]] = {name: [] for name in self.words.data}
        for line in self.lines:
            xs, ys = self._path(line.sender, line.receiver, line.back)
            count = counts.get((f"{line.sender}.{line.port}", line.receiver))
            waiting, lost = (0, 0) if count is None else (count.in_flight, count.lost)
            colour = RED if lost else ORANGE if line.back else self.style.ink
            for name, value in {
                "xs": xs,
                "ys": ys,
                "colour": colour,
                "dash": "dashed" if line.back else "solid",
                "sender": line.sender,
                "receiver": line.receiver,
                "waiting": waiting,
                "lost": lost,
                "width": 1.5,
            }.items():
                columns[name].append(value)
            middle = len(xs) // 2
            lag = f", lag {line.lag}" if line.back and line.lag else ""
            words["x"].append(0.5 * (xs[middle - 1] + xs[middle]) if len(xs) == 2 else xs[middle])
            words["y"].append(0.5 * (ys[middle - 1] + ys[middle]) if len(xs) == 2 else ys[middle])
            words["said"].append(f"{line.port} {waiting}{lag}" + (f", lost {lost}" if lost else ""))
            words["colour"].append(colour)
        self.edges.data, self.words.data = columns, words

    def _path(self, sender: str, receiver: str, back: bool) -> tuple[list[float], list[float]]:
        """The points of an edge: straight ahead, or around below for a feedback."""
        (x1, y1), (x2, y2) = self.places[sender], self.places[receiver]
        if not back:
            return [x1 + 0.5 * _WIDE, x2 - 0.5 * _WIDE], [y1, y2]
        below = max(y for _, y in self.places.values()) + 0.55 + 0.12 * abs(x1 - x2) / max(1.0, abs(x1 - x2))
        below += 0.15 * (abs(x1 - x2) - 1)
        return [x1, x1, 0.5 * (x1 + x2), x2, x2], [y1 + 0.5 * _HIGH, below, below, below, y2 + 0.5 * _HIGH]
