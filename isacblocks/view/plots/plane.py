"""kappa in the complex plane with its uncertainty: an ellipse per antenna, two standard deviations of gain and of phase.

Where the truth is known (a simulation) it is shown too, and the estimate is turned by the best common phase and slope, which
nobody can know: what is left is the error. Where it is not, the estimate is turned so that its mean is real.
"""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, Range1d

from isacblocks.view.feed import Feed
from isacblocks.view.plots.estimate import newest
from isacblocks.view.plots.style import RED, Style, short

_SIZE = 330  # pixels of the frame, both ways


class Plane:
    """One square figure."""

    def __init__(self, feed: Feed, style: Style) -> None:
        self.source = ColumnDataSource(
            {"x": [], "y": [], "w": [], "h": [], "turn": [], "tx": [], "ty": [], "antenna": []}, name="plane_data"
        )
        made = style.figure(
            "kappa, with ellipses of 2 sigma",
            "Re kappa [mean gain 1]",
            "Im kappa [mean gain 1]",
            square=True,
            frame_width=_SIZE,
            frame_height=_SIZE,
            x_range=Range1d(-1.75, 1.75),
            y_range=Range1d(-1.75, 1.75),
            hover=[("antenna", "@antenna"), ("learned", "@x{0.000} @y{+0.000}j"), ("true", "@tx{0.000} @ty{+0.000}j")],
            name="plane",
        )
        made.segment("tx", "ty", "x", "y", source=self.source, line_color=style.ink, line_alpha=0.5)
        made.ellipse(
            "x",
            "y",
            "w",
            "h",
            angle="turn",
            source=self.source,
            fill_color=RED,
            fill_alpha=0.18,
            line_color=RED,
            line_alpha=0.6,
        )
        made.scatter("x", "y", source=self.source, size=5, color=RED, legend_label="learned")
        made.scatter(
            "tx", "ty", source=self.source, size=8, fill_color=None, line_color=style.ink, legend_label="true (simulated)"
        )
        style.legend(made)
        self.figures = [made]

    def update(self, feed: Feed) -> None:
        """Show the newest estimate."""
        estimate = newest(feed)
        if estimate is None:
            return
        fields, kappa, truth = estimate
        unknown = np.full(kappa.size, np.nan)
        true = unknown + 1j * unknown if truth is None else truth
        columns = {
            "x": kappa.real,
            "y": kappa.imag,
            "w": 4 * fields["gain_sigma"][-1],  # two sigma to either side
            "h": 4 * np.abs(kappa) * fields["sigma"][-1],
            "turn": np.angle(kappa),
            "tx": true.real,
            "ty": true.imag,
            "antenna": np.arange(kappa.size),
        }
        self.source.data = short(columns)
