"""Where the inputs of a block meet: streams are joined by the flowgraph's clock, feedback comes in with its lag."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from isacblocks.stream.inlet import Inlet
from isacblocks.stream.spec import Items


class Joint:
    """What belongs together at one tick of the clock. heads: the messages of the data inputs, at least one.

    inputs: by port, feedback included; due: feedback messages that this tick uses up, by port; final: the end of all data
    inputs; empty: there is nothing to process, the message only keeps the clock going.
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
        self._only = next(iter(self._data.items())) if len(self._data) == 1 else None

    def look(self) -> Joint | None:
        """The next tick, or None where something has yet to come. Nothing is taken until :meth:`commit`."""
        if self._only is not None:  # nothing to join: what follows would do the same, at more expense
            return self._look_at(*self._only)
        while True:
            heads = [inlet.head() for inlet in self._data.values()]
            present = [head for head in heads if head is not None]
            if len(present) < len(heads):
                return None
            if all(head.final for head in present):
                return Joint(present, {}, final=True)
            if not self._skip_unmatched(present):
                break
        joint = Joint(present, dict(zip(self._data, present, strict=True)))
        if not joint.empty and not self._add_feedback(joint):
            return None
        return joint

    def _look_at(self, name: str, inlet: Inlet) -> Joint | None:
        """The next tick of a block with one data input."""
        if not inlet.queue:
            return None
        head = inlet.queue[0]
        joint = Joint([head], {} if head.final else {name: head}, head.final)
        return joint if not self._back or head.final or not head.count or self._add_feedback(joint) else None

    def _skip_unmatched(self, heads: list[Items]) -> bool:
        """Drop and count what has no partner on the other inputs; True where something was dropped."""
        ended = any(head.final for head in heads)
        latest = max(head.message for head in heads)
        skipped = False
        for inlet, head in zip(self._data.values(), heads, strict=True):
            if (ended and not head.final) or (not ended and head.message < latest):
                inlet.discard("unmatched")
                skipped = True
        return skipped

    def _add_feedback(self, joint: Joint) -> bool:
        """What is in force now on the feedback inputs; False where it has not come yet.

        Every message that was processed leads to one that comes back, in the same order: those of messages up to
        number - lag are due. Several are due at once behind a lossy link, or after messages without items; the last one
        with items is in force. Without a lag everything that has come is due.
        """
        for name, inlet in self._back.items():
            if inlet.edge.lag is None:
                due = sum(1 for items in inlet.queue if not items.final)
            else:
                due = sum(1 for message in self._history[name] if message <= joint.number - inlet.edge.lag)
                if len(inlet.queue) < due:
                    return False
            come = [inlet.queue[k] for k in range(due)]
            spoken = [items for items in come if items.count]
            joint.due[name] = due
            joint.inputs[name] = spoken[-1] if spoken else come[-1] if come else None
        return True

    def commit(self, joint: Joint) -> None:
        """The tick has been processed and what it led to has been handed on."""
        if self._only is not None and not self._back:
            self._only[1].commit()
            return
        for inlet in self._data.values():
            inlet.commit()
        if joint.final:
            return
        for name, inlet in self._back.items():
            for _ in range(joint.due.get(name, 0)):
                inlet.commit()
                if name in self._history:
                    self._history[name].popleft()
            if name in self._history:
                self._history[name].append(joint.number)

    def drain(self) -> bool:
        """After the end: what still comes back by feedback is taken; True where something was."""
        taken = False
        for inlet in self._back.values():
            while inlet.queue:
                inlet.commit()
                taken = True
        return taken

    def save(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {name: list(history) for name, history in self._history.items()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`save`."""
        self._history = {name: deque(history) for name, history in saved.items()}
