"""Which blocks have not been heard of for a while, and whether they are stopped or only in a long call.

A worker reports ten times a second, also when it has nothing to do. One that does not is inside a long call, or its process
is stopped (SIGSTOP, a debugger, a frozen container); the kernel tells which.
"""

from __future__ import annotations

import os
import time

PATIENCE = 0.3  # seconds without a report
_CALM = ("running", "finished", "silent", "frozen")  # phases in which reports are to be expected


def is_stopped(process: int) -> bool:
    """Whether a process is stopped by a signal or a debugger; False where nobody knows."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


class Silence:
    """When each block was last heard of, and since when nothing was heard at all because nobody listened."""

    def __init__(self) -> None:
        self._heard: dict[str, tuple[float, int]] = {}  # when, and its process
        self._looked = time.monotonic()

    def heard(self, name: str, process: int) -> None:
        """A block has reported."""
        self._heard[name] = time.monotonic(), process

    def look(self, phases: dict[str, str]) -> dict[str, str]:
        """New phases of the blocks that are silent, "silent" or "frozen", by name. phases: the present ones."""
        now = time.monotonic()
        away, self._looked = now - self._looked > PATIENCE / 2, now
        if away:  # the whole program was, and has their reports still to read
            self._heard = {name: (now, process) for name, (_, process) in self._heard.items()}
            return {}
        found = {}
        for name, (when, process) in self._heard.items():
            if now - when > PATIENCE and phases[name] in _CALM:
                frozen = process != os.getpid() and is_stopped(process)
                phase = "frozen" if frozen else "silent"
                if phase != phases[name]:
                    found[name] = phase
        return found
