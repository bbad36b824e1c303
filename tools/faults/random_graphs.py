"""Random flowgraphs, and what comes out of them, in plain Python.

A graph is drawn by asking `draw(lowest, highest)` for whole numbers, so that hypothesis can shrink one that breaks a promise
and tools/chaos.py can draw thousands. The blocks count in whole numbers: a result is right or it is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from isacblocks.stream import Block, Field, Flowgraph, In, Items, Out, Record, Source, State

Draw = Callable[[int, int], int]  # a whole number from the first to the second, both included
NUMBER = Record("number", (Field("value", "int64", ("N",)),))
_PRIME = 2_147_483_647
_SALT = 1000  # what the first item of a source holds, times its number


def fold(memory: int, *numbers: int) -> int:
    """A digest of what came, in order."""
    for number in numbers:
        memory = (memory * 48_271 + number + 1) % _PRIME
    return memory


class Numbers(Source):
    """Item k holds salt + k, so many of them."""

    number = Out(NUMBER)

    def __init__(self, salt: int, items: int, size: int) -> None:
        self.salt, self.items, self.size = salt, items, size

    def dimensions(self) -> Mapping[str, int]:
        """N."""
        return {"N": self.size}

    def produce(self, first: int, count: int) -> Items | None:
        """The next ones."""
        count = min(count, self.items - first)
        value = self.salt + np.arange(first, first + count)[:, None] + np.zeros(self.size, np.int64)
        return self.number.items(value=value) if count > 0 else None


class Node(Block):
    """Folds all that comes into a memory: an item out for each of `a`, and every `every`-th message one on `some`."""

    a = In(NUMBER)
    b = In(NUMBER, optional=True)
    c = In(NUMBER, optional=True)
    back = In(NUMBER, optional=True)
    out = Out(NUMBER)
    some = Out(NUMBER, aligned=False)
    memory = State("int64")
    messages = State("int64")
    last = State("int64")
    disorder = State("int64")  # messages that were not behind the one before

    def __init__(self, every: int, pause: float, size: int) -> None:
        self.every, self.pause, self.size = every, pause, size

    def dimensions(self) -> Mapping[str, int]:
        """N."""
        return {"N": self.size}

    def start(self) -> None:
        """Nothing has come."""
        super().start()
        self.last = -1

    def process(self, a: Items, b: Items | None, c: Items | None, back: Items | None) -> tuple[Items, ...]:
        """Fold; the sequence numbers too."""
        if self.pause:
            time.sleep(self.pause)
        self.disorder += int(a.message <= self.last)
        self.last = a.message
        memory, out = self.memory, []
        for items in (b, c, back):
            if items is not None:
                memory = fold(memory, items.message, items.first, *(int(v) for v in items.value[:, 0]))
        memory = fold(memory, a.message, a.first)
        for value in a.value[:, -1]:
            memory = fold(memory, int(value))
            out.append(memory)
        self.memory = memory
        self.messages += 1
        made = [self.out.items(value=np.array(out, np.int64)[:, None] + np.zeros(self.size, np.int64))]
        if a.message % self.every == 0:
            made.append(self.some.items(value=np.full((1, self.size), memory)))
        return tuple(made)


@dataclass(frozen=True)
class Wire:
    """An edge of a drawing. sender: number of a block and port of it; lag: of a feedback, 0 for the latest, -1 for none."""

    sender: tuple[int, str]
    receiver: tuple[int, str]
    policy: str = "block"
    depth: int = 16
    budget: int = 1 << 24
    lag: int = -1


@dataclass
class Drawing:
    """Sources (items in all, items in a message), then nodes (every, pause in ms), numbered together; and the edges."""

    size: int = 1
    sources: list[tuple[int, int]] = field(default_factory=list)
    nodes: list[tuple[int, int]] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)

    def forward(self) -> list[Wire]:
        """The edges but for feedback, by their receivers."""
        return sorted((wire for wire in self.wires if wire.lag < 0), key=lambda wire: wire.receiver[0])

    def before(self, block: int) -> set[int]:
        """The blocks that lead to one, itself included."""
        found = {block}
        for wire in reversed(self.forward()):  # edges lead from lower numbers to higher ones
            if wire.receiver[0] in found:
                found.add(wire.sender[0])
        return found

    def lossy_before(self, block: int) -> set[Wire]:
        """The edges that may have left out messages of those that a block sees."""
        found = self.before(block)
        return {wire for wire in self.forward() if wire.policy != "block" and wire.receiver[0] in found}

    def may_wait_for_ever(self) -> bool:
        """Whether a loop with a lag waits for what a lossy edge has left out: what check() must refuse, and nothing else."""
        for loop in (wire for wire in self.wires if wire.lag > 0):
            start = loop.receiver[0]
            inside = {k for k in self.before(loop.sender[0]) if start in self.before(k)}
            if not inside or any(self.lossy_before(k) - self.lossy_before(start) for k in inside):
                return True
        return False

    def exact(self) -> set[int]:
        """The blocks of whose input nothing depends on when things happen."""
        known = set(range(len(self.sources) + len(self.nodes)))
        while True:
            doubtful = {w.receiver[0] for w in self.wires if w.policy != "block" or w.lag == 0 or w.sender[0] not in known}
            if not doubtful & known:
                return known
            known -= doubtful


def draw_graph(draw: Draw) -> Drawing:
    """Up to two sources and seven nodes, joined, forked and fed back as it comes."""
    drawing = Drawing(size=(1, 3, 3000)[draw(0, 2)])
    for _ in range(draw(1, 2)):
        batch = draw(1, 5)
        drawing.sources.append((batch * draw(0, 60), batch))
    lossy = draw(0, 1)
    for _ in range(draw(1, 7)):
        block = len(drawing.sources) + len(drawing.nodes)
        drawing.nodes.append(((1, 2, 7, 90)[draw(0, 3)], int(draw(0, 9) == 9)))
        for port in "abc"[: draw(1, 3)]:
            sender = draw(0, block - 1)
            out = "number" if sender < len(drawing.sources) else ("out", "some")[draw(0, 1)]
            policy = ("block", "block", "block", "drop-oldest", "latest")[draw(0, 4) if lossy else 0]
            depth, budget = (16, 1, 2, 3)[draw(0, 3)], (1 << 24, 1, 5000)[draw(0, 2)]
            drawing.wires.append(Wire((sender, out), (block, port), policy, depth, budget))
    for sender in range(len(drawing.sources), len(drawing.sources) + len(drawing.nodes)):
        if draw(0, 1):
            _draw_feedback(draw, drawing, sender)
    return drawing


def _draw_feedback(draw: Draw, drawing: Drawing, sender: int) -> None:
    receiver = draw(len(drawing.sources), sender)
    if any(wire.receiver == (receiver, "back") for wire in drawing.wires):
        return
    lag = draw(0, 6)
    depth = lag + draw(1, 3)
    drawing.wires.append(Wire((sender, ("out", "some")[draw(0, 1)]), (receiver, "back"), depth=depth, lag=lag))


def build(drawing: Drawing) -> tuple[Flowgraph, list[Block]]:
    """The flowgraph and all blocks by their numbers; a source that leads nowhere is not in it."""
    blocks: list[Block] = []
    for k, (items, batch) in enumerate(drawing.sources):
        source = Numbers(_SALT * k, items, drawing.size)
        source.batch = batch
        blocks.append(source)
    blocks += [Node(every, pause * 1e-3, drawing.size) for every, pause in drawing.nodes]
    fg = Flowgraph("random")
    for wire in drawing.wires:
        sender, receiver = blocks[wire.sender[0]].ports[wire.sender[1]], blocks[wire.receiver[0]].ports[wire.receiver[1]]
        if wire.lag < 0:
            fg.connect(sender, receiver, policy=wire.policy, depth=wire.depth, budget=wire.budget)
        else:
            fg.feedback(sender, receiver, lag=wire.lag or None, depth=wire.depth)
    return fg, blocks


Message = tuple[int, list[int]]  # number of the first item, and the items


class ByHand:
    """What the nodes of a drawing hold in the end, where no edge of it is lossy; see Node.

    said: by port and number of the message; memory and messages: by number of the node.
    """

    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.said: dict[tuple[int, str], dict[int, Message]] = {}
        self.memory: dict[int, int] = {}
        self.messages: dict[int, int] = {}
        self._made: dict[int, int] = {}  # items on the port `some`
        self._used: dict[Wire, int] = {}  # the last message of a feedback that was in force
        for k, (items, batch) in enumerate(drawing.sources):
            starts = enumerate(range(0, items, batch))
            self.said[k, "number"] = {n: (i, [_SALT * k + v for v in range(i, i + batch)]) for n, i in starts}
        for k in range(len(drawing.sources), len(drawing.sources) + len(drawing.nodes)):
            self.said |= {(k, "out"): {}, (k, "some"): {}}
            self.memory[k] = self.messages[k] = self._made[k] = 0
        for number in range(max(len(said) for said in self.said.values())):
            for k in self.memory:
                self._tick(k, number)

    def _tick(self, block: int, number: int) -> None:
        """A node's message `number`, where all of its inputs have one."""
        into = sorted((w for w in self.drawing.wires if w.receiver[0] == block), key=lambda w: w.receiver[1])
        heads = [self.said[w.sender][number] for w in into if w.lag < 0 and number in self.said[w.sender]]
        if len(heads) < sum(w.lag < 0 for w in into):
            return
        made, spoken = list[int](), list[int]()
        if any(values for _, values in heads):
            memory = self.memory[block]
            for first, values in heads[1:]:
                memory = fold(memory, number, first, *values)
            for wire in (w for w in into if w.lag > 0):
                memory = self._feedback(wire, number, memory)
            memory = fold(memory, number, heads[0][0])
            for value in heads[0][1]:
                memory = fold(memory, value)
                made.append(memory)
            spoken = [memory] if number % self.drawing.nodes[block - len(self.drawing.sources)][0] == 0 else []
            self.memory[block] = memory
            self.messages[block] += 1
        self.said[block, "out"][number] = heads[0][0], made
        self.said[block, "some"][number] = self._made[block], spoken
        self._made[block] += len(spoken)

    def _feedback(self, wire: Wire, number: int, memory: int) -> int:
        """Of those that are due and were not in force yet the newest with items, or else the newest."""
        due = [n for n in self.said[wire.sender] if self._used.get(wire, -1) < n <= number - wire.lag]
        if not due:
            return memory
        self._used[wire] = due[-1]
        shown = max((n for n in due if self.said[wire.sender][n][1]), default=due[-1])
        first, values = self.said[wire.sender][shown]
        return fold(memory, shown, first, *values)
