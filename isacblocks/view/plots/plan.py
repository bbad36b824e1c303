"""Detections seen from above: the array at the bottom, the newest detections brighter than those before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bokeh.models import Range1d

from isacblocks.radar import SPEED_OF_LIGHT
from isacblocks.view.feed import Feed
from isacblocks.view.plots.content import Content, short
from isacblocks.view.plots.style import ORANGE, Style, source

_KEPT = 400  # detections
_SIZE = 400  # pixels across


def figures(feed: Feed, style: Style) -> list[Any]:
    """One figure of equal scales."""
    far = 0.5 * SPEED_OF_LIGHT * feed.scene.delay_window(feed.radar)[1]
    shown, sector = source("plan_data", "x", "y", "age", "range", "angle"), source("plan_sector", "x", "y")
    wide = 1.05 * far
    made = style.figure(
        "along the array [m]",
        "ahead [m]",
        square=True,
        frame_width=_SIZE,
        frame_height=round(_SIZE * 1.1 / 2.0),
        x_range=Range1d(-wide, wide),
        y_range=Range1d(-0.05 * wide, 1.05 * wide),
        hover=[("range", "@range{0.00} m"), ("angle", "@angle{0.00} deg")],
        name="plan",
    )
    for distance in range(10, int(far) + 1, 10):  # rings of range
        turn = np.linspace(-math.pi / 2, math.pi / 2, 61)
        made.line(distance * np.sin(turn), distance * np.cos(turn), line_color=style.faint)
    made.patch("x", "y", source=sector, fill_color=style.blue, fill_alpha=0.15, line_color=style.blue, line_alpha=0.5)
    made.scatter("x", "y", source=shown, size=6, color=ORANGE, alpha="age", line_color=None)
    made.scatter([0], [0], size=11, marker="inverted_triangle", color=style.ink)
    return [made]


class Plan:
    """The newest detections."""

    figures = ("plan",)
    every = 1

    def __init__(self) -> None:
        self._kept = np.empty((0, 4))
        self._last = -1

    def update(self, feed: Feed) -> Content | None:
        """With those that are new."""
        shown = feed.seen.get("detection")
        if shown is None or shown["first"] == self._last:
            return None
        self._last = shown["first"]
        fields = shown["fields"]
        found = fields["present"][:, 0] != 0
        ahead, along = fields["position"][found, 0, 0], fields["position"][found, 0, 1]
        new = np.stack([along, ahead, fields["range"][found, 0], np.degrees(fields["theta"][found, 0])], axis=1)
        self._kept = np.concatenate([self._kept, new])[-_KEPT:]
        x, y, distance, angle = self._kept.T
        age = 0.06 + 0.94 * (np.arange(1, x.size + 1) / max(x.size, 1)) ** 4
        low, high = float(fields["theta_min"][-1]), float(fields["theta_max"][-1])
        near, far = (0.5 * SPEED_OF_LIGHT * float(fields[name][-1]) for name in ("tau_min", "tau_max"))
        turn = np.linspace(low, high, 12)
        edge = np.concatenate([near * np.exp(1j * turn), far * np.exp(1j * turn[::-1])])
        data = {
            "plan_data": short({"x": x, "y": y, "age": age, "range": distance, "angle": angle}),
            "plan_sector": short({"x": edge.imag, "y": edge.real}),
        }
        return Content(data, {"plan": f"detections from above: {int(found.sum())} in the newest {found.size} frames"})
