"""A block's snapshots while it works: taken before anything that it has processed is acknowledged.

What a sender has been told it will not send again. So an acknowledgement goes out only when a snapshot holds all that its
messages led to: the block's state, its ports' positions and what it has sent and nobody has acknowledged yet. A block that
was killed goes on from the snapshot: its senders send again what it does not hold, and what the block then makes for the
second time has the serial numbers of the first, so that its receivers see that they have it.
"""

from __future__ import annotations

from typing import Any

from isacblocks.stream import codec
from isacblocks.stream.ahead import AheadOutlet
from isacblocks.stream.errors import CheckpointError
from isacblocks.stream.inlet import Inlet
from isacblocks.stream.journal import Journal
from isacblocks.stream.outlet import Outlet
from isacblocks.stream.task import Task

_EVERY = 8  # messages between snapshots of a source, which has nothing to acknowledge


class Snapshots:
    """Takes and restores the snapshots of one task between its inlets and outlets, both by port."""

    def __init__(self, journal: Journal, task: Task, inlets: dict[str, Inlet], outlets: dict[str, Outlet]) -> None:
        self._journal = journal
        self._task = task
        self._inlets = inlets
        self._outlets = outlets
        self._mark: tuple[Any, ...] | None = None  # where the task was at the last one
        self._messages = 0
        self._ahead = [outlet for outlet in outlets.values() if isinstance(outlet, AheadOutlet)]
        self._every = 1 if self._ahead else _EVERY

    def begin(self) -> None:
        """From now on nothing is acknowledged that no snapshot holds."""
        for inlet in self._inlets.values():
            inlet.keep = self.take
        self.take()

    def restore(self) -> bool:
        """Go on from the last snapshot; False where there is none."""
        found = self._journal.load()
        if found is None:
            return False
        values = codec.decode(found)
        if values.keys() != {"task", "inlets", "outlets"}:
            raise CheckpointError(f"a snapshot holds {', '.join(values) or 'nothing'}; expected task, inlets and outlets")
        self._task.restore(values["task"])
        for name, inlet in self._inlets.items():
            inlet.restore(values["inlets"][name])
        for name, outlet in self._outlets.items():
            saved = values["outlets"][name]
            held = {serial: self._journal.shelf.get((name, serial), place) for serial, place in saved.pop("held")}
            outlet.come_back(saved, held)
        return True

    def due(self) -> bool:
        """Whether a source has gone far enough for the next one."""
        return not self._inlets and self._task.messages - self._messages >= self._every

    def take(self) -> None:
        """Take one, unless nothing has happened since the last; from now on the senders may be told of all that it holds."""
        task = self._task
        mark = (task.messages, task.ended, *(inlet.next for inlet in self._inlets.values()))
        if mark != self._mark:
            self._write()
            self._mark, self._messages = mark, task.messages
        for inlet in self._inlets.values():
            inlet.settle()
        for outlet in self._ahead:
            outlet.release()

    def _write(self) -> None:
        shelf, wanted, outlets = self._journal.shelf, set[Any](), {}
        for name, outlet in self._outlets.items():
            held = []
            for parcel in outlet.held():
                key = name, parcel.serial
                wanted.add(key)
                held.append([parcel.serial, shelf.places.get(key) or shelf.put(key, parcel.inline())])
            outlets[name] = outlet.snapshot() | {"held": held}
        inlets = {name: inlet.save() for name, inlet in self._inlets.items()}
        body = codec.encode({"task": self._task.save(), "inlets": inlets, "outlets": outlets})
        self._journal.save(body, self._task.messages)
        shelf.clear(wanted)
