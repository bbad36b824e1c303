"""Records what passes from when it is told to until it is told to stop, and holds nobody up: what it cannot keep up with is
lost, counted, and seen in the recording as a gap in its sequence numbers.
"""

from __future__ import annotations

import logging
from pathlib import Path

from isacblocks.blocks.recording import RecordingError, Writer
from isacblocks.radar import OfdmRadar
from isacblocks.stream import Block, In, Reading, Setting
from isacblocks.stream.spec import ANY, Items
from isacblocks.view.tap import PREFIX

# Messages and bytes that may wait to be written. Few: what waits is acknowledged late, and the sender would write into
# memory that no cache holds any more, also while nothing is recorded
DEPTH, BUDGET = 4, 64 << 20

_IDLE = 1.0  # seconds between two messages while nothing is recorded


class Reel(Block):
    """Writes recordings beside `path`: see :meth:`path_of`. It sits behind an edge of policy "drop-oldest"."""

    onlooker = True
    items = In(ANY)
    take = Setting(int, initial=0, minimum=0, doc="number of the recording that is being made; 0: none")
    recorded = Reading("items", "in the present or last recording")
    missed = Reading("items", "lost on their way to it, between the first and the last one recorded")
    recording = Reading("1", "1 while something is recorded")

    def __init__(self, path: str, radar: OfdmRadar | None = None) -> None:
        self.path = Path(path)
        self.radar = radar
        self.name = PREFIX + "reel"
        self._writer: Writer | None = None
        self._at = 0  # the take that the writer is for
        self._next = -1  # sequence number that would come without a loss

    def path_of(self, take: int) -> Path:
        """Where a recording goes: path, then path with -2, -3 before its suffix."""
        return self.path if take == 1 else self.path.with_name(f"{self.path.stem}-{take}{self.path.suffix}")

    def start(self) -> None:
        """Nothing is open."""
        super().start()
        self._close()
        self._at = 0

    def process(self, items: Items) -> None:
        """Write the items where they are wanted. A full disk ends the recording, not the stream."""
        if self.take != self._at:
            self._change()
        if self._writer is None:
            return
        try:
            self._writer.write(items)
            self._writer.flush()
        except OSError as error:
            self._give_up(error.strerror or str(error))
            return
        if self._next >= 0:
            self.missed += items.first - self._next
        self._next = items.first + len(items)
        self.recorded += len(items)

    def interval_wanted(self) -> float:
        """While nothing is recorded a message now and then is enough: each would cost the flowgraph its time."""
        return 0.0 if self.take or self._writer is not None else _IDLE

    def finish(self) -> None:
        """Close the file."""
        self._close()

    def _change(self) -> None:
        """Another recording, or none."""
        self._close()
        self._at = self.take
        if not self.take:
            return
        self.recorded = self.missed = 0.0
        self._next = -1
        try:  # a process that takes another one's place goes on with its file
            self._writer = Writer(self.path_of(self.take), self.ports["items"].layout, "append", self.radar)
        except RecordingError as error:
            self._give_up(str(error))
            return
        self.recording = 1.0

    def _give_up(self, why: str) -> None:
        logging.getLogger("isacblocks.view.reel").warning(
            "%s: the recording ends after %d frames: %s; what was recorded can be read, the stream goes on; make room, then "
            "record again",
            self.path_of(self._at),
            int(self.recorded),
            why,
        )
        self._close()

    def _close(self) -> None:
        self.recording = 0.0
        if self._writer is not None:
            try:
                self._writer.close()
            except OSError as error:
                logging.getLogger("isacblocks.view.reel").warning(
                    "%s: could not be closed as it should: %s; its last frames may be missing; see whether it can be read",
                    self._writer.path,
                    error.strerror,
                )
            self._writer = None
