"""What can go wrong in a flowgraph, by name. Every message says what was expected, what came and what to do."""

from __future__ import annotations


class StreamError(Exception):
    """Base of all errors of the stream runtime."""


class WiringError(StreamError, ValueError):
    """The flowgraph as drawn cannot run: ports that do not fit, inputs left open, a loop without feedback."""


class WireError(StreamError):
    """A message that is not what the link's descriptor promises. reason: one word, for the counters; text: all of it."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class PlacementError(StreamError):
    """A block cannot be started where it was asked to run."""


class CheckpointError(StreamError):
    """A checkpoint that is damaged or belongs to another flowgraph."""


class BlockError(StreamError):
    """A block raised, or its process died.

    ``block`` is its name, ``where`` what it was doing, with the items, ``cause`` what it said, ``trace`` the traceback of
    the place where it happened.
    """

    def __init__(self, block: str, where: str, cause: str, trace: str = "") -> None:
        super().__init__(f"{block} failed {where}: {cause}")
        self.block = block
        self.where = where
        self.cause = cause
        self.trace = trace
