"""Plays a recording as a stream."""

from __future__ import annotations

from pathlib import Path

from isacblocks.blocks.recording import Recording
from isacblocks.stream import Out, Source
from isacblocks.stream.spec import ANY, Items


class Replay(Source):
    """The items of a recording, in order, read as they are needed.

    path: of the recording; start, stop, step: which items, as in a slice. Raises RecordingError for a file that is not a
    recording, FileNotFoundError where there is none, ValueError for a step below 1.
    """

    out = Out(ANY)

    def __init__(self, path: str | Path, start: int = 0, stop: int | None = None, step: int = 1) -> None:
        self.arguments = ((str(Path(path).absolute()), start, stop, step), {})
        if step < 1:
            raise ValueError(f"step: expected at least 1, got {step!r}")
        self.recording = Recording(path)
        self.selection = range(*slice(start, stop, step).indices(len(self.recording)))
        self.ports["out"].adopt(self.recording.layout)

    def produce(self, first: int, count: int) -> Items | None:
        """The next items; None behind the last one."""
        chosen = self.selection[first : first + count]
        if not len(chosen):
            return None
        part = slice(chosen.start, chosen.stop, chosen.step)
        fields = self.out.allocate(len(chosen))
        for name, array in fields.items():
            array[...] = self.recording.items[name][part]
        return self.out.items(**fields)
