"""The angle-delay map of the newest frame before and after calibration, with the target that is detected in its sector.

Angles are told from the middle of the frame's own prior sector, so that one frame can be compared with the next.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper, Range1d

from isacblocks.radar import SPEED_OF_LIGHT, Scene
from isacblocks.view.feed import Feed
from isacblocks.view.maps import Mapper
from isacblocks.view.plots.style import MAP_COLOURS, ORANGE, Style

_LEVELS = 255  # of the picture: a quarter of the bytes of single precision


class Maps:
    """Two figures with common ranges, hence zoomed together."""

    def __init__(self, feed: Feed, style: Style) -> None:
        scene: Scene = feed.scene
        self.mapper = Mapper(feed.radar, scene, feed.facts.get("noise") == "known")
        near, far = (0.5 * SPEED_OF_LIGHT * t for t in self.mapper.basis.window)
        reach = math.degrees(scene.sector_width_max) / 2
        self.images = ColumnDataSource(
            {"before": [], "after": [], "x": [], "y": [], "width": [], "height": []}, name="map_images"
        )
        self.marks = ColumnDataSource({"range": [], "angle": []}, name="map_marks")
        self.edge = ColumnDataSource({"range": [], "angle": []}, name="map_sector")
        self._colours = LinearColorMapper(MAP_COLOURS, low=0, high=_LEVELS)
        self._across, self._up = Range1d(near, far), Range1d(-reach * 1.05, reach * 1.05)
        self.figures = [self._figure(style, which) for which in ("before", "after")]
        bar = ColorBar(
            color_mapper=LinearColorMapper(MAP_COLOURS, low=0, high=1),
            title="relative to the larger peak",
            title_text_color=style.ink,
            major_label_text_color=style.ink,
            background_fill_color=style.paper,
            width=8,
        )
        self.figures[1].add_layout(bar, "right")
        self._number = -1

    def _figure(self, style: Style, which: str) -> Any:
        made = style.figure(
            f"{which} calibration",
            "range [m]",
            "angle from the sector's middle [deg]",
            x_range=self._across,
            y_range=self._up,
            height=400,
            name=f"map_{which}",
        )
        made.image(which, x="x", y="y", dw="width", dh="height", source=self.images, color_mapper=self._colours)
        made.line("range", "angle", source=self.edge, line_color=style.ink, line_dash="dotted")
        made.scatter(
            "range",
            "angle",
            source=self.marks,
            size=22,
            marker="circle",
            fill_color=None,
            line_color="white",
            line_width=2.5,
        )
        made.scatter("range", "angle", source=self.marks, size=26, fill_color=None, line_color=ORANGE, line_width=1.5)
        return made

    def update(self, feed: Feed) -> None:
        """Show the newest frame, where there is a new one."""
        number = feed.numbers.get("compressed", -1)
        kappa = feed.seen.get("kappa")
        if number == self._number or "compressed" not in feed.seen:
            return
        self._number = number
        ones = np.ones(feed.radar.antennas, np.complex128)
        learned = ones if kappa is None else kappa["fields"]["kappa"][-1]
        p_fa = feed.find("p_fa")
        shown = self.mapper.picture(feed.seen["compressed"], learned, 1e-2 if p_fa is None else p_fa["value"])
        if shown is None:
            return
        low, high = np.degrees(shown.sector)
        middle, (near, far) = 0.5 * (low + high), (0.5 * SPEED_OF_LIGHT * t for t in shown.window)
        images = {which: [(_LEVELS * getattr(shown, which)).astype(np.uint8)] for which in ("before", "after")}
        self.images.data = {**images, "x": [near], "y": [low - middle], "width": [far - near], "height": [high - low]}
        box = low - middle, high - middle
        self.edge.data = {"range": [near, far, far, near, near], "angle": [box[0], box[0], box[1], box[1], box[0]]}
        at = [0.5 * SPEED_OF_LIGHT * shown.tau], [math.degrees(shown.theta) - middle]
        self.marks.data = dict(zip(("range", "angle"), at if shown.detected else ([], []), strict=True))
        said = "target" if shown.detected else "no target"
        self.figures[0].title.text = f"before: frame {shown.frame}, sector {low:.1f} to {high:.1f} deg"
        self.figures[
            1
        ].title.text = f"after: {said}, T {shown.level:.1f} of {shown.threshold:.1f}, peak {shown.gain_db:+.2f} dB"
