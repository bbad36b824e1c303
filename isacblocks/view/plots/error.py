"""What the learned kappa still costs, over the frames, with the bound that no estimate can beat on hardware at rest.

Two curves: the true loss, where a judge knows it, and what the calibrator itself expects from its standard deviations.
"""

from __future__ import annotations

import math

import numpy as np
from bokeh.models import ColumnDataSource

from isacblocks.kernels.bounds import loss_bound_db
from isacblocks.view.feed import Feed, History
from isacblocks.view.plots.style import ORANGE, RED, Style


class Error:
    """One figure, both axes logarithmic."""

    def __init__(self, feed: Feed, style: Style) -> None:
        self.source = ColumnDataSource({"frames": [], "loss": [], "expected": [], "bound": []}, name="error_data")
        made = style.figure(
            "loss of array gain",
            "frames used",
            "loss [dB]",
            x_axis_type="log",
            y_axis_type="log",
            hover=[("frames", "@frames{0,0}"), ("loss", "@loss{0.0000} dB"), ("bound", "@bound{0.0000} dB")],
            name="error",
        )
        self.title = made.title
        made.line("frames", "loss", source=self.source, line_color=RED, line_width=2, legend_label="true loss")
        made.line(
            "frames",
            "expected",
            source=self.source,
            line_color=ORANGE,
            line_width=2,
            line_dash="dashdot",
            legend_label="expected by the calibrator",
        )
        made.line(
            "frames",
            "bound",
            source=self.source,
            line_color=style.ink,
            line_dash="dashed",
            legend_label="bound, hardware at rest",
        )
        style.legend(made, "bottom_left")
        self.figures = [made]
        self.history = History()
        self._antennas, self._scene = feed.radar.antennas, feed.scene
        self._used = 0.0
        for point in feed.history.points:  # what was before this page was opened
            self._note(point, math.nan)

    def _note(self, point: dict[str, float], expected: float) -> None:
        used = point.get("used", 0.0)
        if used <= self._used:
            return
        self._used = used
        bound = loss_bound_db(np.array([used]), self._antennas, self._scene.snr, self._scene.target_probability)[0]
        self.history.add(
            {"frames": used, "loss": point.get("loss_db", math.nan), "expected": expected, "bound": float(bound)}
        )

    def update(self, feed: Feed) -> None:
        """Add the newest point."""
        if not feed.history.points:
            return
        expected = math.nan
        if "kappa" in feed.seen:
            fields = feed.seen["kappa"]["fields"]
            power = np.abs(fields["kappa"][-1]) ** 2
            variance = power * fields["sigma"][-1] ** 2 + fields["gain_sigma"][-1] ** 2
            expected = float(-20 * np.log10(max(1 - 0.5 * float(variance.mean()), 1e-6)))
        self._note(feed.history.points[-1], expected)
        columns = self.history.columns("frames", "loss", "expected", "bound")
        self.source.data = {name: np.array(column) for name, column in columns.items()}
        last = self.history.points[-1] if self.history.points else {}
        if math.isfinite(last.get("loss", math.nan)):
            self.title.text = f"loss of array gain: {last['loss']:.4f} dB, bound {last['bound']:.4f} dB"
