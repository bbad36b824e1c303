"""The figures of the live view, light and dark: every axis has its unit, and nobody's eyes are left out."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("bokeh", reason="Bokeh is not installed (extra view)")

from isacblocks.radar import OfdmRadar, Scene
from isacblocks.view.plots import antennas, error, maps, plan, plane, rates, wiring
from isacblocks.view.plots.style import BLUE, GREEN, MAP_COLOURS, ORANGE, PURPLE, RED, SKY, Style

_COUNTS = ("antenna", "frames used", "probability", "frames/s")  # what is counted has no other unit
# What who has no cones for long, for middle, for short waves sees of linear red, green and blue: Machado, Oliveira and
# Fernandes, IEEE Trans. Visualization and Computer Graphics 15 (2009), severity 1.0
_BLIND = (
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
)


class Shown:
    """What figures ask of a feed."""

    radar, scene = OfdmRadar(antennas=16, subcarriers=64), Scene()
    drawing: ClassVar[dict[str, Any]] = {
        "blocks": {"a": "A", "b": "B"},
        "edges": [
            {"sender": "a.x", "receiver": "b.x", "policy": "block", "feedback": False, "lag": None},
            {"sender": "b.y", "receiver": "a.y", "policy": "block", "feedback": True, "lag": 2},
        ],
    }


def figures(dark: bool) -> list[Any]:
    modules = (maps, plane, plan, error, antennas, rates, wiring)
    return [made for module in modules for made in module.figures(Shown(), Style(dark))]


def luminance(colour: str) -> float:
    """Relative luminance by WCAG, from 0 for black to 1 for white."""
    return float(np.array([0.2126, 0.7152, 0.0722]) @ linear(colour))


def linear(colour: str) -> np.ndarray[Any, Any]:
    """Red, green and blue of #rrggbb, in proportion to the light, from 0 to 1."""
    parts = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def test_every_axis_has_its_unit() -> None:
    seen = 0
    for made in figures(dark=False):
        for axis in (*made.xaxis, *made.yaxis):
            if axis.visible:
                assert re.search(r"\[[^\]]+\]$", axis.axis_label) or axis.axis_label in _COUNTS, (made.name, axis.axis_label)
                seen += 1
    assert seen == 18  # two of every figure but the flowgraph's


def test_maps_grow_brighter_for_every_eye() -> None:
    """So that more is brighter whichever colours can be told apart, and on paper. In 64 steps: single ones are rounded."""
    shades = np.array([linear(colour) for colour in MAP_COLOURS[::4]])
    for seen in (np.eye(3), *map(np.array, _BLIND)):
        steps = np.diff(np.clip(shades @ np.asarray(seen).T, 0, 1) @ [0.2126, 0.7152, 0.0722])
        assert len(steps) == 63
        assert (steps > 0).all()


@pytest.mark.parametrize("dark", [False, True])
def test_curves_and_points_can_be_told_apart(dark: bool) -> None:
    """Within a figure no two curves differ by colour alone; all that is drawn in ink or colour stands out from the paper."""
    style = Style(dark)
    paper = luminance(style.paper)

    def contrast(colour: str) -> float:
        low, high = sorted((luminance(colour), paper))
        return (high + 0.05) / (low + 0.05)

    assert contrast(style.ink) > 7  # WCAG's AAA of text
    for made in figures(dark):
        lines = [r.glyph for r in made.renderers if type(r.glyph).__name__ == "Line" and len(r.data_source.data) > 2]
        for one, other in combinations([g for g in lines if g.x in ("frames", "seconds")], 2):
            assert str(one.line_dash) != str(other.line_dash), (made.name, one.y, other.y)
        for glyph in lines:
            assert contrast(str(glyph.line_color)) > 1.9, (made.name, glyph.y)
    markers = antennas._MARKERS
    assert len({*markers}) == len(markers)  # the health of an antenna is a shape, too
    assert contrast(style.blue) > 3
    assert {*antennas._COLOURS} == {BLUE, ORANGE, GREEN, RED, SKY, PURPLE}
