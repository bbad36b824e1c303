"""Every antenna's phase and gain, learned and true, and which of them is not well."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource, Range1d, Whisker
from bokeh.transform import factor_cmap, factor_mark

from isacblocks.kernels.health import HEALTH
from isacblocks.view.feed import Feed
from isacblocks.view.plots.estimate import newest
from isacblocks.view.plots.style import BLUE, GREEN, ORANGE, PURPLE, RED, SKY, Style, short

_COLOURS = (GREEN, RED, ORANGE, BLUE, PURPLE, SKY)
_MARKERS = ("circle", "x", "triangle", "square", "diamond", "cross")
_EMPTY = ("antenna", "phase", "low", "high", "gain", "gain_low", "gain_high", "true_phase", "true_gain", "health")


class Antennas:
    """Two figures that share the axis of antennas: phase, and gain."""

    def __init__(self, feed: Feed, style: Style) -> None:
        count = feed.radar.antennas
        self.source = ColumnDataSource({name: [] for name in _EMPTY}, name="antennas_data")
        across = Range1d(-1, count)
        common = {"x_range": across, "hover": [("antenna", "@antenna"), ("health", "@health")]}
        phase = style.figure(
            "phase of every antenna", "antenna", "phase [deg]", y_range=Range1d(-190, 190), name="phases", **common
        )
        phase.yaxis.ticker = [-180, -90, 0, 90, 180]
        gain = style.figure(
            "gain of every antenna", "antenna", "gain [mean 1]", y_range=Range1d(0, 2), name="gains", **common
        )
        for made, value, low, high, true in (
            (phase, "phase", "low", "high", "true_phase"),
            (gain, "gain", "gain_low", "gain_high", "true_gain"),
        ):
            whisker = Whisker(
                base="antenna", lower=low, upper=high, source=self.source, line_color=style.ink, line_alpha=0.6
            )
            whisker.upper_head = whisker.lower_head = None
            made.add_layout(whisker)
            made.scatter("antenna", true, source=self.source, size=9, fill_color=None, line_color=style.ink, line_alpha=0.7)
            made.scatter(
                "antenna",
                value,
                source=self.source,
                size=6,
                color=factor_cmap("health", list(_COLOURS[: len(HEALTH)]), list(HEALTH)),
                marker=factor_mark("health", list(_MARKERS[: len(HEALTH)]), list(HEALTH)),
                legend_group="health",
            )
            style.legend(made, "top_left")
            made.legend[0].orientation = "horizontal"
            made.legend[0].click_policy = "none"
        self.figures = [phase, gain]

    def update(self, feed: Feed) -> None:
        """Show the newest estimate."""
        estimate = newest(feed)
        if estimate is None:
            return
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
        self.source.data = {**short(columns), "health": health}
        ill = [f"{n} {what}" for n, what in enumerate(health) if what != HEALTH[0]]
        said = "all good" if not ill else ", ".join(ill[:4]) + (f" and {len(ill) - 4} more" if len(ill) > 4 else "")
        self.figures[0].title.text = f"phase of every antenna, 2 sigma: {said}"
