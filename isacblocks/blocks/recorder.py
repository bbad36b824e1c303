"""Writes whatever it is connected to into a recording, or for small ones into an .npz."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from isacblocks.blocks.recording import Recording, RecordingError, Writer, export_npz
from isacblocks.radar import OfdmRadar
from isacblocks.stream import Block, In, Reading, State
from isacblocks.stream.spec import ANY, Items

MODES = ("create", "append", "replace")


class Recorder(Block):
    """A sink for any record; see :mod:`isacblocks.blocks.recording` for the format.

    path: of the file; a name that ends in .npz becomes a compressed .npz when the stream ends; mode: "create" (refuses a
    file that exists), "append" or "replace"; radar, metadata: kept in the header, metadata as a dictionary of JSON values.
    A run that is resumed from a checkpoint, or a block whose process was killed and replaced, continues the file at the item
    where the checkpoint or snapshot was made: what had been written since is cut off and comes again.
    Raises ValueError for another mode.
    """

    items = In(ANY)
    count = State("int64")  # items written by this run
    before = State("int64")  # items that the file had when the run began; -1: there was none
    recorded = Reading("items")

    def __init__(
        self,
        path: str | Path,
        mode: str = "create",
        radar: OfdmRadar | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {mode!r}")
        self.arguments = ((str(path), mode, radar, metadata), {})  # a Path would not go to another process
        self.path = Path(path).absolute()
        self.mode = mode
        self.radar = radar
        self.metadata = metadata
        self._npz = self.path.suffix == ".npz"
        self._raw = self.path.with_name(self.path.name + ".part.isac") if self._npz else self.path
        self._writer: Writer | None = None
        self._done = False

    def start(self) -> None:
        """See whether the file can be written at all, before anything runs. Raises RecordingError where it cannot."""
        super().start()
        self._close()
        self._done = False
        self.before = -1
        if self._raw.exists():
            self.before = len(Recording(self._raw)) if self.mode == "append" else 0
        parent = self.path.parent
        try:
            tempfile.TemporaryFile(dir=parent).close()
        except OSError as error:
            raise RecordingError(f"{self.path}: nothing can be written to {parent}: {error.strerror}") from error

    def restore(self, saved: Any) -> None:
        """Continue the file behind the items that it had at the checkpoint or snapshot."""
        super().restore(saved)
        if self._npz and self.count and not self._raw.exists() and self.path.exists():
            self._done = True  # killed at the very end, when the .npz was there already
        elif self.count or (self.mode == "append" and self.before >= 0):
            keep = self.count + (max(self.before, 0) if self.mode == "append" else 0)
            self._writer = Writer(self._raw, self.ports["items"].layout, "append", keep=keep)

    def process(self, items: Items) -> None:
        """Append the items."""
        if self._writer is None:
            self._writer = self._open()
        self._writer.write(items)
        self._writer.flush()
        self.count += len(items)
        self.recorded = float(self.count)

    def _open(self) -> Writer:
        if self._npz and self.mode != "replace" and self.path.exists():
            raise RecordingError(
                f"{self.path}: exists, and an .npz cannot be continued; choose another name or mode 'replace'"
            )
        ours = self.before < 0 and self._raw.exists()  # made by an earlier process of this block, before its first item
        mode = "replace" if self._npz or ours else self.mode
        return Writer(self._raw, self.ports["items"].layout, mode, self.radar, self.metadata)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def finish(self) -> None:
        """Close the file; a stream without a single item leaves a recording of none."""
        if self._done:
            return
        if self._writer is None:
            self._writer = self._open()
        self._close()
        if self._npz:
            export_npz(self._raw, self.path)
            self._raw.unlink(missing_ok=True)
