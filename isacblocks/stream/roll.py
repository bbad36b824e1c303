"""What is known of every block of a run: what it last reported, how it ended, and since when nothing was heard of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from isacblocks.stream import control
from isacblocks.stream.keeper import Keeper
from isacblocks.stream.nursery_messages import Death
from isacblocks.stream.silence import Silence


class Roll:
    """status: by block; finished: the final states, encoded, of those that have said their last word.

    keeper: knows of the blocks whose processes are replaced, None where none is.
    """

    def __init__(self, blocks: Iterable[str], keeper: Keeper | None) -> None:
        self.status = {name: control.BlockStatus() for name in blocks}
        self.finished: dict[str, bytes] = {}
        self._keeper = keeper
        self._silence = Silence()

    def _dated(self, name: str, status: control.BlockStatus) -> control.BlockStatus:
        return status if self._keeper is None else self._keeper.dated(name, status)

    def reported(self, name: str, status: control.BlockStatus) -> None:
        """A block says how it is getting on."""
        self._silence.heard(name, status.process)
        self.status[name] = self._dated(name, status)

    def ready(self, name: str) -> None:
        """A block's start() is done."""
        if self._keeper is not None:
            self._keeper.down.discard(name)

    def ended(self, name: str, report: control.Finished) -> None:
        """A block has said its last word."""
        self.status[name] = self._dated(name, report.status)
        self.finished[name] = report.state

    def died(self, death: Death) -> None:
        """A block's process is to be replaced: its last acknowledgements may have died with it."""
        self.finished.pop(death.block, None)
        self.status[death.block] = self._dated(death.block, self.status[death.block])

    def listen(self) -> None:
        """Mark the blocks that have not reported for a while; with their next report they are as they say."""
        phases = {name: status.phase for name, status in self.status.items()}
        for name, phase in self._silence.look(phases).items():
            self.status[name] = msgspec.structs.replace(self.status[name], phase=phase)

    def unheard(self) -> list[str]:
        """The blocks that have not said their last word."""
        return [name for name in self.status if name not in self.finished]
