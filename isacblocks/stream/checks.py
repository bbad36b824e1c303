"""Whether what is drawn can run: nothing open, no loop that is not closed by feedback, none that would wait for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isacblocks.stream.block import Block, Source
from isacblocks.stream.errors import WiringError
from isacblocks.stream.link import EdgeSpec
from isacblocks.stream.ports import Port


@dataclass(frozen=True, eq=False)
class Edge:
    """An edge as it is drawn."""

    sender: Port
    receiver: Port
    spec: EdgeSpec

    @property
    def ends(self) -> tuple[str, str]:
        """The labels of the blocks that it leads from and to."""
        return self.sender.block.label, self.receiver.block.label

    @property
    def lossy(self) -> bool:
        """Whether it may leave out messages of the stream."""
        return self.spec.policy != "block" and not self.spec.feedback


def check(name: str, blocks: Mapping[str, Block], edges: Sequence[Edge]) -> None:
    """Raises WiringError saying what is missing, or what would wait for ever, in the flowgraph `name`."""
    if not blocks:
        raise WiringError(f"{name}: nothing is connected")
    taken = {id(edge.receiver) for edge in edges}
    data = {id(edge.receiver) for edge in edges if not edge.spec.feedback}
    for block in blocks.values():
        for label, port in block.inputs().items():
            if not port.optional and id(block.ports[label]) not in taken:
                raise WiringError(f"{block.label}.{label} is not connected, and the block cannot do without it")
        if not isinstance(block, Source) and not any(id(block.ports[label]) in data for label in block.inputs()):
            raise WiringError(f"{block.label}: nothing leads to it but feedback; one input must be connected forward")
    _check_loops(blocks, edges)
    for edge in edges:
        if edge.spec.lag is not None:
            _check_feedback(edge, edges)


def reach(edges: Sequence[Edge], start: Block, forward: bool) -> set[str]:
    """The blocks that can be reached from one, itself included, along or against the edges, feedback left out."""
    found = {start.label}
    while True:
        more = set()
        for edge in edges:
            a, b = edge.ends
            if not edge.spec.feedback and (a if forward else b) in found:
                more.add(b if forward else a)
        if more <= found:
            return found
        found |= more


def _check_loops(blocks: Mapping[str, Block], edges: Sequence[Edge]) -> None:
    ahead = {
        name: {edge.receiver.block.label for edge in edges if edge.sender.block is block and not edge.spec.feedback}
        for name, block in blocks.items()
    }
    while ahead:
        ends = [name for name, following in ahead.items() if not following & ahead.keys()]
        if not ends:
            raise WiringError(f"a loop through {', '.join(ahead)}: close it with feedback() instead of connect()")
        for name in ends:
            del ahead[name]


def _check_feedback(feedback: Edge, edges: Sequence[Edge]) -> None:
    """A feedback with a lag counts on one message coming back for each that its receiver has processed.

    So it must lead back, and inside its loop nothing may be left out: not by a lossy link, and not by a block that joins the
    loop's stream with one from which a lossy link has taken some.
    """
    start, end = feedback.receiver.block, feedback.sender.block
    inside = reach(edges, start, forward=True) & reach(edges, end, forward=False)
    if not inside:
        raise WiringError(
            f"{feedback.spec.sender} to {feedback.spec.receiver}: a feedback with a lag leads back, but nothing leads from "
            f"{start.label} to {end.label}; use connect(), or lag=None"
        )
    before = _lossy_before(start, edges)
    for edge in edges:
        if edge.spec.feedback or edge.receiver.block.label not in inside - {start.label}:
            continue
        for lossy in _lossy_before(edge.sender.block, edges) + ([edge] if edge.lossy else []):
            if lossy not in before:
                raise WiringError(_left_out(lossy, edge, feedback, inside))


def _lossy_before(block: Block, edges: Sequence[Edge]) -> list[Edge]:
    """The lossy edges that a block's messages have come by."""
    reached = reach(edges, block, forward=False)
    return [edge for edge in edges if edge.lossy and edge.receiver.block.label in reached]


def _left_out(lossy: Edge, into: Edge, feedback: Edge, inside: set[str]) -> str:
    path, loop = lossy.spec, f"the loop that {feedback.spec.sender} closes with a lag"
    where = f"lies inside {loop}"
    if into.sender.block.label not in inside:
        where = f"leads into {loop} at {into.spec.receiver}, where what has no partner would be left out"
    return f"{path.sender} to {path.receiver} is {path.policy!r} and {where}; make it 'block', or the feedback lag=None"
