"""kappa in the complex plane with its uncertainty: an ellipse per antenna, two standard deviations of gain and of phase.

Where the truth is known (a simulation) it is shown too, and the estimate is turned by the best common phase and slope, which
nobody can know: what is left is the error. Where it is not, the estimate is turned so that its mean is real.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import Range1d

from isacblocks.view.feed import Feed
from isacblocks.view.plots.content import Content, short
from isacblocks.view.plots.estimate import Renewed
from isacblocks.view.plots.style import RED, Style, source

_SIZE = 330  # pixels of the frame, both ways


def figures(feed: Feed, style: Style) -> list[Any]:
    """One square figure."""
    shown = source("plane_data", "x", "y", "w", "h", "turn", "tx", "ty", "antenna")
    made = style.figure(
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
    made.segment("tx", "ty", "x", "y", source=shown, line_color=style.ink, line_alpha=0.5)
    look = {"fill_color": RED, "fill_alpha": 0.18, "line_color": RED, "line_alpha": 0.6}
    made.ellipse("x", "y", "w", "h", angle="turn", source=shown, **look)
    made.scatter("x", "y", source=shown, size=5, color=RED, legend_label="learned")
    ring = {"size": 8, "fill_color": None, "line_color": style.ink, "legend_label": "true (simulated)"}
    made.scatter("tx", "ty", source=shown, **ring)
    style.legend(made)
    return [made]


class Plane:
    """The newest estimate."""

    figures = ("plane",)
    every = 1

    def __init__(self) -> None:
        self._estimates = Renewed()

    def update(self, feed: Feed) -> Content | None:
        """The newest estimate, where there is a new one."""
        estimate = self._estimates.take(feed)
        if estimate is None:
            return None
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
        return Content({"plane_data": short(columns)})
