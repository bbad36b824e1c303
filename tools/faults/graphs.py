"""Random flowgraphs: none waits for ever, the books of every edge balance whenever they are looked at, no bit is wrong.

So it is too where blocks are killed at random moments, one or several at once, and replaced: no message comes twice or out
of order at any block, also behind joins behind lossy links, and what depends on nothing but its input has the bits of plain
Python.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
import traceback

from faults.case import Case, Outcome
from faults.random_graphs import ByHand, Drawing, Node, build, draw_graph
from isacblocks.stream import Block, Flowgraph, Restart, WiringError
from isacblocks.stream.link import EdgeCount

PATIENCE = 60.0  # seconds without any progress until a flowgraph counts as waiting for ever
_PLACEMENTS = ("threads",) * 8 + ("processes", "tcp")  # processes take ten times as long to start


def stuck(fg: Flowgraph) -> str:
    """Where everybody is, for a flowgraph that does not come to its end."""
    lines = [f"waits for ever: {fg.status}"]
    for thread, frame in sys._current_frames().items():
        lines += [f"thread {thread}", *traceback.format_stack(frame)]
    return "\n".join(lines)


class Watch:
    """Runs a drawing and holds it to what is promised. breaches: what did not hold; kills: so often blocks are killed."""

    def __init__(self, drawing: Drawing, placement: str, moments: random.Random, kills: int = 0) -> None:
        self.drawing = drawing
        self.killed = 0
        self._kills = kills
        self.breaches: list[str] = []
        self.looks = 0
        self._largest = max(batch for _, batch in drawing.sources)
        self._before: dict[str, EdgeCount] = {}
        self._fg, self._blocks = build(drawing)
        self._specs = {edge.receiver: edge for edge in self._fg.edges()}
        if self._refused() or drawing.may_wait_for_ever():
            return
        with self._fg as fg:
            fg.start(placement=placement, restart=Restart(limit=1000, longest=0.1) if kills else None)
            self._look_on(fg, moments)
        self._at_the_end()

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.breaches.append(otherwise)

    def _refused(self) -> bool:
        try:
            self._fg.check()
        except WiringError as error:
            self._expect(self.drawing.may_wait_for_ever(), f"refused: {error}")
            return True
        self._expect(not self.drawing.may_wait_for_ever(), "may wait for ever and was not refused")
        return False

    def _look_on(self, fg: Flowgraph, moments: random.Random) -> None:
        """At random moments, until it has ended or nothing has moved for long."""
        progress, moved = -1, time.monotonic()
        while not fg.wait(moments.uniform(0.0, 0.02)):
            edges = fg.status.edges
            self._look(edges)
            if self._kills > 0:
                self._kill(fg, moments)
            now = sum(edge.produced + edge.committed + edge.lost + edge.messages for edge in edges)
            if now != progress:
                progress, moved = now, time.monotonic()
            if time.monotonic() - moved > PATIENCE:
                self.breaches.append(stuck(fg))
                return

    def _kill(self, fg: Flowgraph, moments: random.Random) -> None:
        """kill -9 of up to three blocks at once, where they have a process."""
        there = [block.process for block in fg.status.blocks.values() if block.process and block.phase != "restarting"]
        for process in moments.sample(there, min(len(there), moments.choice((0, 0, 1, 1, 2, 3)))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                self.killed += 1
                self._kills -= 1

    def _look(self, edges: list[EdgeCount]) -> None:
        self.looks += 1
        for edge in edges:
            spec, before = self._specs[edge.receiver], self._before.get(edge.receiver)
            self._expect(edge.balanced, f"the books do not balance: {edge}")
            if self.killed:  # a sender that came back counts from its snapshot on
                continue
            most = spec.depth * self._largest * (1 if spec.policy == "block" else 2)  # waiting, and on their way
            self._expect(edge.in_flight <= most, f"more than {most} items on their way: {edge}")
            if before is not None:
                on = edge.produced >= before.produced and edge.committed >= before.committed and edge.lost >= before.lost
                self._expect(on, f"{before} became {edge}")
            self._before[edge.receiver] = edge

    def _at_the_end(self) -> None:
        status = self._fg.status
        self._expect(status.phase == "finished", f"it is {status.phase}")
        self._look(status.edges)
        joined = {name for name, block in self._fg.blocks.items() if self._inputs(block) > 1}
        for edge in status.edges:
            self._expect(edge.in_flight == 0, f"still on their way: {edge}")
            if self._specs[edge.receiver].policy == "block":
                allowed = {"unmatched"} if edge.receiver.split(".")[0] in joined else set()
                self._expect(edge.dropped.keys() <= allowed, f"lost on a lossless edge: {edge}")
        by_hand, exact = ByHand(self.drawing), self.drawing.exact()
        for k, block in enumerate(self._blocks):
            if isinstance(block, Node):
                self._expect(block.disorder == 0, f"{block.label}: {block.disorder} messages came out of order")
                if k in exact:
                    self._compare(k, block, by_hand, status.edges)

    def _inputs(self, block: Block) -> int:
        return sum(wire.receiver[0] == self._blocks.index(block) and wire.lag < 0 for wire in self.drawing.wires)

    def _compare(self, k: int, block: Node, by_hand: ByHand, edges: list[EdgeCount]) -> None:
        """Hold a block that depends on nothing but its input against plain Python: its bits, and what it took."""
        found, expected = (block.messages, block.memory), (by_hand.messages[k], by_hand.memory[k])
        self._expect(found == expected, f"{block.label}: (messages, memory) is {found}, by hand {expected}")
        books = {edge.receiver: edge for edge in edges}
        for wire in self.drawing.wires:
            if wire.receiver[0] != k:
                continue
            edge, said = books[f"{block.label}.{wire.receiver[1]}"], by_hand.said[wire.sender]
            made = sum(len(values) for _, values in said.values())
            taken = made
            if wire.lag < 0:
                taken = sum(len(values) for n, (_, values) in said.items() if n in by_hand.said[k, "out"])
            found = edge.produced, edge.committed
            self._expect(found == (made, taken), f"{edge}: by hand {made} produced, {taken} committed")


def graphs(count: int) -> Outcome:
    """count: flowgraphs, drawn from the seeds 0, 1, ..."""
    outcome, run, refused, looks = Outcome(), 0, 0, 0
    for seed in range(count):
        numbers = random.Random(seed)
        drawing = draw_graph(numbers.randint)
        placement = _PLACEMENTS[seed % len(_PLACEMENTS)]
        watch = Watch(drawing, placement, numbers)
        outcome.breaches += [f"seed {seed} in {placement}: {breach}" for breach in watch.breaches]
        refused += drawing.may_wait_for_ever()
        run += not drawing.may_wait_for_ever()
        looks += watch.looks
    outcome.figures |= {"run": float(run), "refused": float(refused), "looks at the books": float(looks)}
    return outcome


def killed_graphs(count: int) -> Outcome:
    """count: flowgraphs in processes, drawn from the seeds 0, 1, ...; up to ten kills in each."""
    outcome, run, killed, seed = Outcome(), 0, 0, -1
    while run < count or (killed < count and run < 20 * count):  # a graph may be over before its first kill
        seed += 1
        numbers = random.Random(seed)
        drawing = draw_graph(numbers.randint)
        if drawing.may_wait_for_ever() or len(drawing.nodes) < 3:
            continue
        watch = Watch(drawing, "processes", numbers, kills=10)
        outcome.breaches += [f"seed {seed} with kills: {breach}" for breach in watch.breaches]
        run += 1
        killed += watch.killed
    outcome.expect(killed >= count, f"{killed} kills in {count} flowgraphs are too few to say anything")
    outcome.figures |= {"kills": float(killed)}
    return outcome


CASES = (
    Case(
        "graphs killed",
        "random flowgraphs whose blocks are killed: the same, nothing comes twice",
        killed_graphs,
        small=4,
        full=500,
        unit="flowgraphs",
    ),
    Case(
        "graphs",
        "random flowgraphs: none waits for ever, the books balance, no bit is wrong",
        graphs,
        small=60,
        full=10_000,
        unit="flowgraphs",
    ),
)
