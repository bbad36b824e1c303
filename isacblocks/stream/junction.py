"""Where the inputs of a block meet: streams are joined by the flowgraph's clock, feedback comes in with its lag.

Nothing here may let anybody wait for what never comes. A tick without items uses up the feedback that is due like any other,
since what fills a feedback edge holds up its sender. A stream that has ended ends the block, since nothing can be joined to
it any more, and somebody further up may be waiting for the block's next word. A message whose partner a lossy link has left
out is dropped and counted, and is a tick like any other: its word to those behind is a gap, that nothing of this number
will come, so that a join further down need not wait for it, and leaves out in its turn what would belong to it. So with
every tick all inputs of a block have got as far as its number, and all that it sends says so; of the blocks that have said
least the one furthest up has all that it needs, and has room: who had not taken its last word would have said less.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from isacblocks.stream.inlet import Inlet
from isacblocks.stream.spec import Items, Layout


class Joint:
    """What belongs together at one tick of the clock. heads: the messages of the data inputs, at least one.

    inputs: by port, feedback included; due: feedback messages that this tick uses up, by port; final: the end of a data
    input, after which there is nothing more to join; gap: not every data input has a message of this number; empty: there is
    nothing to process, the message only keeps the clock going.
    """

    __slots__ = ("due", "empty", "final", "gap", "heads", "inputs", "number")

    def __init__(self, heads: list[Items], inputs: dict[str, Items | None], final: bool = False, gap: bool = False) -> None:
        self.number = heads[0].message
        self.gap = gap
        self.heads = heads
        self.inputs = inputs
        self.due: dict[str, int] = {}
        self.final = final
        self.empty = gap or (heads[0].count == 0 and (len(heads) == 1 or not any(head.count for head in heads)))


class Junction:
    """The inlets of one block, by port."""

    def __init__(self, inlets: Mapping[str, Inlet]) -> None:
        self._data = {name: inlet for name, inlet in inlets.items() if not inlet.edge.feedback}
        self._back = {name: inlet for name, inlet in inlets.items() if inlet.edge.feedback}
        # Numbers of the ticks whose feedback has not been used yet, by port
        self._history: dict[str, deque[int]] = {n: deque() for n, i in self._back.items() if i.edge.lag is not None}
        # What came in with messages without items and was not shown to the block yet, by port
        self._kept: dict[str, Items] = {}
        self._only = next(iter(self._data.items())) if len(self._data) == 1 else None

    def look(self) -> Joint | None:
        """The next tick, or None where something has yet to come. Nothing is taken until :meth:`commit`."""
        if self._only is not None:  # nothing to join: what follows would do the same, at more expense
            return self._look_at(*self._only)
        heads = [inlet.head() for inlet in self._data.values()]
        present = [head for head in heads if head is not None]
        if any(head.final for head in present):
            return Joint(present, {}, final=True)
        if len(present) < len(heads):
            return None
        number = min(head.message for head in present)
        if any(head.absent or head.message != number for head in present):
            joint = Joint([head for head in present if head.message == number], {}, gap=True)
        else:
            joint = Joint(present, dict(zip(self._data, present, strict=True)))
        return joint if not self._back or self._add_feedback(joint) else None

    def _look_at(self, name: str, inlet: Inlet) -> Joint | None:
        """The next tick of a block with one data input."""
        if not inlet.queue:
            return None
        head = inlet.queue[0]
        joint = Joint([head], {} if head.final or head.absent else {name: head}, head.final, head.absent)
        return joint if not self._back or head.final or self._add_feedback(joint) else None

    def _add_feedback(self, joint: Joint) -> bool:
        """What is in force now on the feedback inputs; False where it has not come yet.

        Every tick leads to a message of its number that comes back, or to a later one where a join on the way had nothing to
        join it to: those up to number - lag are due. Several are due at once behind a lossy link; the last one with items is
        in force. Without a lag everything that has come is due.
        """
        for name, inlet in self._back.items():
            due = self._due(name, inlet, joint.number)
            if due is None:
                return False
            come = [self._kept[name]] if name in self._kept else []
            come += [inlet.queue[k] for k in range(due) if not inlet.queue[k].absent]
            spoken = [items for items in come if items.count]
            joint.due[name] = due
            joint.inputs[name] = spoken[-1] if spoken else come[-1] if come else None
        return True

    def _due(self, name: str, inlet: Inlet, number: int) -> int | None:
        """How many messages of a feedback are used up at tick `number`; None where they have yet to come."""
        come = len(inlet.queue) - _has_ended(inlet)
        if inlet.edge.lag is None:
            return come
        until, due, expected = number - inlet.edge.lag, 0, -1
        for message in self._history[name]:
            if message > until:
                break
            expected = message
        while due < come and inlet.queue[due].message <= until:
            due += 1
        heard = inlet.queue[come - 1].message if come else -1
        return due if heard >= expected or _has_ended(inlet) else None

    def commit(self, joint: Joint) -> None:
        """The tick has been processed and what it led to has been handed on."""
        if self._only is not None and not self._back:
            self._only[1].commit()
            return
        for inlet in self._data.values():
            head = inlet.queue[0]
            if not joint.gap or (head.absent and head.message == joint.number):
                inlet.commit()
            elif head.message == joint.number:
                inlet.discard("unmatched")
        for name, inlet in self._back.items():
            self._keep(name, joint)
            used = -1
            for _ in range(joint.due.get(name, 0)):
                used = inlet.queue[0].message
                inlet.commit()
            if name in self._history:
                history = self._history[name]
                while history and history[0] <= used:
                    history.popleft()
                if not _has_ended(inlet):
                    history.append(joint.number)

    def _keep(self, name: str, joint: Joint) -> None:
        """What came back with a message without items is in force at the next one that has some."""
        items = joint.inputs.get(name)
        if not joint.empty or items is None:
            self._kept.pop(name, None)
        elif items is not self._kept.get(name):  # a copy: the memory is its sender's
            fields = {field: array.copy() for field, array in items.fields.items()}
            self._kept[name] = _again(items.layout, fields, items.first, items.message, items.sent)

    def drain(self) -> bool:
        """After the end: what still comes is taken, and has nobody to be joined to; True where something was."""
        taken = False
        for inlet in self._back.values():
            while inlet.queue:
                inlet.commit()
                taken = True
        for inlet in self._data.values():
            while inlet.queue:
                if inlet.queue[0].final:
                    inlet.commit()
                else:
                    inlet.discard("unmatched")
                taken = True
        return taken

    def save(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = {name: [dict(i.fields), i.first, i.message, i.sent] for name, i in self._kept.items()}
        return {"history": {name: list(history) for name, history in self._history.items()}, "kept": kept}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`save`."""
        self._history = {name: deque(history) for name, history in saved["history"].items()}
        self._kept = {
            name: _again(self._back[name].layout, fields, first, message, sent)
            for name, (fields, first, message, sent) in saved["kept"].items()
        }


def _has_ended(inlet: Inlet) -> bool:
    """Whether nothing comes behind what is there."""
    return bool(inlet.queue) and inlet.queue[-1].final


def _again(layout: Layout, fields: dict[str, NDArray[Any]], first: int, message: int, sent: float) -> Items:
    """Items of our own, read-only as all that a block is given."""
    for array in fields.values():
        array.flags.writeable = False
    return Items(layout, fields, len(next(iter(fields.values()))), first=first, message=message, sent=sent)
