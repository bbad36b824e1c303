"""The page of the live view: its pictures, its knobs, and how often it is renewed.

A browser confirms every update that it has drawn; one that does not keep up, or has stalled, is sent no more until it has.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.models import ColumnDataSource, CustomJS, Div, InlineStyleSheet
from bokeh.themes import Theme
from jinja2 import Environment, FileSystemLoader

from isacblocks.view.controls import Controls
from isacblocks.view.feed import Feed
from isacblocks.view.plots.antennas import Antennas
from isacblocks.view.plots.error import Error
from isacblocks.view.plots.maps import Maps
from isacblocks.view.plots.plan import Plan
from isacblocks.view.plots.plane import Plane
from isacblocks.view.plots.rates import Rates
from isacblocks.view.plots.style import Style
from isacblocks.view.plots.wiring import Wiring

TICK = 80  # ms between updates
_AHEAD = 3  # updates that may be on their way to a browser
_WIRING, _KNOBS = 8, 8  # ticks between updates of what need not be as quick

# Name of the figure and its share of the page, in the order of the page
_PICTURES = (
    ("map_before", "third"),
    ("map_after", "third"),
    ("plane", "third square"),
    ("error", "third"),
    ("phases", "third"),
    ("plan", "third square"),
    ("detection", "third"),
    ("gains", "third"),
    ("speed", "third"),
    ("wiring", "all"),
)


class Page:
    """One browser's page. Everything that is about one flowgraph comes from the feed."""

    def __init__(self, document: Document, feed: Feed, dark: bool = False) -> None:
        self.document = document
        self.feed = feed
        style = Style(dark)
        self.quick: list[Any] = [Maps(feed, style), Plane(feed, style), Plan(feed, style)]
        self.curves: list[Any] = [Rates(feed, style), Error(feed, style), Antennas(feed, style)]
        self.wiring = Wiring(feed, style)
        self.controls = Controls(feed, style)
        sheet = InlineStyleSheet(css=f":host {{ color: {style.ink}; font-variant-numeric: tabular-nums; }}")
        self.standing = Div(text="", name="standing", stylesheets=[sheet])
        self.clock = ColumnDataSource({"number": [0], "stamp": [time.time()]}, name="clock")
        self.drawn = ColumnDataSource({"number": [0], "delay": [0.0]}, name="drawn")
        self.ticks = 0
        self._lay_out(style)
        document.add_periodic_callback(self.tick, TICK)

    def _lay_out(self, style: Style) -> None:
        document = self.document
        document.theme = Theme(json={"attrs": {"Plot": {"background_fill_color": style.paper}}})
        document.title = f"{self.feed.name} - isacblocks"
        figures = {f.name: f for plot in (*self.quick, *self.curves, self.wiring) for f in plot.figures}
        for made in (*figures.values(), *self.controls.widgets, self.standing):
            document.add_root(made)
        self.standing.tags = [self.clock, self.drawn, self.controls.keys]  # they belong to the page, but are not drawn
        folder = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=False)  # Bokeh's are HTML
        document.template = folder.get_template("page.html")
        document.template_variables.update(
            heading=self.feed.name.replace("_", " ").replace("<", ""),
            dark=style.dark,
            paper=style.paper,
            ink=style.ink,
            faint=style.faint,
            controls=[made.name for made in self.controls.widgets],
            pictures=[(name, share) for name, share in _PICTURES if name in figures],
        )
        document.js_on_event("connection_lost", CustomJS(code="window.isacblocks.lost()"))

    def tick(self) -> None:
        """Renew what is due, unless the browser has yet to draw what it was sent."""
        behind = self.ticks - int(self.drawn.data["number"][0])
        if behind > _AHEAD:
            return
        self.ticks += 1
        for plot in self.quick:
            plot.update(self.feed)
        self.curves[self.ticks % len(self.curves)].update(self.feed)  # one after the other, so that no tick has all the work
        if self.ticks % _WIRING == 1:
            self.wiring.update(self.feed)
        if self.ticks % _KNOBS == 5:
            self.controls.update()
            self.standing.text = self._standing()
        newest = max((shown["sent"] for shown in self.feed.seen.values()), default=time.time())
        self.clock.data = {"number": [self.ticks], "stamp": [newest]}

    def _standing(self) -> str:
        status = self.feed.status
        phase = "ended" if self.feed.gone else "paused" if self.feed.paused and status.phase == "running" else status.phase
        delay = float(self.drawn.data["delay"][0])
        parts = [f"<b>{phase}</b> {status.seconds:.1f} s", f"{delay:.0f} ms behind" if phase == "running" else ""]
        told = self.controls.told.replace("&", "&amp;").replace("<", "&lt;")
        return " &nbsp; ".join(part for part in (*parts, told) if part)
