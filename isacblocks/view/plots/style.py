"""How the pictures of the live view look: colours that everybody can tell apart, light and dark, one factory of figures.

Curves and points have the colours of Okabe and Ito, maps cividis; what two colours say is also said by shape or by words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bokeh.models import BoxZoomTool, ColumnDataSource, HoverTool, PanTool, ResetTool, SaveTool, WheelZoomTool
from bokeh.palettes import Cividis256
from bokeh.plotting import figure

BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7"
MAP_COLOURS = Cividis256


def source(name: str, *columns: str) -> ColumnDataSource:
    """An empty source. The page fills it with what comes; the server need not hear of that."""
    return ColumnDataSource({column: [] for column in columns}, name=name, syncable=False)


@dataclass(frozen=True)
class Style:
    """Light or dark."""

    dark: bool = False

    @property
    def paper(self) -> str:
        """Behind everything."""
        return "#12161c" if self.dark else "#ffffff"

    @property
    def ink(self) -> str:
        """Words and what is true."""
        return "#e6e9ee" if self.dark else "#1c2733"

    @property
    def faint(self) -> str:
        """Lines that help."""
        return "#39424e" if self.dark else "#d5dae1"

    @property
    def blue(self) -> str:
        """The blue that can be seen on this paper."""
        return SKY if self.dark else BLUE

    def figure(self, across: str, up: str, **options: Any) -> Any:
        """An empty figure; across, up: what the axes say, with units. square: of equal scales, which zooming keeps.

        Its title is the page's: one in the figure is drawn anew, with all that is in it, when a digit changes.
        """
        square = options.pop("square", False)
        hover = options.pop("hover", None)
        size = {} if square else {"sizing_mode": "stretch_width", "height": options.pop("height", 300)}
        tools = [PanTool(), WheelZoomTool(zoom_together="all"), BoxZoomTool(match_aspect=square)]
        tools += [ResetTool(), SaveTool()]
        made = figure(
            x_axis_label=across,
            y_axis_label=up,
            tools=tools,
            active_scroll=None,  # the page scrolls; on a map the wheel is one tap away
            toolbar_location="above",
            output_backend="canvas",
            lod_threshold=None,
            **size,
            **options,
        )
        if hover is not None:
            made.add_tools(HoverTool(tooltips=hover))
        self._dress(made)
        return made

    def _dress(self, made: Any) -> None:
        made.toolbar.logo = None
        made.toolbar.autohide = True
        made.toolbar_inner = True
        made.background_fill_color = made.border_fill_color = self.paper
        made.outline_line_color = self.faint
        for axis in (*made.xaxis, *made.yaxis):
            axis.axis_label_text_color = axis.major_label_text_color = self.ink
            axis.axis_label_text_font_style = "normal"
            axis.axis_line_color = axis.major_tick_line_color = self.faint
            axis.minor_tick_line_color = None
        for grid in (*made.xgrid, *made.ygrid):
            grid.grid_line_color, grid.grid_line_alpha = self.faint, 0.6

    def legend(self, made: Any, place: str = "top_right") -> None:
        """Dress the legend that the figure's curves have made; a click on an entry hides its curve."""
        legend = made.legend[0]
        legend.location, legend.click_policy = place, "hide"
        legend.background_fill_color, legend.background_fill_alpha = self.paper, 0.75
        legend.border_line_color = None
        legend.label_text_color, legend.label_text_font_size = self.ink, "11px"
        legend.padding = legend.margin = 4
        legend.spacing, legend.glyph_height, legend.label_height = 0, 14, 14
