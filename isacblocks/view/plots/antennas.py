"""Every antenna's phase and gain, learned and true, and which of them is not well."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import Range1d, Whisker
from bokeh.transform import factor_cmap, factor_mark

from isacblocks.kernels.health import HEALTH
from isacblocks.view.feed import Feed
from isacblocks.view.plots.content import Content, short
from isacblocks.view.plots.estimate import Renewed
from isacblocks.view.plots.style import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, Style, source
from isacblocks.view.words import named, well_again

_COLOURS = (GREEN, RED, ORANGE, BLUE, PURPLE, SKY)
_MARKERS = ("circle", "x", "triangle", "square", "diamond", "cross")
_COLUMNS = ("antenna", "phase", "low", "high", "gain", "gain_low", "gain_high", "true_phase", "true_gain", "health")


def figures(feed: Feed, style: Style) -> list[Any]:
    """Two figures that share the axis of antennas: phase, and gain."""
    shown = source("antennas_data", *_COLUMNS)
    across = Range1d(-1, feed.radar.antennas)
    common = {"x_range": across, "hover": [("antenna", "@antenna"), ("health", "@health")]}
    phase = style.figure("antenna", "phase [deg]", y_range=Range1d(-190, 190), name="phases", **common)
    phase.yaxis.ticker = [-180, -90, 0, 90, 180]
    gain = style.figure("antenna", "gain [mean 1]", y_range=Range1d(-0.1, 2), name="gains", **common)
    for made, value, low, high, true in (
        (phase, "phase", "low", "high", "true_phase"),
        (gain, "gain", "gain_low", "gain_high", "true_gain"),
    ):
        whisker = Whisker(base="antenna", lower=low, upper=high, source=shown, line_color=style.ink, line_alpha=0.6)
        whisker.upper_head = whisker.lower_head = None
        made.add_layout(whisker)
        made.scatter("antenna", true, source=shown, size=9, fill_color=None, line_color=style.ink, line_alpha=0.7)
        made.scatter(
            "antenna",
            value,
            source=shown,
            size=7,
            line_width=2,  # a cross is nothing but its lines
            color=factor_cmap("health", list(_COLOURS[: len(HEALTH)]), list(HEALTH)),
            marker=factor_mark("health", list(_MARKERS[: len(HEALTH)]), list(HEALTH)),
            legend_field="health",
        )
        style.legend(made, "top_left")
        made.legend[0].orientation = "horizontal"
        made.legend[0].click_policy = "none"
    return [phase, gain]


class Antennas:
    """The newest estimate."""

    figures = ("phases", "gains")
    every = 3

    def __init__(self) -> None:
        self._estimates = Renewed()

    def update(self, feed: Feed) -> Content | None:
        """The newest estimate, where there is a new one."""
        estimate = self._estimates.take(feed)
        if estimate is None:
            return None
        fields, kappa, truth = estimate
        phase, gain = np.degrees(np.angle(kappa)), np.abs(kappa)
        sigma, gain_sigma = np.degrees(fields["sigma"][-1]), fields["gain_sigma"][-1]
        nothing = np.full(kappa.size, np.nan)
        health = [HEALTH[code] for code in fields["health"][-1]]
        columns = {
            "antenna": np.arange(kappa.size),
            "phase": phase,
            "low": phase - 2 * sigma,
            "high": phase + 2 * sigma,
            "gain": gain,
            "gain_low": gain - 2 * gain_sigma,
            "gain_high": gain + 2 * gain_sigma,
            "true_phase": nothing if truth is None else np.degrees(np.angle(truth)),
            "true_gain": nothing if truth is None else np.abs(truth),
        }
        ill = [f"{n} {what}" for n, what in enumerate(health) if what != HEALTH[0]]
        said = "all good" if not ill else ", ".join(ill[:4]) + (f" and {len(ill) - 4} more" if len(ill) > 4 else "")
        again = well_again(feed, fields["health"][-1]).items()
        said += "".join(f"; just now {name}: {named(those)}" for name, those in again)
        data = {"antennas_data": {**short(columns), "health": health}}
        return Content(data, {"phases": f"phase of every antenna, 2 sigma: {said}"})
