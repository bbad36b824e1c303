"""The cuts of a run with checkpoints: which one to go on from, and which blocks have saved their part of the next ones."""

from __future__ import annotations

import tempfile
from pathlib import Path

from isacblocks.stream import checkpoint
from isacblocks.stream.errors import CheckpointError


def _make_directory(path: Path) -> None:
    """See that checkpoints can be written before anything runs. Raises CheckpointError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise CheckpointError(
            f"{path}: no checkpoints can be written there: {error.strerror}; take another directory"
        ) from error


class Cuts:
    """Of the flowgraph of this name, in `directory`, with a part of each of `blocks`.

    resume: the message of the cut to go on from, None where there is none. Raises CheckpointError for a directory that is
    another flowgraph's, or that cannot be written to.
    """

    def __init__(self, directory: Path, flowgraph: str, blocks: list[str]) -> None:
        self._directory, self._flowgraph, self._blocks = directory, flowgraph, blocks
        self._saved: dict[int, set[str]] = {}  # who has, by message
        _make_directory(directory)
        manifest = checkpoint.load_manifest(directory, flowgraph, blocks)
        self.resume = None if manifest is None else manifest.message

    def saved(self, block: str, message: int) -> None:
        """A block's part is on disk; with the last one the cut is the one to go on from."""
        blocks = self._saved.setdefault(message, set())
        blocks.add(block)
        if len(blocks) == len(self._blocks):
            checkpoint.save_manifest(self._directory, checkpoint.Manifest(self._flowgraph, self._blocks, message))
            self._saved = {later: names for later, names in self._saved.items() if later > message}
