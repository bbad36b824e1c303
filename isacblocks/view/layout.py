"""Where the blocks of a flowgraph go when it is drawn: columns along the stream, rows in the order of the drawing.

A block stands one column behind the last of those that it is fed by; feedback does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Line:
    """An edge: of blocks, with what is written beside it. back: a feedback."""

    sender: str
    receiver: str
    port: str
    policy: str
    back: bool
    lag: int | None


def lines_of(edges: Iterable[Mapping[str, Any]]) -> list[Line]:
    """The edges of a drawing, given as maps with sender, receiver ("block.port"), policy, feedback, lag."""
    found = []
    for edge in edges:
        sender, port = edge["sender"].rsplit(".", 1)
        receiver = edge["receiver"].rsplit(".", 1)[0]
        found.append(Line(sender, receiver, port, edge["policy"], bool(edge["feedback"]), edge["lag"]))
    return found


def arrange(blocks: Iterable[str], lines: Iterable[Line]) -> dict[str, tuple[float, float]]:
    """(column, row) of every block, columns from 0, rows balanced around 0, downwards positive."""
    names = list(blocks)
    fed: dict[str, set[str]] = {name: set() for name in names}
    for line in lines:
        if not line.back and line.receiver in fed and line.sender in fed:
            fed[line.receiver].add(line.sender)
    column: dict[str, int] = {}
    while len(column) < len(names):
        ready = [name for name in names if name not in column and fed[name] <= column.keys()]
        if not ready:  # a loop, which a flowgraph that runs does not have
            ready = [name for name in names if name not in column]
        for name in ready:
            column[name] = 1 + max((column.get(one, -1) for one in fed[name]), default=-1)
    rows: dict[int, list[str]] = {}
    for name in names:
        rows.setdefault(column[name], []).append(name)
    places = {}
    for number, members in rows.items():
        for row, name in enumerate(members):
            places[name] = float(number), row - (len(members) - 1) / 2
    return _unhidden(places, fed)


def _unhidden(places: dict[str, tuple[float, float]], fed: Mapping[str, set[str]]) -> dict[str, tuple[float, float]]:
    """Move a block off a straight line that would run through it, from one of its row to another of its row."""
    moved = dict(places)
    for name, (column, row) in places.items():
        crossed = any(
            places[one][0] < column < places[other][0] and places[one][1] == row == places[other][1]
            for other, senders in fed.items()
            for one in senders
            if name not in (one, other)
        )
        if crossed:
            moved[name] = column, row - 0.6
    return moved
