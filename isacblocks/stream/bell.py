"""What a worker sleeps on while all that can come to it comes from this process: far cheaper than a socket."""

from __future__ import annotations

import threading
from contextlib import suppress


class Bell:
    """Rung by whoever has put something into a sleeper's box. A ring that nobody waits for is heard by the next wait."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake the sleeper; many rings are as one."""
        with suppress(RuntimeError):  # rung already
            self._lock.release()

    def wait(self, seconds: float) -> bool:
        """Sleep until it rings, at most so long; True where it has rung."""
        return self._lock.acquire(timeout=seconds)
