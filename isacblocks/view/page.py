"""The page of the live view: its figures and its knobs.

The figures stay empty here: what is in them goes to all browsers alike, by :mod:`isacblocks.view.hub`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.models import CustomJS, Div, InlineStyleSheet
from bokeh.themes import Theme
from jinja2 import Environment, FileSystemLoader

from isacblocks.view.controls import Controls
from isacblocks.view.feed import Feed
from isacblocks.view.plots import antennas, error, maps, plan, plane, rates, wiring
from isacblocks.view.plots.content import Painter
from isacblocks.view.plots.style import Style

_KNOBS = 500  # ms between looks at what other viewers have changed

# Name of the figure, its share of the page and its title until there is more to say, in the order of the page
_PICTURES = (
    ("map_before", "third", "before calibration"),
    ("map_after", "third", "after calibration"),
    ("plane", "third square", "kappa, with ellipses of 2 sigma"),
    ("error", "third", "loss of array gain"),
    ("phases", "third", "phase of every antenna"),
    ("plan", "third square", "detections from above"),
    ("detection", "third", "P_d and P_fa since the start"),
    ("gains", "third", "gain of every antenna"),
    ("speed", "third", "speed"),
    ("wiring", "all", "the flowgraph: what waits on every edge, what got lost"),
)


def painters_of(feed: Feed) -> list[Painter]:
    """Who says what is in the figures of a page."""
    return [
        maps.Maps(feed),
        plane.Plane(),
        plan.Plan(),
        error.Error(feed),
        antennas.Antennas(),
        rates.Rates(),
        wiring.Wiring(feed),
    ]


class Page:
    """One browser's page. Everything that is about one flowgraph comes from the feed."""

    def __init__(self, document: Document, feed: Feed, dark: bool = False) -> None:
        self.document = document
        self.feed = feed
        style = Style(dark)
        self.figures: dict[str, Any] = {
            made.name: made
            for module in (maps, plane, plan, error, antennas, rates, wiring)
            for made in module.figures(feed, style)
        }
        self.controls = Controls(feed, style)
        sheet = InlineStyleSheet(css=f":host {{ color: {style.ink}; }}")
        self.told = Div(text="", name="told", stylesheets=[sheet])
        self._lay_out(style)
        document.add_periodic_callback(self.look_around, _KNOBS)

    def _lay_out(self, style: Style) -> None:
        document = self.document
        document.theme = Theme(json={"attrs": {"Plot": {"background_fill_color": style.paper}}})
        document.title = f"{self.feed.name} - isacblocks"
        for made in (*self.figures.values(), *self.controls.widgets, self.told):
            document.add_root(made)
        self.told.tags = [self.controls.keys]  # it belongs to the page, but is not drawn
        self.controls.say = self._say
        folder = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=False)  # Bokeh's are HTML
        document.template = folder.get_template("page.html")
        document.template_variables.update(
            heading=self.feed.name.replace("_", " ").replace("<", ""),
            dark=style.dark,
            paper=style.paper,
            ink=style.ink,
            faint=style.faint,
            controls=[made.name for made in self.controls.widgets],
            actions=self.feed.actions,
            pictures=[picture for picture in _PICTURES if picture[0] in self.figures],
        )
        document.js_on_event("connection_lost", CustomJS(code="window.isacblocks.lost()"))

    def _say(self, told: str) -> None:
        self.told.text = told.replace("&", "&amp;").replace("<", "&lt;")

    def look_around(self) -> None:
        """Take over what other viewers have changed."""
        self.controls.update()
