"""Where the inputs of a block meet: streams are joined by the flowgraph's clock, feedback comes in with its lag.

Nothing here may let a loop wait for what never comes: a tick without items uses up the feedback that is due like any other,
since what fills a feedback edge holds up its sender; and a stream that has ended ends the block, since nothing can be joined
to it any more, and somebody further up may be waiting for the block's next word.
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
    input, after which there is nothing more to join; empty: there is nothing to process, the message only keeps the clock
    going.
    """

    __slots__ = ("due", "empty", "final", "heads", "inputs", "number")

    def __init__(self, heads: list[Items], inputs: dict[str, Items | None], final: bool = False) -> None:
        self.number = heads[0].message
        self.heads = heads
        self.inputs = inputs
        self.due: dict[str, int] = {}
        self.final = final
        self.empty = heads[0].count == 0 and (len(heads) == 1 or not any(head.count for head in heads))


class Junction:
    """The inlets of one block, by port."""

    def __init__(self, inlets: Mapping[str, Inlet]) -> None:
        self._data = {name: inlet for name, inlet in inlets.items() if not inlet.edge.feedback}
        self._back = {name: inlet for name, inlet in inlets.items() if inlet.edge.feedback}
        # Messages that were processed and whose feedback has not been used yet, by port
        self._history: dict[str, deque[int]] = {n: deque() for n, i in self._back.items() if i.edge.lag is not None}
        # What came in with messages without items and was not shown to the block yet, by port
        self._kept: dict[str, Items] = {}
        self._only = next(iter(self._data.items())) if len(self._data) == 1 else None

    def look(self) -> Joint | None:
        """The next tick, or None where something has yet to come. Nothing is taken until :meth:`commit`."""
        if self._only is not None:  # nothing to join: what follows would do the same, at more expense
            return self._look_at(*self._only)
        while True:
            heads = [inlet.head() for inlet in self._data.values()]
            present = [head for head in heads if head is not None]
            if any(head.final for head in present):
                return Joint(present, {}, final=True)
            if len(present) < len(heads):
                return None
            if not self._skip_unmatched(present):
                break
        joint = Joint(present, dict(zip(self._data, present, strict=True)))
        return joint if not self._back or self._add_feedback(joint) else None

    def _look_at(self, name: str, inlet: Inlet) -> Joint | None:
        """The next tick of a block with one data input."""
        if not inlet.queue:
            return None
        head = inlet.queue[0]
        joint = Joint([head], {} if head.final else {name: head}, head.final)
        return joint if not self._back or head.final or self._add_feedback(joint) else None

    def _skip_unmatched(self, heads: list[Items]) -> bool:
        """Drop and count what has no partner on the other inputs; True where something was dropped."""
        latest = max(head.message for head in heads)
        skipped = False
        for inlet, head in zip(self._data.values(), heads, strict=True):
            if head.message < latest:
                inlet.discard("unmatched")
                skipped = True
        return skipped

    def _add_feedback(self, joint: Joint) -> bool:
        """What is in force now on the feedback inputs; False where it has not come yet.

        Every message that was processed leads to one that comes back, in the same order: those of messages up to
        number - lag are due. Several are due at once behind a lossy link; the last one with items is in force. Without a lag
        everything that has come is due.
        """
        for name, inlet in self._back.items():
            due = self._due(name, inlet, joint.number)
            if due is None:
                return False
            come = [self._kept[name]] if name in self._kept else []
            come += [inlet.queue[k] for k in range(due)]
            spoken = [items for items in come if items.count]
            joint.due[name] = due
            joint.inputs[name] = spoken[-1] if spoken else come[-1] if come else None
        return True

    def _due(self, name: str, inlet: Inlet, number: int) -> int | None:
        """How many messages of a feedback are used up at tick `number`; None where they have yet to come."""
        come = len(inlet.queue) - _has_ended(inlet)
        if inlet.edge.lag is None:
            return come
        due = sum(1 for message in self._history[name] if message <= number - inlet.edge.lag)
        if come < due and not _has_ended(inlet):
            return None
        return min(come, due)

    def commit(self, joint: Joint) -> None:
        """The tick has been processed and what it led to has been handed on."""
        if self._only is not None and not self._back:
            self._only[1].commit()
            return
        for inlet in self._data.values():
            inlet.commit()
        for name, inlet in self._back.items():
            self._keep(name, joint)
            for _ in range(joint.due.get(name, 0)):
                inlet.commit()
                if name in self._history:
                    self._history[name].popleft()
            if name in self._history and not _has_ended(inlet):
                self._history[name].append(joint.number)

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
