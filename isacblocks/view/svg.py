"""A flowgraph as an SVG picture, of its own text alone: blocks in columns along the stream, feedback around below."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from isacblocks.stream import Flowgraph
from isacblocks.view.layout import Line, arrange, lines_of
from isacblocks.view.tap import looks_on

_COLUMN, _ROW, _WIDE, _HIGH, _EDGE = 220, 96, 150, 52, 30  # pixels
_STYLE = """text { font: 12px system-ui, sans-serif; fill: #1c2733; text-anchor: middle; }
.kind { font-size: 10px; fill: #5b6775; } .port { font-size: 10px; paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
rect { fill: #ffffff; stroke: #1c2733; } path { fill: none; stroke: #1c2733; }
.back { stroke: #b86e00; stroke-dasharray: 5 4; }
.lossy { stroke-dasharray: 2 3; }"""


def flowgraph_svg(flowgraph: Flowgraph) -> str:
    """The picture. Edges say port and, for a feedback, lag; dotted ones may lose messages."""
    kinds = {name: type(block).__name__ for name, block in flowgraph.blocks.items() if not looks_on(name)}
    edges = [
        {"sender": e.sender, "receiver": e.receiver, "policy": e.policy, "feedback": e.feedback, "lag": e.lag}
        for e in flowgraph.edges()
        if not looks_on(e.receiver)
    ]
    lines = lines_of(edges)
    places = _pixels(arrange(kinds, lines))
    width = max((x for x, _ in places.values()), default=0) + _WIDE / 2 + _EDGE
    bottom = max((y for _, y in places.values()), default=0) + _HIGH / 2
    back = [line for line in lines if line.back]
    parts = [_edge(line, places, bottom + _EDGE * (1 + back.index(line)) if line.back else 0) for line in lines]
    parts += [_block(name, kind, *places[name]) for name, kind in kinds.items()]
    height = bottom + _EDGE * (len(back) + 1)
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    arrow = '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    arrow = f'<defs>{arrow}<path d="M0 0L8 4L0 8z" style="fill:#1c2733;stroke:none"/></marker></defs>'
    title = f"<title>{escape(flowgraph.name)}</title>"
    return "\n".join([head, title, f"<style>{_STYLE}</style>", arrow, *parts, "</svg>", ""])


def _pixels(places: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    top = min((row for _, row in places.values()), default=0.0)
    left, above = _EDGE + _WIDE / 2, _EDGE + _HIGH / 2
    return {name: (left + _COLUMN * column, above + _ROW * (row - top)) for name, (column, row) in places.items()}


def _block(name: str, kind: str, x: float, y: float) -> str:
    box = f'<rect x="{x - _WIDE / 2:.0f}" y="{y - _HIGH / 2:.0f}" width="{_WIDE}" height="{_HIGH}" rx="5"/>'
    words = f'<text x="{x:.0f}" y="{y - 3:.0f}">{escape(name)}</text>'
    return f'{box}{words}<text class="kind" x="{x:.0f}" y="{y + 14:.0f}">{escape(kind)}</text>'


def _edge(line: Line, places: Mapping[str, tuple[float, float]], below: float) -> str:
    """below: how far down a feedback goes around."""
    (x1, y1), (x2, y2) = places[line.sender], places[line.receiver]
    said = line.port
    if line.back:
        path = f"M{x1:.0f} {y1 + _HIGH / 2:.0f}V{below:.0f}H{x2:.0f}V{y2 + _HIGH / 2:.0f}"
        x, y, kind = (x1 + x2) / 2, below, "back"
        said += f", lag {line.lag}" if line.lag else ", the latest"
    else:
        a, b = x1 + _WIDE / 2, x2 - _WIDE / 2
        path = f"M{a:.0f} {y1:.0f}C{a + 40:.0f} {y1:.0f} {b - 40:.0f} {y2:.0f} {b:.0f} {y2:.0f}"
        x, y, kind = (a + b) / 2, (y1 + y2) / 2, "lossy" if line.policy != "block" else "ahead"
    return (
        f'<path class="{kind}" d="{path}" marker-end="url(#tip)"/>'
        f'<text class="port" x="{x:.0f}" y="{y - 4:.0f}">{escape(said)}</text>'
    )
