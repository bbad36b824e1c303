"""The angle-delay map of the newest frame before and after calibration, with the target that is detected in its sector.

Angles are told from the middle of the frame's own prior sector, so that one frame can be compared with the next.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, LinearColorMapper, Range1d

from isacblocks.radar import SPEED_OF_LIGHT
from isacblocks.view.feed import Feed
from isacblocks.view.maps import POINTS, Mapper, MapPicture
from isacblocks.view.plots.content import Content, image, short
from isacblocks.view.plots.style import MAP_COLOURS, ORANGE, Style, source

_LEVELS = 255  # of the picture: a quarter of the bytes of single precision


def figures(feed: Feed, style: Style) -> list[Any]:
    """Two figures with common ranges, hence zoomed together."""
    near, far = (0.5 * SPEED_OF_LIGHT * t for t in feed.scene.delay_window(feed.radar))
    reach = math.degrees(feed.scene.sector_width_max) / 2
    blank = [np.zeros((POINTS, POINTS), np.uint8)]
    place = {"x": [near], "y": [-reach], "width": [far - near], "height": [2 * reach]}
    images = ColumnDataSource({"before": blank, "after": blank, **place}, name="map_images", syncable=False)
    marks, edge = source("map_marks", "range", "angle"), source("map_sector", "range", "angle")
    colours = LinearColorMapper(MAP_COLOURS, low=0, high=_LEVELS)
    common = {"x_range": Range1d(near, far), "y_range": Range1d(-reach * 1.05, reach * 1.05), "height": 400}
    found = []
    for which in ("before", "after"):
        made = style.figure("range [m]", "angle from the sector's middle [deg]", name=f"map_{which}", **common)
        made.image(which, x="x", y="y", dw="width", dh="height", source=images, color_mapper=colours)
        made.line("range", "angle", source=edge, line_color=style.ink, line_dash="dotted")
        made.scatter("range", "angle", source=marks, size=22, fill_color=None, line_color="white", line_width=2.5)
        made.scatter("range", "angle", source=marks, size=26, fill_color=None, line_color=ORANGE, line_width=1.5)
        found.append(made)
    bar = ColorBar(
        color_mapper=LinearColorMapper(MAP_COLOURS, low=0, high=1),
        title="relative to the larger peak",
        title_text_color=style.ink,
        major_label_text_color=style.ink,
        background_fill_color=style.paper,
        width=8,
    )
    found[1].add_layout(bar, "right")
    return found


class Maps:
    """Both maps of the newest frame."""

    figures = ("map_before", "map_after")
    every = 1

    def __init__(self, feed: Feed) -> None:
        self.mapper = Mapper(feed.radar, feed.scene, feed.facts.get("noise") == "known")
        self._number = -1

    def update(self, feed: Feed) -> Content | None:
        """The newest frame, where there is a new one."""
        number = feed.numbers.get("compressed", -1)
        kappa = feed.seen.get("kappa")
        if number == self._number or "compressed" not in feed.seen:
            return None
        self._number = number
        ones = np.ones(feed.radar.antennas, np.complex128)
        learned = ones if kappa is None else kappa["fields"]["kappa"][-1]
        p_fa = feed.find("p_fa")
        shown = self.mapper.picture(feed.seen["compressed"], learned, 1e-2 if p_fa is None else p_fa["value"])
        return None if shown is None else _drawn(shown)


def _drawn(shown: MapPicture) -> Content:
    low, high = np.degrees(shown.sector)
    middle, (near, far) = 0.5 * (low + high), (0.5 * SPEED_OF_LIGHT * t for t in shown.window)
    images = {which: image((_LEVELS * getattr(shown, which)).astype(np.uint8)) for which in ("before", "after")}
    place = {"x": [near], "y": [low - middle], "width": [far - near], "height": [high - low]}
    box = low - middle, high - middle
    edge = {"range": [near, far, far, near, near], "angle": [box[0], box[0], box[1], box[1], box[0]]}
    at = [0.5 * SPEED_OF_LIGHT * shown.tau], [math.degrees(shown.theta) - middle]
    marks = dict(zip(("range", "angle"), at if shown.detected else ([], []), strict=True))
    said = f"target, T {shown.level:.1f} over" if shown.detected else f"no target, T {shown.level:.1f} under"
    titles = {
        "map_before": f"before: frame {shown.frame}, sector {low:.1f} to {high:.1f} deg",
        "map_after": f"after: {said} {shown.threshold:.1f}, peak {shown.gain_db:+.2f} dB",
    }
    data = {"map_images": {**images, **short(place)}, "map_sector": short(edge), "map_marks": short(marks)}
    return Content(data, titles)
