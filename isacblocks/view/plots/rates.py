"""How well it detects and how fast it goes, over time."""

from __future__ import annotations

import math

import numpy as np
from bokeh.models import ColumnDataSource, Range1d

from isacblocks.view.feed import Feed
from isacblocks.view.plots.style import GREEN, RED, Style


class Rates:
    """Two figures over the same time: probabilities, frames per second."""

    def __init__(self, feed: Feed, style: Style) -> None:
        self.source = ColumnDataSource({"seconds": [], "p_d": [], "p_fa": [], "rate": []}, name="rates_data")
        detection = style.figure(
            "P_d and P_fa since the start",
            "time [s]",
            "probability",
            y_axis_type="log",
            y_range=Range1d(1e-4, 1.2),
            hover=[("P_d", "@p_d{0.000}"), ("P_fa", "@p_fa{0.0000}")],
            name="detection",
        )
        detection.line("seconds", "p_d", source=self.source, color=GREEN, line_width=2, legend_label="P_d")
        detection.line(
            "seconds", "p_fa", source=self.source, color=RED, line_width=2, line_dash="dashed", legend_label="P_fa"
        )
        style.legend(detection, "center_left")
        speed = style.figure(
            "speed",
            "time [s]",
            "frames/s",
            x_range=detection.x_range,
            hover=[("frames/s", "@rate{0,0}")],
            name="speed",
        )
        speed.line("seconds", "rate", source=self.source, color=style.blue, line_width=2)
        speed.y_range.start = 0
        self.figures = [detection, speed]

    def update(self, feed: Feed) -> None:
        """Show the curves up to now."""
        points = feed.history.points
        if not points:
            return
        columns = feed.history.columns("seconds", "p_d", "p_fa", "rate")
        for name in ("p_d", "p_fa"):  # nothing yet has no place on a logarithmic axis
            columns[name] = [value if value > 0 else math.nan for value in columns[name]]
        self.source.data = {name: np.array(column) for name, column in columns.items()}
        last = points[-1]
        self.figures[
            0
        ].title.text = f"P_d {last.get('p_d', math.nan):.3f} and P_fa {last.get('p_fa', math.nan):.4f} since the start"
        self.figures[1].title.text = f"speed: {last['rate']:,.0f} frames/s"
