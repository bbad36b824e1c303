"""How well it detects and how fast it goes, over time."""

from __future__ import annotations

import math
from typing import Any

from bokeh.models import Range1d

from isacblocks.view.feed import Feed
from isacblocks.view.plots.content import Content, short
from isacblocks.view.plots.style import GREEN, RED, Style, source


def figures(feed: Feed, style: Style) -> list[Any]:
    """Two figures over the same time: probabilities, frames per second."""
    shown = source("rates_data", "seconds", "p_d", "p_fa", "rate")
    detection = style.figure(
        "time [s]",
        "probability",
        y_axis_type="log",
        y_range=Range1d(1e-4, 1.2),
        hover=[("P_d", "@p_d{0.000}"), ("P_fa", "@p_fa{0.0000}")],
        name="detection",
    )
    detection.line("seconds", "p_d", source=shown, color=GREEN, line_width=2, legend_label="P_d")
    detection.line("seconds", "p_fa", source=shown, color=RED, line_width=2, line_dash="dashed", legend_label="P_fa")
    style.legend(detection, "bottom_left")
    hover = [("frames/s", "@rate{0,0}")]
    speed = style.figure("time [s]", "frames/s", x_range=detection.x_range, hover=hover, name="speed")
    speed.line("seconds", "rate", source=shown, color=style.blue, line_width=2)
    speed.y_range.start = 0
    return [detection, speed]


class Rates:
    """The curves up to now."""

    figures = ("detection", "speed")
    every = 3

    def __init__(self) -> None:
        self._seconds = -1.0

    def update(self, feed: Feed) -> Content | None:
        """With the newest point, where there is a new one."""
        points = feed.history.points
        if not points or points[-1]["seconds"] == self._seconds:
            return None
        self._seconds = points[-1]["seconds"]
        columns = feed.history.columns("seconds", "p_d", "p_fa", "rate")
        for name in ("p_d", "p_fa"):  # nothing yet has no place on a logarithmic axis
            columns[name] = [value if value > 0 else math.nan for value in columns[name]]
        last = points[-1]
        said = f"P_d {last.get('p_d', math.nan):.3f} and P_fa {last.get('p_fa', math.nan):.4f} since the start"
        titles = {"detection": said, "speed": f"speed: {last['rate']:,.0f} frames/s"}
        return Content({"rates_data": short(columns)}, titles)
