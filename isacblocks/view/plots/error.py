"""What the learned kappa still costs, over the frames, with the bound that no estimate can beat on hardware at rest.

Two curves: the true loss, where a judge knows it, and what the calibrator itself expects from its standard deviations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bokeh.models import CustomJSTickFormatter, FixedTicker

from isacblocks.view.feed import Feed
from isacblocks.view.plots.content import Content, short
from isacblocks.view.plots.style import ORANGE, RED, Style, source
from isacblocks.view.words import bound_word, decibels

_NUMBER = "return tick >= 1000 ? tick / 1000 + ' k' : String(+tick.toPrecision(3))"
_CROWD = 8  # ticks that have room for their numbers beside each other; of more only the decades have them


def figures(feed: Feed, style: Style) -> list[Any]:
    """One figure, both axes logarithmic."""
    shown = source("error_data", "frames", "loss", "expected", "bound")
    made = style.figure(
        "frames used",
        "loss [dB]",
        x_axis_type="log",
        y_axis_type="log",
        hover=[("frames", "@frames{0,0}"), ("loss", "@loss{0.0000} dB"), ("bound", "@bound{0.0000} dB")],
        name="error",
    )
    made.line("frames", "loss", source=shown, line_color=RED, line_width=2, legend_label="true loss")
    calm = {"line_color": ORANGE, "line_width": 2, "line_dash": "dashdot", "legend_label": "expected by the calibrator"}
    made.line("frames", "expected", source=shown, **calm)
    bound = {"line_color": style.ink, "line_dash": "dashed", "legend_label": "bound, hardware at rest"}
    made.line("frames", "bound", source=shown, **bound)
    style.legend(made, "bottom_left")
    for axis in (made.xaxis[0], made.yaxis[0]):
        axis.ticker = FixedTicker(ticks=[step * 10.0**power for power in range(-9, 10) for step in (1, 2, 5)])
        axis.formatter = CustomJSTickFormatter(code=_NUMBER)
    made.xaxis[0].formatter.code = f"if (ticks.length > {_CROWD} && String(tick)[0] !== '1') return ''; {_NUMBER}"
    return [made]


class Error:
    """The curves up to now."""

    figures = ("error",)
    every = 3

    def __init__(self, feed: Feed) -> None:
        self._used = 0.0

    def update(self, feed: Feed) -> Content | None:
        """With the newest point, where more frames have been used."""
        points = [point for point in feed.history.points if point.get("used", 0.0) > 0]
        if not points or points[-1]["used"] == self._used:
            return None
        self._used = points[-1]["used"]
        columns = {
            "frames": np.array([point["used"] for point in points]),
            "loss": np.array([point.get("loss_db", math.nan) for point in points]),
            "expected": np.array([point.get("expected_db", math.nan) for point in points]),
            "bound": np.array([point.get("bound_db", math.nan) for point in points]),
        }
        title = {}
        if math.isfinite(columns["loss"][-1]):
            loss, bound = (decibels(float(columns[name][-1])) for name in ("loss", "bound"))
            title["error"] = f"loss of array gain: {loss}, {bound_word(feed)} {bound}"
        return Content({"error_data": short(columns)}, title)
